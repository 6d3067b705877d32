"""What stored intensities look like: HU or not, for CT; a usable range, for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Ranges of HU that a scan of a body consists of, mostly: air, and soft tissue with fat and contrast agent.
_AIR = (-1100.0, -900.0)
_SOFT = (-150.0, 250.0)
# Offsets at which CT is stored: DICOM's stored values, unsigned integers, and a rescale that was applied twice.
_OFFSETS = (1024, -1024, 8192, 32768)
_OFFSET_GAIN = 0.2  # share of all voxels that an offset must explain better than no offset
_OFFSET_FIT = 0.4
_SCALED_RANGE = 20.0  # HU of a body span hundreds; 0 to 1, -1 to 1 and z-scores stay below
_CLIPPED_LOW, _CLIPPED_HIGH = 0.02, 0.005  # share of voxels at exactly the lowest or the highest value
_FEWEST_SOFT = 0.02
_ABSURD = 1e5
_OUTLIER = 100.0  # times the range that 99.8 % of the voxels lie in


class Finding(NamedTuple):
    """Why intensities are not what the config expects.

    Attributes:
        looks: what they look like.
        advice: what to do.
    """

    looks: str
    advice: str


def describe_constant(low: float, high: float) -> Finding | None:
    """Return a finding for a volume, or a channel, of one value; None if there are several.

    Args:
        low: lowest value.
        high: highest value.
    """
    if low != high:
        return None
    return Finding("empty: all voxels are 0" if low == 0 else "constant", "leave it out, or store it again")


def describe_ct(values: np.ndarray, low: float, high: float, window: Sequence[float]) -> Finding | None:
    """Return what CT intensities look like that are not HU; None for HU.

    Args:
        values: (N,), finite; all voxels, or a regular sample of them.
        low: lowest value of all voxels.
        high: highest value of all voxels.
        window: the config's window, lower and upper end in HU.
    """
    if high - low <= _SCALED_RANGE:
        return Finding("scaled, as to 0...1 or by a z-score", "store HU: convert the original scan again")
    if max(abs(low), abs(high)) > _ABSURD:
        return Finding("no CT: HU stay below 100000", "convert the original scan again")
    if low >= 0 and high <= 255:
        return Finding("8-bit grey values of a picture", "store HU: convert the original scan again")
    offset = _stored_offset(values)
    if offset:
        sign, change = ("+", f"subtract {offset} from") if offset > 0 else ("-", f"add {-offset} to")
        advice = f"{change} every voxel, or use the offset that your converter stored"
        return Finding(f"HU {sign} {abs(offset)}", advice)
    if low >= 0:
        return Finding("no HU: air is -1000 HU and fat -100 HU", "check the modality, and store HU")
    if _fit(values, 0, _SOFT) < _FEWEST_SOFT:
        return Finding("no HU: hardly a voxel from -150 to 250 HU", "check the modality, and store HU")
    return _describe_clipping(values, low, high, window)


def describe_range(values: np.ndarray, low: float, high: float) -> Finding | None:
    """Return what makes a z-score useless: single values far from all others; None for a usable range.

    Args:
        values: (N,), finite; all voxels, or a regular sample of them.
        low: lowest value of all voxels.
        high: highest value of all voxels.
    """
    most_low, most_high = (float(q) for q in np.percentile(values, (0.1, 99.9)))
    spread = most_high - most_low
    far = max(high - most_high, most_low - low)
    if spread == 0:
        return Finding(f"99.8 % of the voxels are {most_low:g}", "look at it, and leave it out if it is empty")
    if far > _OUTLIER * spread:
        advice = "clip the outliers: they make everything else look alike"
        return Finding(f"99.8 % of the voxels lie in {most_low:g} to {most_high:g}", advice)
    return None


def _fit(values: np.ndarray, offset: int, bounds: tuple[float, float]) -> float:
    """Return the share of values in a range of HU, if HU are stored with an offset."""
    return float(np.mean((values >= bounds[0] + offset) & (values <= bounds[1] + offset)))


def _stored_offset(values: np.ndarray) -> int:
    """Return what was added to HU, 0 if nothing was: the offset that finds more air and soft tissue."""

    def fit(offset: int) -> float:
        return _fit(values, offset, _AIR) + _fit(values, offset, _SOFT)

    best = max(_OFFSETS, key=fit)
    # Soft tissue stored with -1024 looks like air, so without any soft tissue no gain is asked for.
    least = 0.0 if _fit(values, 0, _SOFT) < _FEWEST_SOFT else fit(0) + _OFFSET_GAIN
    return best if fit(best) >= max(_OFFSET_FIT, least) else 0


def _describe_clipping(values: np.ndarray, low: float, high: float, window: Sequence[float]) -> Finding | None:
    """Return a finding where values were clipped inside the config's window, so that tissue is lost."""
    cut_low = low > window[0] and np.mean(values == low) >= _CLIPPED_LOW
    cut_high = high < window[1] and np.mean(values == high) >= _CLIPPED_HIGH
    if not (cut_low or cut_high):
        return None
    ends = [f"at {end:g}" for end, cut in ((low, cut_low), (high, cut_high)) if cut]
    advice = "convert the original scan again, or choose a window inside these values"
    return Finding(f"HU clipped {' and '.join(ends)}", advice)
