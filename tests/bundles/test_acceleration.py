"""channels_last and compile: a training gives the same losses as without them, up to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.utils import set_determinism
from torch import nn

from custom_components.checks import Compilation
from custom_components.checks import compilation as module
from tests.bundles.pretraining import NAMES, parse, small, tiny

CHANNELS_LAST: dict[str, Any] = {"channels_last": True}
#: A backend that needs no C++ compiler.
COMPILED: dict[str, Any] = {"compile": True, "train#trainer#compile_kwargs": {"backend": "aot_eager"}}


def train(bundle: str, volumes: Path, **changes: Any) -> tuple[dict[str, float], nn.Module, str]:
    """Two steps; returns the terms of the last loss, the network, and the class that the trainer called."""
    set_determinism(0)
    own = {"window_size": None} if bundle == "pretrain_hybridmim" else {}
    parser = tiny(bundle, dataset_dir=str(volumes), **{**own, "epochs": 2, **changes})
    parser["train#handlers"] = []
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    return trainer.state.output, parser.get_parsed_content("network_def"), type(trainer.network).__name__


def last(network: nn.Module) -> set[bool]:
    """Whether the weights of convolutions have their channels last; those with one channel have both orders."""
    weights = [p for p in network.parameters() if p.ndim == 5 and min(p.shape[:2]) > 1 and p[0, 0].numel() > 1]
    return {weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in weights}


@pytest.mark.slow
@pytest.mark.parametrize("bundle", NAMES)
def test_pretraining_with_channels_last(bundle: str, volumes: Path) -> None:
    expected, plain, _ = train(bundle, volumes)
    found, network, _ = train(bundle, volumes, **CHANNELS_LAST)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert last(plain) == {False}
    assert last(network) == {True}


@pytest.mark.slow
def test_a_compiled_pretraining(volumes: Path) -> None:
    expected, plain, name = train("pretrain_hybridmim", volumes)
    found, network, compiled = train("pretrain_hybridmim", volumes, **COMPILED)
    assert (name, compiled) == ("HybridMIM", "OptimizedModule")
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert network.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize(("switch", "name"), [(CHANNELS_LAST, "BasicUNet"), (COMPILED, "OptimizedModule")])
def test_a_step_of_segmentation(switch: dict[str, Any], name: str) -> None:
    batch = "{'image': torch.randn(2, 1, 32, 32, 32), 'label': torch.randint(0, 3, (2, 1, 32, 32, 32))}"
    losses = []
    for changes in ({}, switch):
        set_determinism(0)
        cpu = {"device": torch.device("cpu"), "amp": False, "roi_size": [32, 32, 32], **small("BasicUNet")}
        parser = parse("seg_msd_hippocampus", **cpu, **changes)
        parser["train#handlers"] = []
        parser["epochs"] = 2
        parser["train#dataloader"] = f"$[{batch}]"
        trainer = parser.get_parsed_content("train#trainer")
        trainer.run()
        losses.append(trainer.state.output["loss"].item())
    assert type(trainer.network).__name__ == name
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert last(parser.get_parsed_content("network")) == {"channels_last" in switch}


def test_what_compiling_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert Compilation(False, "cuda")() is None
    with pytest.raises(ValueError, match=r"there is no C\+\+ compiler .* leave out --compile"):
        Compilation(True, "cpu")()
    monkeypatch.setenv("CXX", "g++")
    assert Compilation(True, torch.device("cpu"))() == "compiled by torch.compile; the first step takes minutes"
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Triton is not installed: pip install triton, or leave out --compile"):
        Compilation(True, "cuda:1")()
