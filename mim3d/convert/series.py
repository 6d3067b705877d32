"""DICOM slices, grouped into series: a series is a volume, something else, or faulty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mim3d.convert.dicom import Slice, whole_number

# What tells volumes apart that share a series, in the order in which it is tried.
_PARTS = ("acquisition", "time", "echo")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SCANS = ("CT", "MR", "PT", "NM", "US", "CR", "DX", "XA", "MG", "")
_FEWEST = 4  # slices of a volume
_UNEVEN = 0.1  # of the distance between slices, by which a slice may lie beside its place
_TILT_DEGREES = 0.1


class Series(NamedTuple):
    """Slices that may be one volume.

    Attributes:
        slices: in the order of their positions.
        left_out: why it is no volume to convert; empty otherwise.
        fault: why its volume cannot be converted; empty otherwise.
        notes: what is unusual about the volume.
    """

    slices: list[Slice]
    left_out: str = ""
    fault: str = ""
    notes: tuple[str, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the first slice."""
        return self.slices[0].tags


def group_into_series(slices: Sequence[Slice]) -> list[Series]:
    """Return the series of slices: equal in UID, size and orientation."""
    groups: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        try:
            direction = str(np.round(one.numbers("orientation"), 3) + 0.0)
        except ValueError:
            direction = ""
        groups[one.tags["series"], one.tags["rows"], one.tags["columns"], direction].append(one)
    return [series for group in groups.values() for series in _judged(group)]


def _judged(group: list[Slice]) -> list[Series]:
    """Return a group as one series, or as one for each of the volumes that share it."""
    tags = group[0].tags
    if reason := _no_volume(tags, len(group)):
        return [Series(group, left_out=reason)]
    if whole_number(tags["frames"]) > 1:
        return [Series(group, fault="is one file of several frames, which this command does not read")]
    try:
        parts = _volumes_in(group)
        return [_checked(part) for part in parts]
    except ValueError as error:
        return [Series(group, fault=str(error))]


def _no_volume(tags: dict[str, str], slices: int) -> str:
    if "LOCALIZER" in tags["image_type"].upper():
        return "localisers"
    if tags["sop_class"].startswith(_SECONDARY_CAPTURE):
        return "secondary captures"
    if tags["modality"] not in _SCANS:
        return f"objects of modality {tags['modality']}"
    if tags["samples"] not in ("", "1"):
        return "colour images"
    if not (tags["position"] and tags["orientation"] and tags["spacing"]):
        return "images without a position in space"
    if slices < _FEWEST and whole_number(tags["frames"]) <= 1:
        return f"series of fewer than {_FEWEST} slices"
    return ""


def _volumes_in(group: list[Slice]) -> list[list[Slice]]:
    """Return the slices of each volume, sorted along the axis of the slices.

    Raises:
        ValueError: if several slices lie at one position, and no tag tells them apart.
    """
    for name in ("", *_PARTS):
        parts: dict[str, list[Slice]] = defaultdict(list)
        for one in group:
            parts[one.tags[name] if name else ""].append(one)
        placed = [_sorted(part) for part in parts.values()]
        if all(len(part) >= _FEWEST and np.diff(places).min() > 1e-3 for part, places in placed):
            return [part for part, _ in placed]
    _, places = _sorted(group)
    doubled = int((np.diff(places) <= 1e-3).sum())
    raise ValueError(
        f"holds {doubled} slices at the position of another one (several phases or copies); put each volume into a"
        " series of its own"
    )


def _sorted(slices: Iterable[Slice]) -> tuple[list[Slice], np.ndarray]:
    slices = list(slices)
    normal = _normal(slices[0])
    places = np.array([float(one.numbers("position") @ normal) for one in slices])
    order = np.argsort(places, kind="stable")
    return [slices[k] for k in order], places[order]


def _normal(one: Slice) -> np.ndarray:
    direction = one.numbers("orientation")
    return np.cross(direction[:3], direction[3:])


def _checked(slices: list[Slice]) -> Series:
    """Return a volume with what is unusual about it, or with its fault: missing or uneven slices."""
    positions = np.array([one.numbers("position") for one in slices])
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    distance = float(np.linalg.norm(step))
    even = positions[0] + np.arange(len(slices))[:, None] * step
    if np.linalg.norm(positions - even, axis=1).max() > _UNEVEN * distance:
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        usual = float(np.median(steps))
        gaps = np.flatnonzero(steps > 1.5 * usual)
        if len(gaps):
            lost = int(np.round(steps[gaps] / usual - 1).sum())
            text = f"about {lost} slices are missing, the first behind slice {gaps[0] + 1} of {len(slices)}"
            return Series(slices, fault=f"{text}; copy the series again")
        text = f"its slices are {steps.min():.3g} to {steps.max():.3g} mm apart, or not on one line"
        return Series(slices, fault=f"{text}; NIfTI needs equal distances")
    cosine = abs(float(step @ _normal(slices[0]))) / distance
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    note = f"gantry tilt of {tilt:.1f} degrees: the affine is sheared, and places are right"
    return Series(slices, notes=(note,) if tilt > _TILT_DEGREES else ())


def needs_float(slices: Sequence[Slice]) -> bool:
    """Return whether the scaled values are not whole numbers, or each slice has its own scale, as in PET."""
    scales = {(one.tags["slope"] or "1", one.tags["intercept"] or "0") for one in slices}
    return len(scales) > 1 or not all(float(value).is_integer() for pair in scales for value in pair)
