"""``--pretrained NAME``: training starts from published weights as from their file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from custom_components.transfer import file_sha256
from mim3d.catalog import BUNDLES
from tests.loopback import entry, publish

NAME = "hippocampus/pretrain_hybridmim"
FEATURES = [4, 4, 8, 8, 16, 4]


@pytest.mark.parametrize("bundle", ["seg_msd_hippocampus", "pretrain_hybridmim"])
def test_a_name_of_published_weights_is_loaded(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights" / NAME / "model.pt"
    weights.parent.mkdir(parents=True)
    source = BasicUNet(3, 1, 1, FEATURES).state_dict()
    torch.save(source, weights)
    publish(monkeypatch, tmp_path, {NAME: entry({"model.pt": weights.read_bytes()})}, {"hippocampus": NAME})
    layers = ["task_msd_hippocampus.yaml"] if bundle.startswith("pretrain") else []
    files = [str(BUNDLES / bundle / "configs" / name) for name in ("train.yaml", *layers)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    keys = {"pretrained": "hippocampus", "architecture#features": FEATURES, "ckpt_dir": str(tmp_path / "out")}
    parser.update({**keys, "dataset_dir": str(tmp_path)})
    report = parser.get_parsed_content("load_pretrained")
    assert report.path == str(weights)
    assert report.encoder_share == 1
    loaded = parser.get_parsed_content("network_def").state_dict()
    assert torch.equal(loaded["conv_0.conv_0.conv.weight"], source["conv_0.conv_0.conv.weight"])
    if bundle.startswith("seg"):
        assert parser.get_parsed_content("card#pretrained_sha256") == file_sha256(weights)
    assert parser.get_parsed_content("checks#weights")().startswith(str(weights))
