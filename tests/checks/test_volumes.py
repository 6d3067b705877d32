"""Checks on files: every bad input ends in one message that names the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks import volumes
from custom_components.checks.volumes import check_images, check_labels, distinct_values, image_header

SHAPE = (12, 10, 8)


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> str:
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine), path)
    return str(path)


def noise(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.RandomState(0).randint(-1000, 1000, shape).astype(np.int16)


def labels(top: int = 3) -> np.ndarray:
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) % (top + 1)).astype(np.uint8)


def halve(path: str) -> None:
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])


def refuse(items: list[dict], message: str, channels: int = 1) -> None:
    with pytest.raises(ValueError, match=message):
        check_images(items, channels, progress=False)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_good_images_pass_whether_channels_are_files_or_an_axis(tmp_path: Path, suffix: str) -> None:
    one = save(tmp_path / f"one.{suffix}", noise())
    four = save(tmp_path / f"four.{suffix}", noise((*SHAPE, 4)))
    check_images([{"image": one}], 1, progress=False)
    check_images([{"image": four}], 4, progress=False)
    check_images([{"image": [one] * 3}], 3, progress=False)
    assert image_header(one).spatial_shape == SHAPE
    assert image_header(one).spacing == (2.0, 2.0, 3.0)


def test_a_header_is_read_once_and_again_when_the_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = save(tmp_path / "one.nii", noise()), []
    read = volumes.read_header
    monkeypatch.setattr(volumes, "read_header", lambda name: calls.append(name) or read(name))
    for _ in range(3):
        check_images([{"image": path}], 1, progress=False)
    assert calls == [path]
    save(Path(path), noise((5, 4, 3)))
    assert image_header(path).spatial_shape == (5, 4, 3)


def test_several_gzip_members_and_extensions_are_no_damage(tmp_path: Path) -> None:
    image = nib.Nifti1Image(noise(), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"a remark " * 50))
    nib.save(image, tmp_path / "a.nii")
    raw = (tmp_path / "a.nii").read_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(raw[:1000]) + gzip.compress(raw[1000:]))
    check_images([{"image": str(path)}, {"image": str(tmp_path / "a.nii")}], 1, progress=False)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_file_cut_in_half_is_truncated(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, noise((20, 20, 20)))
    halve(path)
    refuse([{"image": path}], f"{path} is truncated or corrupt")


@pytest.mark.parametrize("left", [20, 100])
def test_a_file_cut_within_its_header_is_named(tmp_path: Path, left: int) -> None:
    for name in ("x.nii", "x.nii.gz"):
        path = Path(save(tmp_path / name, noise()))
        path.write_bytes(path.read_bytes()[:left])
        refuse([{"image": str(path)}], f"{path} is (truncated or corrupt|not readable as NIfTI)")


def test_a_gzip_file_without_its_last_bytes_is_truncated(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "x.nii.gz", noise()))
    path.write_bytes(path.read_bytes()[:-3])
    refuse([{"image": str(path)}], "truncated or corrupt")


def test_what_is_no_nifti_is_named(tmp_path: Path) -> None:
    page, empty, text, other = (tmp_path / n for n in ("page.nii.gz", "empty.nii", "text.nii", "a.mha"))
    page.write_text("<!DOCTYPE html><html></html>")
    empty.touch()
    text.write_text("hello " * 200)
    other.write_text("x")
    refuse([{"image": str(page)}], "page.nii.gz looks like an HTML page")
    refuse([{"image": str(empty)}], "empty.nii is empty")
    refuse([{"image": str(text)}], "text.nii is not readable as NIfTI")
    refuse([{"image": str(other)}], "a.mha is not a NIfTI file by its name; allowed: .nii, .nii.gz")
    refuse([{"image": str(tmp_path / "none.nii")}], "none.nii does not exist")
    refuse([{"label": "x"}], "a case has no 'image'")
    text.rename(tmp_path / "text.nii.gz")
    refuse([{"image": str(tmp_path / "text.nii.gz")}], "not gzip-compressed")
    refuse([{"image": save(tmp_path / "flat.nii", noise((4, 4)))}], r"shape \(4, 4\); allowed: 3D")


def test_wrong_channels_name_file_found_and_expected(tmp_path: Path) -> None:
    one = save(tmp_path / "one.nii", noise())
    refuse([{"image": one}], f"{one} has 1 channels; expected 4", 4)
    refuse([{"image": [one, one]}], "one.nii and 1 more files have 2 channels; expected 1")


def test_channels_in_several_files_share_one_grid(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.nii", noise()), save(tmp_path / "b.nii", noise((12, 10, 9)))
    refuse([{"image": [one, other]}], r"b.nii has shape \(12, 10, 9\).*a.nii has \(12, 10, 8\)", 2)


def test_good_labels_pass(tmp_path: Path) -> None:
    image = save(tmp_path / "i.nii.gz", noise((*SHAPE, 4)))
    for name, dtype in (("u.nii.gz", np.uint8), ("f.nii.gz", np.float32)):
        check_labels(
            [{"image": image, "label": save(tmp_path / name, labels().astype(dtype))}], range(4), progress=False
        )


def test_label_shape_other_than_the_images_is_refused(tmp_path: Path) -> None:
    item = {"image": save(tmp_path / "i.nii", noise()), "label": save(tmp_path / "l.nii", labels()[:, :, 1:])}
    with pytest.raises(ValueError, match=r"l.nii has shape \(12, 10, 7\),.*i.nii has \(12, 10, 8\)"):
        check_labels([item], range(4), progress=False)


def test_label_lying_elsewhere_is_refused_and_rounding_is_not(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    image = save(tmp_path / "i.nii", noise(), affine)
    near, flipped = affine.copy(), affine.copy()
    near[0, 3] += 1e-4
    flipped[0, 0] *= -1
    check_labels([{"image": image, "label": save(tmp_path / "n.nii", labels(), near)}], range(4), progress=False)
    with pytest.raises(ValueError, match=r"f.nii lies elsewhere in space than .*i.nii.* 22 mm apart"):
        check_labels(
            [{"image": image, "label": save(tmp_path / "f.nii", labels(), flipped)}], range(4), progress=False
        )


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (labels(5), "values 4, 5; allowed: whole numbers 0 to 3"),
        (labels().astype(np.float32) / 2, "values 0.5, 1.5"),
        (labels().astype(np.int16) - 1, "values -1;"),
        (np.where(labels() == 2, np.nan, labels()).astype(np.float32), "values nan"),
        (np.arange(960).reshape(SHAPE).astype(np.int16), "values 4, .*, 13 and 946 more"),
    ],
)
def test_foreign_label_values_are_listed(tmp_path: Path, values: np.ndarray, shown: str) -> None:
    item = {"image": save(tmp_path / "i.nii", noise()), "label": save(tmp_path / "l.nii", values)}
    with pytest.raises(ValueError, match=f"l.nii holds the {shown}"):
        check_labels([item], range(4), progress=False)


BRATS = (labels() + (labels() == 3)).astype(np.int16)  # 0, 1, 2, 4


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_values_may_be_others_than_the_classes(tmp_path: Path, dtype: type) -> None:
    label = save(tmp_path / "l.nii.gz", BRATS.astype(dtype))
    item = {"image": [save(tmp_path / "i.nii.gz", noise())] * 4, "label": label}
    check_labels([item], [0, 1, 2, 4], progress=False)
    assert distinct_values(label) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("allowed", "source", "words"),
    [
        (
            [0, 1, 2, 3],
            "msd_task01",
            r"values 4 \(in all 0, 1, 2, 4\); allowed with label_source 'msd_task01': 0, 1, 2, 3$",
        ),
        ([0, 2, 4], None, r"values 1 \(in all 0, 1, 2, 4\); allowed: 0, 2, 4$"),
        ([0, 1, 2, 3], None, "values 4; allowed: whole numbers 0 to 3$"),
    ],
)
def test_foreign_values_are_listed_with_those_found_and_allowed(
    tmp_path: Path, allowed: list[int], source: str | None, words: str
) -> None:
    item = {"image": save(tmp_path / "i.nii", noise()), "label": save(tmp_path / "l.nii", BRATS)}
    with pytest.raises(ValueError, match=f"l.nii holds the {words}"):
        check_labels([item], allowed, source, progress=False)


def test_large_and_negative_label_values_are_found(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.int32)
    values[0, 0, :3] = (-7, 65535, 70000)
    assert distinct_values(save(tmp_path / "l.nii", values)) == [-7, 0, 65535, 70000]
    assert distinct_values(save(tmp_path / "m.nii", np.maximum(values, 0) % 70000)) == [0, 65535]


def test_label_missing_truncated_or_with_channels_is_named(tmp_path: Path) -> None:
    image = save(tmp_path / "i.nii.gz", noise())
    with pytest.raises(ValueError, match="has no 'label'"):
        check_labels([{"image": image}], range(4), progress=False)
    label = save(tmp_path / "l.nii.gz", labels())
    halve(label)
    with pytest.raises(ValueError, match="l.nii.gz is truncated or corrupt"):
        check_labels([{"image": image, "label": label}], range(4), progress=False)
    hot = save(tmp_path / "h.nii.gz", np.zeros((*SHAPE, 4), np.uint8))
    with pytest.raises(ValueError, match="h.nii.gz has 4 channels; a label map has 1"):
        check_labels([{"image": image, "label": hot}], range(4), progress=False)


def test_damage_inside_a_label_is_found_when_values_are_read(tmp_path: Path) -> None:
    image = save(tmp_path / "i.nii.gz", noise((30, 30, 30)))
    values = np.random.RandomState(0).randint(0, 4, (30, 30, 30)).astype(np.uint8)
    label = Path(save(tmp_path / "l.nii.gz", values))
    data = bytearray(label.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    label.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="l.nii.gz is truncated or corrupt"):
        check_labels([{"image": image, "label": str(label)}], range(4), progress=False)


def test_the_first_bad_item_is_the_one_named(tmp_path: Path) -> None:
    good = {"image": save(tmp_path / "good.nii", noise())}
    bad = [{"image": str(tmp_path / f"bad{k}.nii")} for k in range(2)]
    refuse([good, bad[0], good, bad[1]], "bad0.nii does not exist")
