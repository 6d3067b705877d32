"""Records of runs: what is done, what resumes, and what starts anew."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from custom_components.atomic import write_json
from mim3d.study.data import StudyData
from mim3d.study.folder import check_same_data, open_folder
from mim3d.study.runs import Run
from tests.mim3d.study.stubs import CONFIG, training


def leave(folder: Path, epoch: int) -> None:
    for name in ("model.pt", "model.card.json"):
        (folder / name).write_text("{}")
    torch.save({"trainer": {"epoch": epoch}}, folder / "resume.pt")


def test_a_training_that_was_cut_off_resumes_and_another_one_starts_anew(tmp_path: Path) -> None:
    run = training(tmp_path)
    assert "--resume" not in run.prepare({})
    leave(run.folder, 1)
    assert run.done is None
    assert "--resume" in run.prepare({})
    other = dataclasses.replace(run, digest="changed")
    object.__setattr__(other, "script", run.script)
    assert "--resume" not in other.prepare({})
    assert not (run.folder / "model.pt").exists()


def test_a_training_that_ended_without_its_record_is_done(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.prepare({})
    leave(run.folder, 2)
    started = json.loads((run.folder / "started.json").read_text())["started"]
    write_json(
        run.folder / "started.json", {"digest": run.digest, "started": started - 7200, "seconds_before": 5.0}
    )
    os.utime(run.folder / "resume.pt", (started - 7140,) * 2)  # it ended after a minute, two hours ago
    assert run.done is None
    run.recover()
    record = run.done
    assert record is not None
    assert record["steps"] == 2
    assert record["seconds"] == pytest.approx(65)
    assert not (run.folder / "resume.pt").exists()
    assert json.loads((run.folder / "done.json").read_text())["digest"] == run.digest


@pytest.mark.parametrize(("kind", "steps"), [("pretraining", 9), ("training", 15)])
def test_a_pretraining_that_ended_early_counts_the_steps_it_took(tmp_path: Path, kind: str, steps: int) -> None:
    run = dataclasses.replace(training(tmp_path), kind=kind, epochs=5, steps=15)
    object.__setattr__(run, "script", "pass")
    run.prepare({})
    leave(run.folder, 3)
    run.finish()
    assert run.done is not None
    assert run.done["steps"] == steps


def test_a_training_that_ended_without_its_weights_starts_anew(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.prepare({})
    leave(run.folder, 2)
    (run.folder / "model.pt").unlink()
    run.recover()
    assert run.done is None
    assert "--resume" not in run.prepare({})


def test_the_record_of_another_run_does_not_count(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.prepare({})
    leave(run.folder, 2)
    run.finish()
    assert run.done is not None
    assert dataclasses.replace(run, digest="changed").done is None


def test_places_are_handed_on_unchanged_and_keys_as_the_study_states_them(tmp_path: Path) -> None:
    places = {"dataset_dir": Path("/data/batch#2"), "output_dir": tmp_path}
    config = dataclasses.replace(CONFIG, keys={"roi_size": "$[@side] * 3", "amp": False})
    command = Run("test", "", config, places, tmp_path, "0").command()
    given = dict(zip(command[4::2], command[5::2], strict=True))
    assert given["--dataset_dir"] == r"$'/data/batch\x232'"
    assert given["--output_dir"] == str(tmp_path)
    assert (given["--roi_size"], given["--amp"]) == ("$[@side] * 3", "False")


def test_seconds_of_earlier_attempts_count(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.prepare({})
    leave(run.folder, 1)
    started = json.loads((run.folder / "started.json").read_text())
    started["started"] -= 100
    (run.folder / "started.json").write_text(json.dumps(started))
    run.prepare({})
    assert json.loads((run.folder / "started.json").read_text())["seconds_before"] == pytest.approx(100, abs=5)


def test_a_folder_belongs_to_one_study_and_one_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    in_use = pytest.raises(ValueError, match="is in use by another mim3d study")
    with open_folder(out, "one"), in_use, open_folder(out, "one"):
        pass
    with pytest.raises(ValueError, match="holds the study one, this is two"), open_folder(out, "two"):
        pass
    with open_folder(out, "one"):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    other = tmp_path / "mine"
    with pytest.raises(ValueError, match="is not empty and holds no study"), open_folder(other, "one"):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_other_data_are_refused(tmp_path: Path) -> None:
    def data(folder: str, *images: str) -> StudyData:
        return StudyData(Path(folder), {"test": [{"image": image} for image in images]}, {}, "")

    with open_folder(tmp_path / "out", "one"):
        check_same_data(tmp_path / "out", data("/a", "1.nii", "2.nii"))
        check_same_data(tmp_path / "out", data("/a", "1.nii", "2.nii"))
        with pytest.raises(ValueError, match="holds results on /a; now dataset_dir differs"):
            check_same_data(tmp_path / "out", data("/b", "1.nii", "2.nii"))
        with pytest.raises(ValueError, match="holds results on 2 other test cases; now test differs"):
            check_same_data(tmp_path / "out", data("/a", "1.nii"))
