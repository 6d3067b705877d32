"""Packages: what they hold, that the same tree gives the same bytes, and what is never overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from mim3d.catalog import BUNDLES, ROOT
from mim3d.cli import main
from mim3d.package.contents import collect
from mim3d.package.layers import FOR_INFERENCE
from mim3d.package.pack import package

BUNDLE = "seg_btcv"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``command(*words)``: exit status of ``mim3d package`` and what it wrote to stderr."""

    def run(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        try:
            main(["package", *map(str, words)])
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def tree(tmp_path):
    """``tree(name)``: a copy of one bundle and of custom_components, with other times and permissions."""

    def make(name):
        folder = tmp_path / name
        left_out = shutil.ignore_patterns("__pycache__", "eval", "*.pt", "*.card.json")
        shutil.copytree(ROOT / "bundles" / BUNDLE, folder / "bundles" / BUNDLE, ignore=left_out)
        shutil.copytree(ROOT / "custom_components", folder / "custom_components", ignore=left_out)
        for number, path in enumerate(sorted(folder.rglob("*"), key=lambda p: (len(name), str(p)))):
            os.utime(path, (10**9 + number * len(name), 10**9 + number))
            if path.is_file():
                path.chmod(0o600 if len(name) % 2 else 0o664)
        return folder

    return make


def contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime,
            stat.S_IMODE(path.stat().st_mode),
        )
        for path in files
    }


def pack(folder, out, **options):
    components = folder / "custom_components"
    return package(folder / "bundles" / BUNDLE, out, components=components, **options)


def test_two_copies_of_the_tree_give_the_same_bytes(tree, tmp_path):
    first, second = tree("here"), tree("elsewhere/deeper")
    bundle = second / "bundles" / BUNDLE
    for left in ("eval/summary.csv", "models/resume.pt", "configs/.train.yaml.swp", "docs/.DS_Store", "mlruns/x"):
        (bundle / left).parent.mkdir(exist_ok=True)
        (bundle / left).write_text("left over")
    (second / "custom_components" / "__pycache__").mkdir()
    (second / "custom_components" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    folder_1, zip_1 = pack(first, tmp_path / "out_1")
    folder_2, zip_2 = pack(second, tmp_path / "elsewhere" / "out_2")
    assert zip_1.read_bytes() == zip_2.read_bytes()
    assert contents(folder_1) == contents(folder_2)
    assert {mode for _, _, mode in contents(folder_1).values()} == {0o644}


def test_the_zip_holds_one_folder_named_as_the_bundle(tree, tmp_path):
    folder, archive = pack(tree("here"), tmp_path / "out")
    version = json.loads((folder / "configs" / "metadata.json").read_text())["version"]
    assert archive.name == f"{BUNDLE}_v{version}.zip"
    with zipfile.ZipFile(archive) as read:
        names = read.namelist()
        assert {name.split("/")[0] for name in names} == {BUNDLE}
        assert {entry.date_time for entry in read.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert names == sorted(names)
        read.extractall(tmp_path / "unzipped")
    unzipped, written = contents(tmp_path / "unzipped" / BUNDLE), contents(folder)
    assert {name: data for name, (data, _, _) in unzipped.items()} == {
        n: data for n, (data, _, _) in written.items()
    }
    assert str(tmp_path).encode() not in archive.read_bytes()


def test_commands_of_a_packed_readme_run_from_its_folder(tree, tmp_path):
    given = tree("here")
    folder, _ = pack(given, tmp_path / "out")
    own = (given / "bundles" / BUNDLE / "docs" / "README.md").read_text()
    packed = (folder / "docs" / "README.md").read_text()
    assert "bundles/" not in packed
    assert "mim3d phantoms" not in packed
    specific = packed.partition("The sections below hold")[0]
    assert specific.count("--bundle_root . ") == own.count(f"--bundle_root bundles/{BUNDLE} ") > 3
    assert f"--conf models {BUNDLE} " in packed


def test_the_licence_is_the_repositorys_unless_the_bundle_has_its_own(tree, tmp_path):
    given = tree("here")
    folder, _ = pack(given, tmp_path / "out")
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    (given / "bundles" / BUNDLE / "LICENSE").write_text("own")
    folder, _ = pack(given, tmp_path / "own")
    assert (folder / "LICENSE").read_text() == "own"


def test_yaml_is_copied_as_it_is_and_json_says_the_same(tree, tmp_path):
    given = tree("here")
    folder, _ = pack(given, tmp_path / "out")
    for name in ("train", "inference"):
        text = (folder / "configs" / f"{name}.yaml").read_bytes()
        assert text == (given / "bundles" / BUNDLE / "configs" / f"{name}.yaml").read_bytes()
        assert json.loads((folder / "configs" / f"{name}.json").read_text()) == yaml.safe_load(text)


def test_layers_are_merged_as_monai_merges_a_list_of_files(tree, tmp_path):
    given = tree("here")
    configs = given / "bundles" / BUNDLE / "configs"
    (tmp_path / "mine.yaml").write_text(
        "intensity#keys: [image]\n+imports: [$import math]\nroi_size: [64, 64, 32]\ndatalist: /data/list.json"
    )
    layers = ["segresnet.yaml", str(tmp_path / "mine.yaml")]
    folder, _ = pack(given, tmp_path / "out", layers=[layers[0]])
    train = json.loads((folder / "configs" / "train.json").read_text())
    files = [str(configs / name) for name in ("train.yaml", "segresnet.yaml")]
    assert train == ConfigParser.load_config_files(files)
    assert train == yaml.safe_load((folder / "configs" / "train.yaml").read_text())
    folder, _ = pack(given, tmp_path / "out", layers=layers, overwrite=True)
    inference = json.loads((folder / "configs" / "inference.json").read_text())
    assert inference["architecture"]["_target_"] == "SegResNet"
    assert inference["intensity"]["keys"] == ["image"]
    assert inference["imports"][-1] == "$import math"
    assert inference["datalist"] is None, "a path of this machine"
    formats = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == [64, 64, 32]
    assert formats["outputs"]["pred"]["spatial_shape"] == [64, 64, 32]


@pytest.mark.parametrize("layer", ["evaluate.yaml", "multi_gpu_train.yaml", "nothing.yaml", "mine.yaml"])
def test_a_layer_that_cannot_be_merged_is_refused(tree, tmp_path, layer):
    given = tree("here")
    (given / "bundles" / BUNDLE / "configs" / "mine.yaml").write_text("evaluator#amp: false  # not in train.yaml")
    with pytest.raises(ValueError, match=layer):
        pack(given, tmp_path / "out", layers=[layer])
    assert not (tmp_path / "out").exists()


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
def test_weights_of_a_bundle_that_reconstructs_come_with_the_network_and_its_head(command, tmp_path):
    bundle, layers = ROOT / "bundles" / "pretrain_mae", ["smoke.yaml"]
    files = [bundle / "configs" / name for name in ("inference.yaml", *layers)]
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    network, pretext = (parser.get_parsed_content(key) for key in ("network_def", "pretext"))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    words = ["pretrain_mae", "--allow_large", "--layer", *layers, "--weights", tmp_path / "model.pt", "--out"]
    status, said = command(*words, tmp_path / "alone")
    assert status == 0
    assert "pretext.pt does not exist" in said
    assert [path.name for path in (tmp_path / "alone" / "pretrain_mae" / "models").iterdir()] == ["model.pt"]
    torch.save(pretext.state_dict(), tmp_path / "pretext.pt")
    assert command(*words, tmp_path / "both") == (0, "")
    names = sorted(path.name for path in (tmp_path / "both" / "pretrain_mae" / "models").iterdir())
    assert names == ["model.pt", "pretext.pt"]
    torch.save(network.state_dict(), tmp_path / "pretext.pt")
    status, said = command(*words, tmp_path / "other")
    assert status == 1
    assert said.startswith("error: pretrain_mae with smoke.yaml: weights ")
    (tmp_path / "weights.pt").write_bytes(b"weights")
    folder, _ = package(ROOT / "bundles" / BUNDLE, tmp_path / "seg", weights=tmp_path / "weights.pt")
    assert [path.name for path in (folder / "models").iterdir()] == ["model.pt"]  # its inference reads no other


def test_the_command_refuses_weights_of_another_network(command, tmp_path):
    small = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3, "features": (16, 16, 32, 64, 128, 16)}
    torch.save(BasicUNet(**small).state_dict(), tmp_path / "small.pt")
    (tmp_path / "damaged.pt").write_bytes(b"weights")
    words = ["seg_msd_liver", "--out", tmp_path / "out", "--weights"]
    status, said = command(*words, tmp_path / "small.pt")
    assert status == 1
    assert re.match(r"error: seg_msd_liver: weights .*small\.pt do not fit this BasicUNet: 81 .*--layer\)$", said)
    status, said = command(*words, tmp_path / "damaged.pt")
    assert status == 1
    assert "damaged.pt" in said
    assert not (tmp_path / "out").exists()
    assert command(*words, tmp_path / "small.pt", "--layer", "smoke.yaml") == (0, "")
    assert (tmp_path / "out" / "seg_msd_liver" / "models" / "model.pt").is_file()


def test_a_package_without_custom_components_is_refused(tree, tmp_path):
    given = tree("here")
    shutil.rmtree(given / "custom_components")
    with pytest.raises(ValueError, match="needs its own copy"):
        pack(given, tmp_path / "out")


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


def test_only_what_packing_wrote_is_replaced(tree, tmp_path):
    given, out = tree("here"), tmp_path / "out"
    folder, _ = pack(given, out)
    with pytest.raises(ValueError, match="--overwrite"):
        pack(given, out)
    (given / "bundles" / BUNDLE / "LICENSE").write_text("changed")
    pack(given, out, overwrite=True)
    assert (folder / "LICENSE").read_text() == "changed"
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_text("trained for a week")
    with pytest.raises(ValueError, match="no longer, what packing wrote"):
        pack(given, out, overwrite=True)
    assert (folder / "models" / "model.pt").is_file()
    assert sorted(path.name for path in out.iterdir()) == sorted([BUNDLE, next(out.glob("*.zip")).name])


def test_a_folder_of_someone_else_is_never_replaced(tree, tmp_path):
    (tmp_path / "out" / BUNDLE).mkdir(parents=True)
    (tmp_path / "out" / BUNDLE / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="what packing wrote"):
        pack(tree("here"), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / BUNDLE / "thesis.txt").read_text() == "mine"


def test_a_failure_leaves_the_earlier_package(tree, tmp_path, monkeypatch):
    given, out = tree("here"), tmp_path / "out"
    folder, archive = pack(given, out)
    before = contents(folder), archive.read_bytes()
    (given / "bundles" / BUNDLE / "LICENSE").write_text("changed")
    monkeypatch.setattr(
        "mim3d.package.pack.write_zip", lambda *arguments: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        pack(given, out, overwrite=True)
    assert (contents(folder), archive.read_bytes()) == before
    assert sorted(path.name for path in out.iterdir()) == sorted([folder.name, archive.name])


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["seg_nothing"], "'seg_nothing' is not a bundle", 1),
        ([BUNDLE, "--layer", "nothing.yaml"], "nothing.yaml does not exist", 1),
        ([BUNDLE, "--weights", "none.pt"], "none.pt does not exist", 1),
        (["--weights", "none.pt"], "is for one bundle", 2),
    ],
)
def test_errors_are_one_line(command, tmp_path, words, message, status):
    found, said = command(*words, "--out", tmp_path / "out")
    assert found == status
    assert said.startswith("error: ")
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_given_by_name_or_by_path(command, tmp_path):
    assert command(BUNDLE, "--out", tmp_path / "a") == (0, "")
    assert command(ROOT / "bundles" / BUNDLE, "--out", tmp_path / "b") == (0, "")
    assert contents(tmp_path / "a" / BUNDLE) == contents(tmp_path / "b" / BUNDLE)


@pytest.mark.parametrize("layer", FOR_INFERENCE)
def test_layers_for_inference_alone_are_files_of_the_package_and_not_merged(layer: str, tmp_path: Path) -> None:
    bundle = BUNDLES / "seg_msd_hippocampus"
    with pytest.raises(ValueError, match=f"{layer} is not merged; the package has it beside inference.yaml"):
        package(bundle, tmp_path, layers=[layer])
    assert f"configs/{layer}" in collect(bundle)
