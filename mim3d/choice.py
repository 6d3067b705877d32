"""A pretraining method and a network that go together, and what they change in the configs.

Standard library only: ``ci/quickstart.sh`` checks its command line with this before it installs anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim3d.arguments import UsageError
from mim3d.catalog import METHODS, NARROW, NETWORKS, SEGMENTED, Method


@dataclass(frozen=True)
class Choice:
    """A method and a network that go together.

    Attributes:
        name: key of ``METHODS``.
        backbone: key of ``NARROW``.
    """

    name: str
    backbone: str

    @property
    def method(self) -> Method:
        """The method's entry in the catalog."""
        return METHODS[self.name]

    def layers(self, bundle: Path) -> list[str]:
        """Return the layers that bring the network into a bundle; none if it is the bundle's default network."""
        if bundle == self.method.bundle:
            return self.method.layers[self.backbone]
        return [] if self.backbone == SEGMENTED else [f"{self.backbone}.yaml"]

    def overrides(self, bundle: Path, data: str) -> dict[str, Any]:
        """Return the config keys that the command line sets in every small run of a bundle.

        The smoke layer narrows only its bundle's default network. A layer that brings another network comes after
        it and brings the full size. So the command line narrows every network, in pretraining and segmentation
        alike.

        Args:
            bundle: the bundle's folder.
            data: ``phantoms``, ``hippocampus`` or ``own``.
        """
        changed = dict(NARROW[self.backbone])
        if bundle != self.method.bundle:
            # The smoke layer's rate is for a CNN.
            return {**changed, "learning_rate": 1e-3} if NETWORKS[self.backbone].transformer else changed
        if self.name == "hybridmim" and self.backbone == "swin_unetr":
            return {**changed, "learning_rate": 1e-3}  # the layer's rate is for long runs
        if self.name in ("mae", "simmim") and self.backbone == "unetr_patch8" and data == "hippocampus":
            changed["patch_size"] = [8, 8, 8]  # one token, because the hippocampus is small
        return changed


def choose(name: str, backbone: str | None) -> Choice:
    """Return the method with a network; None takes the method's default network.

    Raises:
        UsageError: if the method does not pretrain that network.
    """
    method = METHODS[name]
    if backbone is not None and backbone not in method.layers:
        allowed = ", ".join(method.layers)
        raise UsageError(f"--method {name} does not go with --backbone {backbone}; it goes with: {allowed}")
    return Choice(name, backbone or method.default)
