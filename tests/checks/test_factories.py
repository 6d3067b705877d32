"""Loss and pretext network are built by the check: what they refuse, and unsupported terms, are one line."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from custom_components.checks import Factories
from custom_components.losses import CombinedLoss
from custom_components.pretext import DenseMAE, HybridMIM

WEIGHTS = {"reconstruction": 1.0, "count": 0.1}


def hybrid(network: Any, roi: Any = 32, weights: Any = WEIGHTS, **changes: Any) -> Factories:
    sizes = {"patch_size": 8, "region_size": 16, "window_size": 16, "terms": list(WEIGHTS)}
    make_pretext = partial(HybridMIM, network, **{**sizes, **changes})
    return Factories(partial(CombinedLoss, weights), make_pretext, roi)


def test_what_builds_is_returned_in_words(network) -> None:
    assert hybrid(network())() == "HybridMIM with reconstruction, count"
    assert hybrid(network(), region_size=32, window_size=None)() == "HybridMIM with reconstruction, count"


def test_weights_of_the_network_are_left_alone(network) -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    hybrid(net)()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"region_size": 20}, ["region_size (20, 20, 20)", "patch_size (8, 8, 8)"]),
        ({"region_size": 8, "patch_size": 4, "window_size": None}, ["region_size (8, 8, 8)", "multiple of 16"]),
        ({"roi": (32, 32, 40)}, ["roi_size (32, 32, 40)", "multiple of 16"]),
        ({"roi": (32, 48, 32), "region_size": 32, "window_size": None}, ["roi_size (32, 48, 32)", "(32, 32, 32)"]),
        ({"window_size": 24}, ["window_size (24, 24, 24)", "region_size (16, 16, 16)"]),
        ({"window_size": 48}, ["window_size (48, 48, 48)", "roi_size (32, 32, 32)"]),
        ({"fill": "black"}, ["fill is 'black'", "zero"]),
        ({"weights": {"reconstrution": 1.0}}, ["reconstrution", "reconstruction"]),
        ({"weights": {"count": -1.0}}, ["count", "-1.0"]),
        ({"weights": 1}, ["1"]),
    ],
)
def test_what_the_constructors_refuse_is_the_finding(network, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        hybrid(network(), **changes)()
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_network_that_cannot_reconstruct_is_refused(network) -> None:
    with pytest.raises(ValueError, match="in_channels 1 and out_channels 2"):
        hybrid(network(1, 2))()


def test_terms_that_the_method_does_not_support_are_refused(network) -> None:
    make_pretext = partial(DenseMAE, network(), 16)
    Factories(partial(CombinedLoss, {"reconstruction": 1.0, "count": 0}), make_pretext, 32)()
    with pytest.raises(ValueError, match="names count, which DenseMAE does not support; allowed: reconstruction"):
        Factories(partial(CombinedLoss, WEIGHTS), make_pretext, 32)()
