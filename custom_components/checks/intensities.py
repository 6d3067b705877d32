"""Check: are stored intensities what the config's scaling expects? HU for CT, and no empty volumes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import ScaleIntensityRanged

from custom_components.checks.hounsfield import Finding, describe_constant, describe_ct, describe_range
from custom_components.data.channels import names_ct
from custom_components.data.labelled import spread_evenly
from custom_components.data.names import Item, files_of
from custom_components.data.volumes import read_volume
from custom_components.distributed import rank
from custom_components.number_checks import check_number
from custom_components.threads import map_in_threads
from custom_components.transfer.read import file_version

_SAMPLE = 1_000_000  # voxels that percentiles are computed from
_LISTED = 10  # rows of the table
_THREADS = 2  # a large CT takes gigabytes as float32


class Row(NamedTuple):
    """A file, or one channel of it, that looks wrong.

    Attributes:
        file: its path.
        low: lowest value.
        high: highest value.
        finding: what it looks like, and what to do.
    """

    file: str
    low: float
    high: float
    finding: Finding


class Intensities:
    """Warn of CT that is not stored in HU, and of volumes that are constant or useless for a z-score.

    Rank 0 reads the voxels of some volumes, spread evenly over the list; reading a large set takes too long.

    Args:
        items: the cases.
        channels: names of the image's channels. If one names CT, a range that ``intensity`` scales is in HU.
        intensity: the config's transform that scales intensities.
        validation_items: the validation cases; None: none.
        volumes: number of cases to read; None: all; 0: none.
        strict: whether the first wrong volume is an error.
        dataset_dir: the data folder; the table shows paths relative to it.
        non_finite: what NaN and infinity do, as in training: ``raise`` or ``replace``.
    """

    def __init__(
        self,
        items: Sequence[Item],
        channels: Sequence[str],
        intensity: Any,
        validation_items: Sequence[Item] | None = None,
        volumes: int | None = 32,
        strict: bool = False,
        dataset_dir: str = "",
        non_finite: str = "raise",
    ) -> None:
        self.items, self.validation_items, self.channels = items, validation_items, channels
        self.intensity, self.volumes, self.strict, self.dataset_dir = intensity, volumes, strict, dataset_dir
        self.non_finite = non_finite

    def __call__(self) -> str | None:
        """Return how many volumes were read, and a table of the wrong ones.

        Raises:
            ValueError: if ``strict``, for the first wrong volume; for a volume that cannot be read; for a number
                of volumes out of range.
        """
        check_number(self.volumes, "intensity_volumes", at_least=0, whole=True, optional=True)
        everything = [*self.items, *(self.validation_items or [])]
        chosen = spread_evenly(everything, self.volumes)
        if rank() > 0 or not chosen:
            return None
        window = hu_window(self.intensity, self.channels)
        found = map_in_threads(
            lambda item: describe_case(item, window, self.non_finite),
            chosen,
            "reading intensities",
            threads=_THREADS,
        )
        rows = [row for rows in found for row in rows]
        if rows and self.strict:
            first = rows[0]
            more = f"; {len(rows) - 1} more like it" if len(rows) > 1 else ""
            raise ValueError(
                f"{first.file} holds {first.low:g} to {first.high:g}: {first.finding.looks};"
                f" {first.finding.advice}{more}. With --strict_intensities False this is a warning"
            )
        expected = f"; expected: HU, window {window[0]:g} to {window[1]:g}" if window else ""
        report = f"{len(chosen)} of {len(everything)} volumes read{expected}"
        return f"{report}\n{self._table(rows)}" if rows else report

    def _table(self, rows: Sequence[Row]) -> str:
        """Return one line of heading and one for each of the first rows."""
        cells = [("file", "values", "looks like", "what to do")]
        for file, low, high, finding in rows[:_LISTED]:
            name = os.path.relpath(file, self.dataset_dir) if self.dataset_dir else file
            cells.append((name, f"{low:g} to {high:g}", *finding))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        more = [f"  and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
        return "\n".join([f"warning: {len(rows)} of them look wrong", *lines, *more])


def hu_window(intensity: Any, channels: Sequence[str]) -> tuple[float, float] | None:
    """Return the range that a transform scales, in HU; None if it scales none, or if no channel is CT."""
    transforms = intensity.flatten().transforms if isinstance(intensity, Compose) else [intensity]
    scaled = [t.scaler for t in transforms if isinstance(t, ScaleIntensityRanged)]
    if not scaled or not names_ct(channels):
        return None
    return float(scaled[0].a_min), float(scaled[0].a_max)


def describe_case(item: Item, window: tuple[float, float] | None, non_finite: str = "raise") -> list[Row]:
    """Return what looks wrong with the image of a case: a row per file, or per channel of a 4D file.

    Args:
        item: a dictionary with ``image``: a path, or one path per channel.
        window: lower and upper end in HU of the config's window; None: intensities without a unit.
        non_finite: what NaN and infinity do: ``raise`` or ``replace``.

    Raises:
        ValueError: if a file cannot be read.
    """
    return [row for path in files_of(item) for row in describe_file(path, window, non_finite)]


def describe_file(path: str, window: tuple[float, float] | None, non_finite: str = "raise") -> list[Row]:
    """Return what looks wrong with one file, see `describe_case`; an unchanged file is read once."""
    return list(_describe_file(*file_version(path), window, non_finite))


@cache
def _describe_file(
    path: str, size: int, changed_ns: int, window: tuple[float, float] | None, non_finite: str
) -> tuple[Row, ...]:
    rows = []
    volumes, _ = read_volume(path, non_finite)
    for number, volume in enumerate(volumes):
        name = f"{path} (channel {number})" if len(volumes) > 1 else path
        low, high, finding = describe_volume(volume, window)
        if finding:
            rows.append(Row(name, low, high, finding))
    return tuple(rows)


def describe_volume(volume: np.ndarray, window: tuple[float, float] | None) -> tuple[float, float, Finding | None]:
    """Return lowest and highest value of a finite volume, and what looks wrong; None if nothing does."""
    low, high = float(volume.min()), float(volume.max())
    step = max(1, round((volume.size / _SAMPLE) ** (1 / volume.ndim)))
    values = volume[(slice(None, None, step),) * volume.ndim].ravel()
    finding = describe_constant(low, high)
    if finding is None:
        finding = describe_ct(values, low, high, window) if window else describe_range(values, low, high)
    return low, high, finding
