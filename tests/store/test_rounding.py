"""Rounding to int16: how far values move, and that 0 stays 0."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from custom_components.store.rounding import STEPS, to_float32, to_int16


def there_and_back(values: np.ndarray, hounsfield: list[bool]) -> np.ndarray:
    rounded = to_int16(values.astype(np.float32), hounsfield)
    assert rounded.numbers.dtype == np.int16
    return to_float32(rounded.numbers, rounded.step, rounded.zero)


def test_ct_moves_by_at_most_half_a_hounsfield_unit() -> None:
    values = np.random.RandomState(0).uniform(-1024, 3071, (1, 6, 7, 8)).astype(np.float32)
    assert np.abs(there_and_back(values, [True]) - values).max() <= 0.5
    assert_array_equal(there_and_back(values.round(), [True]), values.round())


def test_ct_beyond_int16_is_clipped() -> None:
    values = np.array([-1e6, -1000.4, 0.2, 40000.0]).reshape(1, 4, 1, 1)
    assert_array_equal(there_and_back(values, [True]).ravel(), [-32768, -1000, 0, 32767])


@pytest.mark.parametrize("is_ct", [False, True])
def test_ct_that_is_not_in_hu_is_not_rounded_to_whole_numbers(is_ct: bool) -> None:
    values = np.random.RandomState(0).uniform(0, 1, (1, 6, 7, 8)).astype(np.float32)
    assert np.abs(there_and_back(values, [is_ct]) - values).max() < 1e-5


@pytest.mark.parametrize(("low", "high"), [(0, 4000), (-3, 2.5), (500, 900), (-9, -2), (-1e-4, 3e5), (0, 1e-3)])
def test_other_channels_move_by_half_a_step_of_their_own(low: float, high: float) -> None:
    values = np.random.RandomState(1).uniform(low, high, (2, 9, 8, 7)).astype(np.float32)
    values[1] *= 100
    values[:, 0, 0, 0] = 0
    values[:, 0, 0, 1:3] = [[low, high], [100 * low, 100 * high]]
    found = there_and_back(values, [False, False])
    for channel in range(2):
        step = (max(0.0, values[channel].max()) - min(0.0, values[channel].min())) / STEPS
        moved = np.abs(found[channel] - values[channel])
        assert moved.max() <= step * 1.01
        assert (moved <= step * 0.51 + 1e-6 * np.abs(values[channel])).mean() > 0.99
    assert_array_equal(found == 0, values == 0)


def test_a_constant_channel_stays() -> None:
    assert_array_equal(there_and_back(np.zeros((1, 2, 2, 2)), [False]), np.zeros((1, 2, 2, 2)))
    np.testing.assert_allclose(there_and_back(np.full((1, 2, 2, 2), 7.0), [False]), 7.0, rtol=1e-6)
