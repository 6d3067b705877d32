"""``mim3d convert``: voxels and places are those of a NIfTI file of the same phantom."""

from __future__ import annotations

import csv
import locale
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.data import read_volume
from custom_components.data.names import Item
from custom_components.data.subjects import Subjects
from mim3d.cli import main
from mim3d.convert.dicom import Slice
from mim3d.convert.run import TABLE
from mim3d.convert.series import needs_float
from tests.exit_status import exit_status
from tests.mim3d.convert.dicom_files import write_series

VOXELS = np.random.RandomState(0).randint(-1000, 1500, (12, 10, 8)).astype(np.int16)
RAS = np.array([[-0.8, 0, 0, 40], [0, -0.8, 0, 30], [0, 0, 2.5, -100], [0, 0, 0, 1.0]])


def oblique() -> np.ndarray:
    """Axes turned about two axes of the patient."""
    a, b = np.radians(20), np.radians(-35)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [0.7, 0.9, 3.0], [11, -22, 33]
    return affine


def sagittal() -> np.ndarray:
    """Slices along the patient's left-right axis."""
    return np.array([[0, 0, 4.0, -9], [-1, 0, 0, 8], [0, -1, 0, 7], [0, 0, 0, 1.0]])


def convert(folder: Path, out: Path, *words: str) -> tuple[int, list[dict[str, str]]]:
    """Run the command; return its exit status and the rows of its table."""
    status = exit_status("convert", str(folder), "--out", str(out), "--workers", "1", *words)
    with open(out / TABLE, encoding="utf-8", newline="") as file:
        return status, list(csv.DictReader(file))


@pytest.mark.parametrize("affine", [RAS, oblique(), sagittal()], ids=["axial", "oblique", "sagittal"])
def test_a_series_equals_the_nifti_file_of_the_same_phantom(tmp_path: Path, affine: np.ndarray) -> None:
    write_series(tmp_path / "in" / "deep", VOXELS, affine)
    status, (row,) = convert(tmp_path / "in", tmp_path / "out")
    assert (status, row["result"], row["slices"]) == (0, "written", "8")
    nib.save(nib.Nifti1Image(VOXELS, affine), tmp_path / "reference.nii.gz")
    values, found = read_volume(tmp_path / "out" / row["output"])
    expected, reference = read_volume(tmp_path / "reference.nii.gz")
    # The slices may be stored from either end; each voxel must have its place.
    turned = nib.orientations.io_orientation(np.linalg.inv(reference) @ found)
    assert np.array_equal(nib.apply_orientation(values[0], turned), expected[0])
    back = found @ nib.orientations.inv_ornt_aff(turned, values.shape[1:])
    assert np.abs(back - reference).max() < 1e-4
    stored = nib.load(tmp_path / "out" / row["output"])
    assert stored.get_data_dtype() == np.int16
    assert np.allclose(stored.get_qform(), stored.get_sform(), atol=1e-4)


def test_the_locale_stays_as_it_was(tmp_path: Path) -> None:
    """SimpleITK's DICOM sets it to C, in which this process would read config files as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    write_series(tmp_path / "in", VOXELS, RAS)
    assert convert(tmp_path / "in", tmp_path / "out")[0] == 0
    assert locale.setlocale(locale.LC_ALL) == before


def test_what_is_no_volume_is_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "in" / "a", VOXELS, RAS)
    localiser = "ORIGINAL\\PRIMARY\\LOCALIZER"
    write_series(tmp_path / "in" / "b", VOXELS, RAS, uid="1.2.826.2", _0008_0008=localiser)
    write_series(tmp_path / "in" / "c", VOXELS[..., :3], RAS, uid="1.2.826.3")
    write_series(tmp_path / "in" / "d", VOXELS, RAS, uid="1.2.826.4", _0008_0016="1.2.840.10008.5.1.4.1.1.7")
    (tmp_path / "in" / "report.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (tmp_path / "in" / "readme.txt").write_text("no image")
    status, rows = convert(tmp_path / "in", tmp_path / "out")
    assert status == 0
    assert sorted((row["result"], row["why"]) for row in rows) == [
        ("left out", "DICOM files without an image"),
        ("left out", "localisers"),
        ("left out", "secondary captures"),
        ("left out", "series of fewer than 4 slices"),
        ("written", ""),
    ]
    assert "left out: 1 localisers, first in b" in capsys.readouterr().out


def test_missing_slices_fail_and_other_series_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "in" / "a", VOXELS, RAS)
    write_series(tmp_path / "in" / "b", VOXELS, RAS, uid="1.2.826.2", skip=[3, 4])
    status, rows = convert(tmp_path / "in", tmp_path / "out")
    assert status == 1
    assert [row["result"] for row in rows] == ["written", "failed"]
    assert rows[1]["why"].startswith("about 2 slices are missing, the first behind slice 3 of 6")
    assert "error: 1 volumes were not converted" in capsys.readouterr().err
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 1


def test_a_gantry_tilt_is_reported_and_every_voxel_has_its_place(tmp_path: Path) -> None:
    write_series(tmp_path / "in", VOXELS, RAS, shear=0.5)
    _, (row,) = convert(tmp_path / "in", tmp_path / "out")
    angle = np.degrees(np.arctan(0.5 / 2.5))
    assert row["why"] == f"gantry tilt of {angle:.1f} degrees: the affine is sheared, and places are right"
    values, affine = read_volume(tmp_path / "out" / row["output"])
    assert np.array_equal(values[0], VOXELS)
    # Slice 7 lies 7 * 0.5 mm further along the second axis than without a tilt.
    expected = RAS @ [2, 3, 7, 1] + [0, -7 * 0.5, 0, 0]
    assert np.allclose(affine @ [2, 3, 7, 1], expected, atol=1e-4)


def test_volumes_that_share_a_series_are_told_apart_or_refused(tmp_path: Path) -> None:
    for number in ("1", "2"):
        write_series(tmp_path / "in" / number, VOXELS + int(number), RAS, _0020_0012=number)
    status, rows = convert(tmp_path / "in", tmp_path / "out")
    assert (status, [row["result"] for row in rows]) == (0, ["written", "written"])
    means = sorted(read_volume(tmp_path / "out" / row["output"])[0].mean() for row in rows)
    assert means == pytest.approx([VOXELS.mean() + 1, VOXELS.mean() + 2], abs=1e-3)
    for number in ("1", "2"):
        write_series(tmp_path / "same" / number, VOXELS, RAS)
    status, (row,) = convert(tmp_path / "same", tmp_path / "out2")
    assert status == 1
    assert row["why"].startswith("holds 8 slices at the position of another one")


def test_series_of_one_patient_are_one_subject_and_no_name_is_written(tmp_path: Path) -> None:
    for number, patient in enumerate(("Jane", "Jane", "Joe")):
        write_series(tmp_path / "in" / str(number), VOXELS, RAS, uid=f"1.2.826.{number}", _0010_0020=patient)
    _, rows = convert(tmp_path / "in", tmp_path / "out")
    items: list[Item] = [{"image": row["output"]} for row in rows]
    subjects = Subjects(items)
    assert subjects.of(items[0]) == subjects.of(items[1]) != subjects.of(items[2])
    written = "".join(str(path) for path in (tmp_path / "out").rglob("*")) + (tmp_path / "out" / TABLE).read_text()
    assert "Jane" not in written


def test_the_same_call_continues_and_changes_nothing(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "a", VOXELS, RAS)
    _, (row,) = convert(tmp_path / "in", tmp_path / "out")
    written = tmp_path / "out" / row["output"]
    before = written.stat().st_mtime_ns
    _, (again,) = convert(tmp_path / "in", tmp_path / "out")
    assert (again["result"], written.stat().st_mtime_ns) == ("there already", before)
    _, (anew,) = convert(tmp_path / "in", tmp_path / "out", "--overwrite")
    assert anew["result"] == "written"


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd"])
def test_other_formats_equal_the_nifti_file_and_keep_their_path(tmp_path: Path, suffix: str) -> None:
    import SimpleITK as sitk

    affine = oblique()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    for name, voxels in (("images/1.3.6.77", VOXELS), ("labels/1.3.6.77_seg", (VOXELS > 0).astype(np.uint8))):
        image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        sitk.WriteImage(image, str(tmp_path / "in" / f"{name}.{suffix}"))
    status, rows = convert(tmp_path / "in", tmp_path / "out")
    assert status == 0
    assert [row["output"] for row in rows] == ["images/1.3.6.77.nii.gz", "labels/1.3.6.77_seg.nii.gz"]
    values, found = read_volume(tmp_path / "out" / rows[0]["output"])
    assert np.array_equal(values[0], VOXELS)
    assert np.abs(found - affine).max() < 1e-4
    assert nib.load(tmp_path / "out" / rows[1]["output"]).get_data_dtype() == np.uint8


def test_a_damaged_file_fails_and_the_others_go_on(tmp_path: Path) -> None:
    import SimpleITK as sitk

    (tmp_path / "in").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / "in" / "good.mha"))
    (tmp_path / "in" / "bad.nrrd").write_bytes(b"NRRD0004\ntype: short\n")
    status, rows = convert(tmp_path / "in", tmp_path / "out")
    assert status == 1
    assert [(row["source"], row["result"]) for row in rows] == [("bad.nrrd", "failed"), ("good.mha", "written")]
    assert "bad.nrrd cannot be read: " in rows[0]["why"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no DICOM, NRRD or MetaImage file; NIfTI files need no conversion"),
        (
            {"a.nrrd": b"x", "a.mha": b"x"},
            "a.mha and a.nrrd would both be written to a.nii.gz; rename one",
        ),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path), "--out", str(tmp_path / "out")])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("scales", "expected"),
    [([("1", "-1024")] * 2, False), ([("", "")], False), ([("0.5", "0")], True), ([("1", "0"), ("2", "0")], True)],
)
def test_scales_that_differ_or_are_not_whole_need_floats(scales: list[tuple[str, str]], expected: bool) -> None:
    slices = [Slice("x", {"slope": slope, "intercept": intercept}) for slope, intercept in scales]
    assert needs_float(slices) is expected
