"""The mean over flips and networks equals a slow loop: flip, predict, flip back, mean of probabilities."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor, nn

from custom_components.faults import Fault
from custom_components.inference import AveragingInferer, Members

SIZE = (6, 8, 10)


def convolution(seed: int) -> nn.Module:
    """A network that treats no two directions alike."""
    torch.manual_seed(seed)
    return nn.Conv3d(2, 3, 3, padding=1)


@pytest.fixture
def members(tmp_path: Path) -> Members:
    """Two networks beside the one with seed 0."""
    files = [str(tmp_path / f"{seed}.pt") for seed in range(3)]
    for seed, file in enumerate(files):
        torch.save(convolution(seed).state_dict(), file)
    return Members(lambda: convolution(9), files, files[0])


def slow_mean(windows: Tensor, networks: list[nn.Module], axes: list[int], sigmoid: bool) -> np.ndarray:
    """Probabilities (N, 3, ...), by one window, one network and one combination of flips after the other."""
    answers = []
    for window in windows.numpy():
        probabilities = []
        for network, chosen in product(networks, product([False, True], repeat=len(axes))):
            flips = [axis + 1 for axis, flip in zip(axes, chosen, strict=True) if flip]
            given = torch.from_numpy(np.flip(window, flips).copy())[None]
            output = np.flip(network(given)[0].numpy(), flips).astype(np.float64)
            odds = np.exp(output)
            probabilities.append(odds / (1 + odds) if sigmoid else odds / odds.sum(0))
        answers.append(sum(probabilities) / len(probabilities))
    return np.stack(answers)


def activate(logits: Tensor, sigmoid: bool) -> np.ndarray:
    return (logits.sigmoid() if sigmoid else logits.softmax(1)).numpy()


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("axes", [[], [0], [2, 0], [0, 1, 2]])
@torch.no_grad()
def test_one_window_equals_the_slow_loop(sigmoid: bool, axes: list[int], members: Members) -> None:
    inferer = AveragingInferer(SIZE, 2, sigmoid=sigmoid, flip_axes=axes, members=members)
    image = 5 * torch.randn(2, 2, *SIZE)
    answer = inferer(image, convolution(0))
    expected = slow_mean(image, [convolution(seed) for seed in range(3)], axes, sigmoid)
    np.testing.assert_allclose(activate(answer, sigmoid), expected, atol=1e-6)
    assert expected.std() > 0.05


@pytest.mark.parametrize("sigmoid", [False, True])
@torch.no_grad()
def test_several_windows_are_averaged_each_and_stitched_as_monai_does(sigmoid: bool, members: Members) -> None:
    sliding: dict[str, Any] = {"roi_size": SIZE, "sw_batch_size": 3, "overlap": 0.5, "mode": "gaussian"}
    inferer = AveragingInferer(**sliding, sigmoid=sigmoid, flip_axes=[0, 2], members=members)
    networks = [convolution(seed) for seed in range(3)]

    def slow(windows: Tensor) -> Tensor:
        mean = torch.from_numpy(slow_mean(windows, networks, [0, 2], sigmoid)).float()
        return mean.logit() if sigmoid else mean.log()

    image = torch.randn(1, 2, 11, 9, 17)
    expected = SlidingWindowInferer(**sliding)(image, slow)
    np.testing.assert_allclose(inferer(image, networks[0]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_probabilities_that_are_rounded_to_0_and_1_stay_finite(sigmoid: bool) -> None:
    inferer = AveragingInferer(SIZE, 1, sigmoid=sigmoid, flip_axes=[1])
    answer = inferer(torch.ones(1, 1, *SIZE), lambda image: torch.cat([1000 * image, -1000 * image], 1))
    assert answer.isfinite().all()
    assert (activate(answer, sigmoid)[:, 0] > 0.999999).all()
    assert (activate(answer, sigmoid)[:, 1] < 1e-6).all()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([3], r"flip_axes is \[3\]; allowed: a list of different axes from 0 to 2"),
        ([1, 1], r"flip_axes is \[1, 1\]"),
        (1, "flip_axes is 1"),
        ("x", "flip_axes is 'x'"),
        ([], "flip_axes is empty; give the axes along which training flipped"),
    ],
)
def test_other_axes_are_refused(axes: Any, message: str) -> None:
    with pytest.raises(Fault, match=message):
        AveragingInferer(SIZE, 1, sigmoid=False, flip_axes=axes)(torch.ones(1, 1, *SIZE), nn.Identity())


def test_members_that_are_no_ensemble_are_refused(members: Members, tmp_path: Path) -> None:
    first, second, _ = members.weights
    for weights in (None, first, [first], [first, first], [first, 2]):
        with pytest.raises(Fault, match=r"allowed: a list of two or more different weights files"):
            _ = Members(members.architecture, weights, first).networks
    with pytest.raises(Fault, match="ensemble_weights begins with .*0.pt, but weights is .*1.pt"):
        _ = Members(members.architecture, [first, second], second).networks
    with pytest.raises(Fault, match="weights file .*none.pt does not exist"):
        _ = Members(members.architecture, [first, str(tmp_path / "none.pt")], first).networks
    with pytest.raises(Fault, match="1.pt do not fit this Conv3d"):
        _ = Members(lambda: nn.Conv3d(2, 4, 3), [first, second], first).networks
