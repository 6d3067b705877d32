"""What the intensities of an image show before it is segmented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from custom_components.checks.intensities import describe_volume


def odd_intensities(volumes: np.ndarray, channels: Sequence[str], window: tuple[float, float] | None) -> list[str]:
    """Return a line for each channel that training would warn of.

    Args:
        volumes: ``(C, X, Y, Z)``, finite, as stored.
        channels: their names.
        window: lower and upper end in HU of the config's window; None: intensities without a unit.
    """
    found = [(name, *describe_volume(volume, window)) for name, volume in zip(channels, volumes, strict=True)]
    return [
        f"{name} holds {low:g} to {high:g}: {finding.looks}; {finding.advice}"
        for name, low, high, finding in found
        if finding
    ]
