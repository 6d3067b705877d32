"""The fuzzer's judge finds what it is there to find, and its reference reads files as it says."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.robustness import judge
from tests.robustness.damage import Damage
from tests.robustness.dataset import save
from tests.robustness.reference import Volume, label_meaning, meaning
from tests.robustness.stages import End, run_stage

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def end(refusal: str | None = None, trace: str = "", output: str = "") -> list[End]:
    return [End("training", refusal, trace, output)]


@pytest.mark.parametrize(
    ("ends", "damage", "problem"),
    [
        (end(), Damage("", ("c1",)), None),
        (end("error: c1.nii is empty"), Damage("", ("c1",), "refused"), None),
        (end(trace="Traceback\nKeyError: 1"), Damage("", ("c1",)), "training: traceback of KeyError: 1"),
        (end("error: bad file"), Damage("", ("c1",)), "training: the line does not name c1: error: bad file"),
        (end("c1\nc2"), Damage("", ("c1",)), "training: more than one line: 'c1\\nc2'"),
        (end("c1 is bad"), Damage("", ("c1",), "right"), "training: refuses what is right: c1 is bad"),
        (end(), Damage("", ("c1",), "refused"), "accepted by every stage; must be refused"),
        (end(), Damage("", ("c1",), warned=True), "no stage names it"),
        (end(output="c1 is constant"), Damage("", ("c1",), warned=True), None),
    ],
)
def test_the_end_of_a_run_is_judged(ends: list[End], damage: Damage, problem: str | None) -> None:
    assert judge.judge_ends(ends, damage) == ([] if problem is None else [problem])


def test_a_stage_tells_a_refusal_from_a_defect() -> None:
    def refuse() -> None:
        raise SystemExit("error: x")

    def fail() -> None:
        print("before")
        raise KeyError("y")

    assert run_stage("a", refuse).refusal == "error: x"
    defect = run_stage("b", fail)
    assert defect.refusal is None
    assert defect.output == "before\n"
    assert defect.trace.splitlines()[-1].startswith("KeyError: 'y' (test_judge.py:")


def test_a_mask_on_another_grid_or_with_other_values_is_found(tmp_path: Path) -> None:
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    volume = Volume(np.ones(mask.shape), AFFINE, (1, 1))
    save(tmp_path / "image.nii", volume.voxels, AFFINE)

    def judged(written: np.ndarray, affine: np.ndarray = AFFINE) -> list[str]:
        save(tmp_path / "mask.nii.gz", written, affine)
        return judge.judge_mask(tmp_path / "image.nii", tmp_path / "mask.nii.gz", volume, mask, exact=True)

    assert judged(mask) == []
    assert "has shape (5, 6)" in judged(mask[..., 0])[0]
    assert "another affine" in judged(mask, np.diag([2.0, 3.0, 4.1, 1.0]))[0]
    assert "0.48% of the mask" in judged(np.where(np.arange(210).reshape(5, 6, 7) == 0, 1, mask))[0]


def test_lost_changed_and_new_files_show_in_a_snapshot(tmp_path: Path) -> None:
    for name in ("kept", "lost", "changed"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("kept")
    before = judge.snapshot(tmp_path)
    (tmp_path / "lost").unlink()
    (tmp_path / "changed").write_text("x")
    (tmp_path / "new").write_text("")
    (tmp_path / "datalist.json").write_text("{}")
    after = judge.snapshot(tmp_path)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == {
        "lost",
        "changed",
        "new",
    }


def test_the_reference_converts_units_and_refuses_what_has_no_meaning(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nib.Nifti1Image(voxels, np.diag([0.002, 0.003, 0.004, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "m.nii.gz")
    found = meaning(tmp_path / "m.nii.gz")
    assert found is not None
    np.testing.assert_allclose(found.affine, AFFINE, rtol=1e-6)
    np.testing.assert_array_equal(found.voxels, voxels)
    raw = (tmp_path / "m.nii.gz").read_bytes()
    (tmp_path / "m.nii.gz").write_bytes(raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:])
    assert meaning(tmp_path / "m.nii.gz") is None  # the checksum is wrong
    save(tmp_path / "nan.nii", np.where(voxels == 3, np.nan, voxels).astype(np.float32), AFFINE)
    assert meaning(tmp_path / "nan.nii") is None
    save(tmp_path / "four.nii", np.zeros((2, 3, 4, 2)), AFFINE)
    assert meaning(tmp_path / "four.nii") is None


def test_the_reference_puts_a_turned_label_onto_its_image(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    image = Volume(np.zeros(label.shape), AFFINE, (1, 1))
    save(tmp_path / "label.nii", label, AFFINE)
    turned = nib.load(tmp_path / "label.nii").as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    save(tmp_path / "turned.nii", np.array(turned.dataobj), np.array(turned.affine))
    found = label_meaning(tmp_path / "turned.nii", image, 3)
    assert found is not None
    np.testing.assert_array_equal(found, label)
    save(tmp_path / "away.nii", label, AFFINE + np.array([[0, 0, 0, 1.0]] * 3 + [[0] * 4]))
    assert label_meaning(tmp_path / "away.nii", image, 3) is None
