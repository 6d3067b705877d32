"""How a prepared volume becomes 16-bit whole numbers, and back.

A value is ``(number - zero) * step``, with one step and one zero per channel. 0 is stored exactly, and outside CT
nothing else is stored as 0, because z-scores of non-zero voxels depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: Steps that a channel with its own scale is divided into; two less than int16 has, because of rounding.
STEPS = 65533
_INT16 = np.iinfo(np.int16)
#: A channel whose values span less is not in HU, whatever its name is.
_SMALLEST_HU_RANGE = 200.0


class Rounded(NamedTuple):
    """A volume as it is stored.

    Attributes:
        numbers: int16, ``(C, D, H, W)``.
        step: per channel, in the unit of the image.
        zero: per channel, the number that stands for the value 0.
    """

    numbers: np.ndarray
    step: list[float]
    zero: list[int]


def to_int16(values: np.ndarray, hounsfield: Sequence[bool]) -> Rounded:
    """Round a volume to int16.

    A channel in HU has the step 1, so that it changes by at most 0.5 HU; values outside -32768 to 32767 HU are
    clipped. Any other channel has a 65533th of its range (with 0 in it) as its step, and changes by at most half a
    step; only values that would become 0 change by up to one.

    Args:
        values: float32, finite, ``(C, D, H, W)``.
        hounsfield: per channel, whether it is CT.
    """
    numbers = np.empty(values.shape, np.int16)
    steps, zeros = [], []
    for channel, is_ct in enumerate(hounsfield):
        low, high = (float(f(values[channel], initial=0)) for f in (np.min, np.max))  # a volume may be empty
        in_hu = is_ct and high - low >= _SMALLEST_HU_RANGE
        step = 1.0 if in_hu else (high - low) / STEPS or 1.0
        zero = 0 if in_hu else round(_INT16.min + 1 - low / step)
        scaled = np.rint(values[channel] / np.float32(step)) + np.float32(zero)
        numbers[channel] = np.clip(scaled, _INT16.min, _INT16.max)
        if not in_hu:
            lost = (numbers[channel] == zero) & (values[channel] != 0)
            numbers[channel][lost] += np.sign(values[channel][lost]).astype(np.int16)
        steps.append(step)
        zeros.append(zero)
    return Rounded(numbers, steps, zeros)


def to_float32(numbers: np.ndarray, step: Sequence[float], zero: Sequence[int]) -> np.ndarray:
    """Return float32 values of stored numbers ``(C, D, H, W)``."""
    values = numbers.astype(np.float32)
    for channel, (size, offset) in enumerate(zip(step, zero, strict=True)):
        if offset:
            values[channel] -= offset
        if size != 1.0:
            values[channel] *= np.float32(size)
    return values
