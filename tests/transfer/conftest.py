"""A pretrained BasicUNet, its weights file, and a network to load it into."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def source(make_network):
    return make_network("BasicUNet", 1, 1, seed=1)


@pytest.fixture
def target(make_network):
    return make_network("BasicUNet", 1, 14, seed=2)


@pytest.fixture
def weights(source, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(source.state_dict(), path)
    return path


@pytest.fixture
def unchanged(target, make_network) -> Callable[[], bool]:
    """Whether ``target`` is as it was initialised."""
    fresh = make_network("BasicUNet", 1, 14, seed=2).state_dict()
    return lambda: all(torch.equal(value, fresh[key]) for key, value in target.state_dict().items())
