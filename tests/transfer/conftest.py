"""A pretrained BasicUNet, its weights file, and a network to load it into; files of other networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from custom_components.transfer import write_card


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


@pytest.fixture
def save_unetr(make_network, tmp_path):
    """``save_unetr(size, crop=None)``: a UNETR for crops of ``size``, with a card if ``crop`` is given."""

    def save(size, crop=None, change=None, **card):
        state = make_network("UNETR", seed=1, size=size).state_dict()
        if change is not None:
            change(state)
        torch.save(state, tmp_path / "model.pt")
        if crop is not None or card:
            write_card(tmp_path / "model.pt", {"view": {"roi_size": crop}, **card})
        return tmp_path / "model.pt", state

    return save


@pytest.fixture
def save_foreign(tmp_path):
    """``save_foreign(content)``: a file of another project."""

    def save(content):
        torch.save(content, tmp_path / "foreign.pt")
        return tmp_path / "foreign.pt"

    return save
