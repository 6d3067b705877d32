"""Packages: what they hold, that the same tree gives the same bytes, and what is never overwritten."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser

from mim3d.catalog import BUNDLES, ROOT
from mim3d.package.contents import collect
from mim3d.package.layers import FOR_INFERENCE
from mim3d.package.pack import package
from tests.mim3d.package.pack_tree import BUNDLE, contents, pack


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


def test_a_package_without_custom_components_is_refused(tree, tmp_path):
    given = tree("here")
    shutil.rmtree(given / "custom_components")
    with pytest.raises(ValueError, match="needs its own copy"):
        pack(given, tmp_path / "out")


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
def test_errors_are_one_line(pack_command, tmp_path, words, message, status):
    found, said = pack_command(*words, "--out", tmp_path / "out")
    assert found == status
    assert said.startswith("error: ")
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_given_by_name_or_by_path(pack_command, tmp_path):
    assert pack_command(BUNDLE, "--out", tmp_path / "a") == (0, "")
    assert pack_command(ROOT / "bundles" / BUNDLE, "--out", tmp_path / "b") == (0, "")
    assert contents(tmp_path / "a" / BUNDLE) == contents(tmp_path / "b" / BUNDLE)


@pytest.mark.parametrize("layer", FOR_INFERENCE)
def test_layers_for_inference_alone_are_files_of_the_package_and_not_merged(layer: str, tmp_path: Path) -> None:
    bundle = BUNDLES / "seg_msd_hippocampus"
    with pytest.raises(ValueError, match=f"{layer} is not merged; the package has it beside inference.yaml"):
        package(bundle, tmp_path, layers=[layer])
    assert f"configs/{layer}" in collect(bundle)
