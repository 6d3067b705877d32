"""A plan for phantoms: its files, and the configs with its layers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from custom_components.checks.overrides import unknown_keys
from mim3d.arguments import UsageError
from mim3d.catalog import BUNDLES, METHODS
from mim3d.cli import main
from mim3d.commands.plan import run
from mim3d.phantoms import write_phantoms
from mim3d.plan.bundle_keys import SEG
from mim3d.plan.decide import Options
from mim3d.plan.make_plan import FILES, Plan, make_plan

PlanFor = Callable[..., Plan]
COUNTS = {"training": 3, "validation": 2, "test": 1, "unlabelled": 2}
#: Kinds of phantoms that differ in modality, channels or classes.
KINDS = {
    "spleen_ct": ["CT"],
    "brain_mri": ["FLAIR", "T1", "T1ce", "T2"],
    "hippocampus_mri": ["T1"],
}


def options(method: str = "hybridmim", network: str | None = None, small: bool = True) -> Options:
    return Options(METHODS[method], network, 24.0, small)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``data(kind)``: tiny phantoms; the spleens have the value 18 in their labels."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind) / "data"
            write_phantoms(made[kind], kind, size="tiny", progress=False, **COUNTS)
            if kind == "spleen_ct":
                renumber(made[kind], 18)
        return made[kind]

    return folder


def renumber(folder: Path, value: int) -> None:
    for path in (folder / "labelsTr").iterdir():
        image = nib.load(path)
        values = np.asanyarray(image.dataobj) * np.uint8(value)
        nib.save(nib.Nifti1Image(values, image.affine), path)
    listed = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))
    listed["labels"] = {"0": "background", str(value): "spleen"}
    (folder / "datalist.json").write_text(json.dumps(listed))


def layer(plan: Plan, name: str) -> dict[str, Any]:
    (path,) = [path for path in plan.files if path.name == f"{name}.yaml"]
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def workflow(bundle: Path, first: str, path: Path, data: Path, out: Path, **keys: Any) -> ConfigWorkflow:
    folders = {"dataset_dir": str(data), "ckpt_dir": str(out), "output_dir": str(out), "bundle_root": str(bundle)}
    files = [str(bundle / "configs" / first), str(path)]
    kind = "train" if first == "train.yaml" else "infer"
    keys = {"device": torch.device("cpu"), "amp": False, **folders, **keys}
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **keys)
    made.initialize()
    return made


@pytest.mark.parametrize(
    "kind",
    ["hippocampus_mri", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("spleen_ct", "brain_mri"))],
)
def test_the_configs_with_the_layers_pass_their_own_checks(
    kind: str, data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, out = data(kind), tmp_path / "plan"
    plan = make_plan(folder, out, options(), progress=False)
    assert {path.name for path in plan.files} == set(FILES) - {"datalist.json"}  # the folder has one
    assert layer(plan, "pretrain")["channels"] == KINDS[kind]
    for bundle, name in ((METHODS["hybridmim"].bundle, "pretrain"), (SEG, "segment")):
        train, path = bundle / "configs" / "train.yaml", out / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        unknown = [key for key, _ in unknown_keys([str(train)], yaml.safe_load(text))]
        assert [key for key in unknown if f"@{key}" not in text] == []
        workflow(bundle, "train.yaml", path, folder, tmp_path / name).parser.get_parsed_content("preflight")()
    workflow(SEG, "inference.yaml", out / "segment.yaml", tmp_path / "no_images", tmp_path / "masks")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "network", "small"),
    [(m.name, n, True) for m in METHODS.values() for n in m.layers] + [(m, None, False) for m in METHODS],
)
def test_every_method_and_network_passes_its_checks(
    method: str, network: str | None, small: bool, data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = data("brain_mri")
    make_plan(folder, tmp_path, options(method, network, small), progress=False)
    for bundle, name in ((METHODS[method].bundle, "pretrain"), (SEG, "segment")):
        path = tmp_path / f"{name}.yaml"
        workflow(bundle, "train.yaml", path, folder, tmp_path / name).parser.get_parsed_content("preflight")()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "border"), [("spleen_ct", 0), ("brain_mri", 0), ("hippocampus_mri", 1)])
def test_both_trainings_share_the_entries_of_a_store(
    kind: str, border: int, data: Callable[[str], Path], tmp_path: Path
) -> None:
    """A window, a z-score of the voxels that are not 0, and one of all voxels (no voxel is exactly 0)."""
    folder = Path(shutil.copytree(data(kind), tmp_path / "data"))
    for path in sorted(folder.glob("images*/*.nii.gz")) if border else ():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + np.float32(border), image.affine), path)
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False)
    assert ("select_foreground: $torch.isfinite" in plan.files[1].read_text(encoding="utf-8")) == bool(border)
    found = {}
    for bundle, name in ((METHODS["hybridmim"].bundle, "pretrain"), (SEG, "segment")):
        keys = {"cache": "store", "num_workers": 0}
        made = workflow(bundle, "train.yaml", tmp_path / "plan" / f"{name}.yaml", folder, tmp_path / name, **keys)
        made.parser.get_parsed_content("checks#store")()
        for part in ("train", "validate"):
            made.parser.get_parsed_content(f"{part}#dataset")
        found[name] = {path.name for path in (folder / "mim3d_store" / "images").iterdir()}
    assert len(found["pretrain"]) == COUNTS["unlabelled"] + COUNTS["validation"]
    assert len(found["segment"]) == len(found["pretrain"]) + COUNTS["training"]  # validation is there already


@pytest.mark.slow
def test_the_printed_commands_train_and_segment(data: Callable[[str], Path], tmp_path: Path) -> None:
    """Pretraining, fine-tuning and inference with the layers as they were written, for one step each."""
    folder = data("spleen_ct")
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False)
    short = {"epochs": 1, "train#trainer#epoch_length": 1, "amp": False}
    tiny = {"architecture#features": [4, 4, 8, 8, 16, 4]}
    weights = None
    for _, command in plan.commands[:2]:
        words = shlex.split(command.replace("\\\n", " "))
        given = {key: words[words.index(f"--{key}") + 1] for key in ("bundle_root", "ckpt_dir", "output_dir")}
        bundle = BUNDLES / Path(given["bundle_root"]).name
        path = Path(words[words.index("--config_file") + 1].strip("[]").split(",")[1].strip("'"))
        keys = {**short, **tiny, **({"probe_interval": None} if weights is None else {"pretrained": str(weights)})}
        workflow(bundle, "train.yaml", path, folder, Path(given["ckpt_dir"]), **keys).run()
        weights = Path(given["ckpt_dir"]) / "model.pt"
        assert weights.is_file()
    image = next(iter(sorted((folder / "imagesTr").iterdir())))
    words = [image if word == "IMAGE.nii.gz" else word for word in shlex.split(plan.commands[3][1])[1:]]
    main([*map(str, words), "--architecture#features", "[4,4,8,8,16,4]"])
    (mask,) = (tmp_path / "plan" / "masks").glob("*_seg.nii.gz")
    assert set(np.unique(np.asanyarray(nib.load(mask).dataobj))) <= {0, 1}


@pytest.mark.slow
def test_values_in_the_files_are_mapped_and_every_key_has_its_reason(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    plan = make_plan(data("spleen_ct"), tmp_path, options(), progress=False)
    segment = layer(plan, "segment")
    assert segment["label_names"] == ["background", "spleen"]
    assert segment["source_values"] == {"files": [18], "masks": [1]}
    text = (tmp_path / "segment.yaml").read_text(encoding="utf-8")
    assert "# The files' values become consecutive classes: 18 -> 1." in text
    document = (tmp_path / "plan.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", document, re.MULTILINE)
    assert {"channels", "spacing", "window", "roi_size", "patch_size", "label_names", "epochs"} <= set(rows)
    assert all(decision.reason for decision in plan.decisions)
    assert (tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"


def test_a_folder_without_a_list_gets_one_beside_the_plan(data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data("hippocampus_mri"), tmp_path / "data"))
    (folder / "datalist.json").unlink()
    before = sorted(folder.rglob("*"))
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False)
    assert sorted(folder.rglob("*")) == before
    listed = json.loads((tmp_path / "plan" / "datalist.json").read_text(encoding="utf-8"))
    assert layer(plan, "segment")["datalist"] == str(tmp_path / "plan" / "datalist.json")
    assert {name: len(listed[name]) for name in ("training", "validation")} == {"training": 5, "validation": 1}


def test_the_split_of_the_written_list_can_be_chosen(
    data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same cases as ``mim3d datalist`` with the same options; a list that exists is not split again."""
    folder = Path(shutil.copytree(data("hippocampus_mri"), tmp_path / "data"))
    (folder / "datalist.json").unlink()
    chosen = ["--validation", "2", "--test", "1", "--seed", "3", "--subject_pattern", r"(\d+)\.nii"]
    main(["plan", str(folder), "--out", str(tmp_path / "plan"), "--small", *chosen])
    main(["datalist", str(folder), "--out", str(tmp_path / "list.json"), *chosen])
    planned, listed = (json.loads((tmp_path / name).read_text()) for name in ("plan/datalist.json", "list.json"))
    assert planned == listed
    assert {name: len(planned[name]) for name in ("training", "validation", "test")} == {
        "training": 3,
        "validation": 2,
        "test": 1,
    }
    assert planned["subject_pattern"] == r"(\d+)\.nii"
    (folder / "datalist.json").write_text(json.dumps(listed))
    capsys.readouterr()
    with pytest.raises(SystemExit, match="1"):
        main(["plan", str(folder), "--out", str(tmp_path / "again"), "--small", "--test", "1"])
    assert re.fullmatch(
        r"error: \S+datalist.json already splits the cases, so --test has no effect; leave it out, or write.*\n",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "again").exists()


def test_without_labels_there_is_no_segmentation_and_an_old_one_is_removed(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(data("hippocampus_mri"), tmp_path / "data"))
    make_plan(folder, tmp_path / "plan", options(), progress=False)
    shutil.rmtree(folder / "labelsTr")
    (folder / "datalist.json").unlink()
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False, overwrite=True)
    assert "No case has a label, so there is a layer for pretraining alone." in plan.warnings
    assert len(plan.commands) == 1
    assert not (tmp_path / "plan" / "segment.yaml").exists()


def test_what_cannot_be_planned_leaves_no_file(data: Callable[[str], Path], tmp_path: Path) -> None:
    folder, out = tmp_path / "data", tmp_path / "plan"
    shutil.copytree(data("hippocampus_mri") / "imagesTr", folder)
    images = sorted(folder.iterdir())
    for image in images[1:]:
        image.unlink()
    with pytest.raises(ValueError, match=rf"of {folder}\. A plan needs two subjects, one to train on and one to"):
        make_plan(folder, out, options(), progress=False)
    with pytest.raises(ValueError, match=r"--datalist no.json does not exist"):
        make_plan(folder, out, options(), datalist="no.json", progress=False)
    (folder / "b.nii.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(ValueError, match=r"b.nii.gz"):
        make_plan(folder, out, options(), progress=False)
    assert not out.exists()


@pytest.mark.slow
def test_an_earlier_plan_is_kept_unless_told_otherwise(data: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("mine")
    with pytest.raises(ValueError, match=r"plan.md exists; --overwrite replaces the plan"):
        make_plan(data("spleen_ct"), tmp_path, options(), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.md"]
    with pytest.raises(ValueError, match=r"is a file; give a folder"):
        make_plan(data("spleen_ct"), tmp_path / "plan.md", options(), progress=False)


def test_the_command_prints_decisions_and_commands(
    data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", str(data("hippocampus_mri")), "--out", str(tmp_path), "--small"])
    printed = capsys.readouterr().out
    assert re.search(r"^pretrain/segment +channels: \[T1\]$", printed, re.MULTILINE)
    assert "\n# Pretrain\npython -m monai.bundle run --config_file" in printed
    assert "For a CPU" not in printed
    arguments = type("Arguments", (), {"method": "mae", "network": "swin_unetr"})()
    with pytest.raises(
        UsageError, match="--method mae does not go with --network swin_unetr; it goes with: unetr"
    ):
        run(arguments)
