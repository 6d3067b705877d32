"""Weights in a package: with their card, from git alone, of this network, and large ones named."""

from __future__ import annotations

import re
import subprocess

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from mim3d.catalog import ROOT
from mim3d.package.pack import package
from tests.mim3d.package.pack_tree import BUNDLE, pack


def test_weights_that_git_does_not_track_are_left_out(tree, tmp_path, capsys):
    given = tree("here")
    models = given / "bundles" / BUNDLE / "models"
    models.mkdir(exist_ok=True)
    for name in ("model.pt", "model.card.json", "model_old.pt"):
        (models / name).write_text(name)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", str(given)], check=True)
    subprocess.run(["git", *identity, "add", "-f", "bundles"], cwd=given, check=True)
    subprocess.run(["git", "rm", "-q", "--cached", f"bundles/{BUNDLE}/models/model_old.pt"], cwd=given, check=True)
    folder, _ = pack(given, tmp_path / "out")
    assert sorted(path.name for path in (folder / "models").iterdir()) == ["model.card.json", "model.pt"]
    assert "models/model_old.pt is not in git" in capsys.readouterr().err


def test_given_weights_come_with_their_card(tree, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"weights")
    (tmp_path / "best.card.json").write_text("{}")
    folder, _ = pack(tree("here"), tmp_path / "out", weights=tmp_path / "best.pt")
    assert (folder / "models" / "model.pt").read_bytes() == b"weights"
    assert (folder / "models" / "model.card.json").read_text() == "{}"
    with pytest.raises(ValueError, match=r"none\.pt does not exist"):
        pack(tree("there"), tmp_path / "out_2", weights=tmp_path / "none.pt")


@pytest.mark.slow
def test_weights_of_a_bundle_that_reconstructs_come_with_the_network_and_its_head(pack_command, tmp_path):
    bundle, layers = ROOT / "bundles" / "pretrain_mae", ["smoke.yaml"]
    files = [bundle / "configs" / name for name in ("inference.yaml", *layers)]
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    network, pretext = (parser.get_parsed_content(key) for key in ("network_def", "pretext"))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    words = ["pretrain_mae", "--allow_large", "--layer", *layers, "--weights", tmp_path / "model.pt", "--out"]
    status, said = pack_command(*words, tmp_path / "alone")
    assert status == 0
    assert "pretext.pt does not exist" in said
    assert [path.name for path in (tmp_path / "alone" / "pretrain_mae" / "models").iterdir()] == ["model.pt"]
    torch.save(pretext.state_dict(), tmp_path / "pretext.pt")
    assert pack_command(*words, tmp_path / "both") == (0, "")
    names = sorted(path.name for path in (tmp_path / "both" / "pretrain_mae" / "models").iterdir())
    assert names == ["model.pt", "pretext.pt"]
    torch.save(network.state_dict(), tmp_path / "pretext.pt")
    status, said = pack_command(*words, tmp_path / "other")
    assert status == 1
    assert said.startswith("error: pretrain_mae with smoke.yaml: weights ")
    (tmp_path / "weights.pt").write_bytes(b"weights")
    folder, _ = package(ROOT / "bundles" / BUNDLE, tmp_path / "seg", weights=tmp_path / "weights.pt")
    assert [path.name for path in (folder / "models").iterdir()] == ["model.pt"]  # its inference reads no other


def test_the_command_refuses_weights_of_another_network(pack_command, tmp_path):
    small = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3, "features": (16, 16, 32, 64, 128, 16)}
    torch.save(BasicUNet(**small).state_dict(), tmp_path / "small.pt")
    (tmp_path / "damaged.pt").write_bytes(b"weights")
    words = ["seg_msd_liver", "--out", tmp_path / "out", "--weights"]
    status, said = pack_command(*words, tmp_path / "small.pt")
    assert status == 1
    assert re.match(r"error: seg_msd_liver: weights .*small\.pt do not fit this BasicUNet: 81 .*--layer\)$", said)
    status, said = pack_command(*words, tmp_path / "damaged.pt")
    assert status == 1
    assert "damaged.pt" in said
    assert not (tmp_path / "out").exists()
    assert pack_command(*words, tmp_path / "small.pt", "--layer", "smoke.yaml") == (0, "")
    assert (tmp_path / "out" / "seg_msd_liver" / "models" / "model.pt").is_file()


def test_a_large_file_is_named_in_large_files_or_refused(tree, tmp_path):
    given = tree("here")
    (tmp_path / "large.pt").write_bytes(bytes(26 * 2**20))
    options = {"weights": tmp_path / "large.pt"}
    with pytest.raises(ValueError, match=r"models/model\.pt has 26 MB.*large_files\.yml"):
        pack(given, tmp_path / "out", **options)
    folder, _ = pack(given, tmp_path / "out", **options, allow_large=True)
    assert (folder / "models" / "model.pt").stat().st_size == 26 * 2**20
    listing = {"large_files": [{"path": "models/model.pt", "url": "u", "hash_val": "h", "hash_type": "md5"}]}
    (given / "bundles" / BUNDLE / "large_files.yml").write_text(yaml.safe_dump(listing))
    folder, _ = pack(given, tmp_path / "listed", **options)
    assert not (folder / "models").exists()
    assert (folder / "large_files.yml").is_file()
