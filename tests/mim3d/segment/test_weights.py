"""Which weights, layers and keys a command runs with."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.catalog import BUNDLES
from mim3d.segment.network import Segmenter
from mim3d.segment.weights import with_published

NETWORK = {"architecture#features": "[16, 16, 32, 64, 128, 16]", "roi_size": "[32, 48, 32]"}
SEG = BUNDLES / "seg_msd_hippocampus"


def given(weights: str | None, layer: list[str] | None = None, **keys: str) -> argparse.Namespace:
    return argparse.Namespace(weights=weights, layer=layer or [], keys=keys)


def test_published_weights_of_the_bundle_bring_network_and_crop() -> None:
    layers, weights, keys = with_published(given("hippocampus/seg_msd_hippocampus", non_finite="replace"), SEG)
    assert layers == []
    assert weights is not None
    assert weights.parts[-3:] == ("hippocampus", "seg_msd_hippocampus", "model.pt")
    assert keys == {**NETWORK, "non_finite": "replace"}


def test_those_of_pretraining_bring_no_layer_and_no_key_that_a_segmentation_lacks() -> None:
    layers, _, keys = with_published(given("hippocampus"), SEG)
    assert (layers, keys) == ([], NETWORK)
    layers, _, keys = with_published(given("hippocampus"), BUNDLES / "pretrain_hybridmim")
    assert (layers, keys) == (["task_msd_hippocampus.yaml"], {**NETWORK, "contrast_features": "64"})


def test_the_command_line_comes_first_and_a_file_brings_nothing(tmp_path: Path) -> None:
    layers, _, keys = with_published(given("hippocampus", ["unetr.yaml"], roi_size="[64,64,64]"), SEG)
    assert (layers, keys["roi_size"]) == (["unetr.yaml"], "[64,64,64]")
    file = tmp_path / "model.pt"
    file.write_bytes(b"x")
    assert with_published(given(str(file)), SEG) == ([], file, {})
    assert with_published(given(None), SEG) == ([], None, {})


def test_windows_of_another_size_than_the_training_crop_are_noted() -> None:
    """Small volumes are padded to a window, and the norms see the padding."""
    _, weights, keys = with_published(given("hippocampus/seg_msd_hippocampus"), SEG)
    assert Segmenter(SEG, [], weights, keys).notes == []
    (line,) = Segmenter(SEG, [], weights, {**keys, "roi_size": "[48, 64, 48]"}).notes
    assert line == "roi_size: pretrained with [32, 48, 32], this config has [48, 64, 48]"
