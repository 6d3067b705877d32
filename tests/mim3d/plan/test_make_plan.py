"""A plan for phantoms: its files, the list that it writes, and what cannot be planned."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.arguments import UsageError
from mim3d.cli import main
from mim3d.commands.plan import run
from mim3d.plan.make_plan import make_plan
from tests.mim3d.plan.planned import layer, options


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
