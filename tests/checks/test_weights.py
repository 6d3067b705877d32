"""Weights to start from and weights to evaluate: each bad file ends in one message that names it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from custom_components.checks import CompleteWeights, PretrainedWeights
from custom_components.pretext import DenseMAE, HybridMIM
from custom_components.transfer import cards, file_sha256, load_pretrained, write_card
from tests.transfer import foreign_files as foreign

NAMES = ["background", "core", "edema"]


def test_own_weights_pass_and_others_are_named(network, tmp_path: Path) -> None:
    own, other, page, wide = (tmp_path / f"{name}.pt" for name in ("own", "other", "page", "wide"))
    torch.save(network().state_dict(), own)
    torch.save(nn.Linear(3, 3).state_dict(), other)
    torch.save(network(width=8).state_dict(), wide)
    page.write_text("<html>")
    assert PretrainedWeights(network(1, 3), None, ["CT"])() is None
    assert PretrainedWeights(network(1, 3), str(own), ["CT"])() == f"{own}, 100% of the encoder fits"
    for path in (other, page, wide, tmp_path / "none.pt"):
        with pytest.raises(ValueError, match=path.name):
            PretrainedWeights(network(1, 3), str(path), ["CT"])()


def test_weights_that_saw_the_channels_in_another_order_are_refused(network, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(2, 2).state_dict(), path)
    write_card(path, {"view": {"channels": ["T1", "FLAIR"]}})
    with pytest.raises(ValueError, match="the card of .*T1, FLAIR: in another order than FLAIR, T1"):
        PretrainedWeights(network(2, 3), str(path), ["FLAIR", "T1"])()
    PretrainedWeights(network(2, 3), str(path), ["T1", "t2f"])()


def test_a_weights_file_is_read_and_hashed_once_from_check_to_card(
    network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "model.pt", []
    torch.save(network().state_dict(), path)
    write_card(path, {"view": {"channels": ["CT"]}})
    load, digest = torch.load, cards._hash
    monkeypatch.setattr(torch, "load", lambda *args, **more: calls.append("read") or load(*args, **more))
    monkeypatch.setattr(cards, "_hash", lambda file: calls.append("hashed") or digest(file))
    target = network(1, 3)
    PretrainedWeights(target, str(path), ["CT"])()
    load_pretrained(target, str(path))
    assert file_sha256(path) == json.loads(path.with_suffix(".card.json").read_text())["sha256"]
    assert sorted(calls) == ["hashed", "read"]
    torch.save(network(width=8).state_dict(), path)  # another file under the same name is read again
    os.unlink(path.with_suffix(".card.json"))
    with pytest.raises(ValueError, match="do not fit BasicUNet"):
        load_pretrained(target, str(path))


def test_evaluated_weights_must_hold_the_whole_network(network, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(1, 3).state_dict(), path)
    assert CompleteWeights(network(1, 3), str(path))() == str(path)
    with pytest.raises(ValueError, match=r"do not fit this BasicUNet: \d+ tensors"):
        CompleteWeights(network(1, 3, width=8), str(path))()


def test_evaluated_pretext_weights_must_hold_the_heads_of_the_same_terms(network, tmp_path: Path) -> None:
    def pretext(*terms: str) -> HybridMIM:
        return HybridMIM(network(), 8, 16, terms)

    path, full = tmp_path / "pretext.pt", pretext("reconstruction", "count", "contrast")
    torch.save(full.state_dict(), path)
    CompleteWeights(lambda: pretext("reconstruction", "count", "contrast"), str(path), pretext=True)()
    for other in (pretext("reconstruction"), pretext("reconstruction", "count", "position", "contrast")):
        with pytest.raises(ValueError, match="layers and loss terms the same"):
            CompleteWeights(other, str(path), pretext=True)()
    torch.save(full.network.state_dict(), path)
    with pytest.raises(ValueError, match="do not fit"):
        CompleteWeights(full, str(path), pretext=True)()


def test_what_the_pretext_constructor_refuses_is_the_finding(network, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fill is 'grey'"):
        CompleteWeights(lambda: DenseMAE(network(), 16, fill="grey"), str(tmp_path / "any.pt"), pretext=True)()


def test_weights_of_another_task_are_refused_and_other_views_printed(network, tmp_path: Path) -> None:
    path, net = tmp_path / "model.pt", network(1, 3)
    torch.save(net.state_dict(), path)
    view = {"channels": ["CT"], "spacing": [1.0, 1.0, 1.0]}
    assert CompleteWeights(net, str(path), view=view, label_names=NAMES)() == str(path)  # no card
    write_card(path, {"view": view, "label_names": NAMES})
    assert CompleteWeights(net, str(path), view=view, label_names=NAMES)() == str(path)
    assert CompleteWeights(net, str(path))() == str(path)
    coarse = {**view, "spacing": [2.0, 2.0, 2.0]}
    first, second = CompleteWeights(net, str(path), view=coarse, label_names=NAMES)().splitlines()
    assert (first, second.startswith(f"warning: {path}: spacing: ")) == (str(path), True)
    with pytest.raises(ValueError, match="trained for background, core, edema; this config has background, liver"):
        CompleteWeights(net, str(path), label_names=["background", "liver", "tumour"])()
    with pytest.raises(ValueError, match="channels: pretrained with"):
        CompleteWeights(net, str(path), view={**view, "channels": ["MRI"]})()


def test_a_foreign_layout_is_named_and_an_ambiguous_one_refused(tmp_path: Path) -> None:
    path, network = tmp_path / "foreign.pt", foreign.swin(seed=1)
    torch.save(foreign.ssl_head(foreign.swin(1)), path)
    with pytest.raises(ValueError, match="fit several layouts.* Set pretrained_format"):
        PretrainedWeights(network, str(path), ["CT"])()
    line = PretrainedWeights(network, str(path), ["CT"], layout="swinvit_monai15")()
    assert line == f"{path} (swinvit_monai15), 100% of the encoder fits"
    torch.save(network.state_dict(), path)
    first, warning = PretrainedWeights(network, str(path), ["CT"])().splitlines()
    assert first == f"{path}, 100% of the encoder fits"
    assert warning.startswith(f"warning: {path}: the file does not show which patch merging trained it")
