"""All that is wrong with a case is found at once, and good cases have no finding."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from custom_components.checks.examine import CaseFinding, Expected, examine
from custom_components.data import DataList

EXPECTED = Expected(channels=1, needs_label=True, label_values=[0, 1, 2])


def save(path: str | Path, voxels: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)


def said(found: list[CaseFinding]) -> list[tuple[str, str, bool]]:
    return [(Path(finding.file).parent.name, finding.what, finding.is_error) for finding in found]


def test_a_good_case_has_no_finding(folder: Path) -> None:
    assert examine(DataList(folder).items("training")[0], EXPECTED) == []


def test_a_bad_image_does_not_hide_a_bad_label(folder: Path) -> None:
    item = DataList(folder).items("training")[0]
    Path(item["image"]).write_bytes(b"")
    Path(item["label"]).write_bytes(b"<html>")
    assert said(examine(item, EXPECTED)) == [
        ("images", "is empty (0 bytes)", True),
        ("labels", "looks like an HTML page: the download gave a web page, not the file", True),
    ]
    save(item["label"], np.full((20, 18, 16), 7, np.uint8))
    assert said(examine(item, EXPECTED))[1] == (
        "labels",
        "holds the values 7; allowed: whole numbers 0 to 2",
        True,
    )


def test_label_and_voxels_are_both_named(folder: Path) -> None:
    item = DataList(folder).items("training")[0]
    image = np.zeros((20, 18, 16), np.float32)
    image[1, 2, 3] = np.nan
    save(item["image"], image)
    save(item["label"], np.full((20, 18, 16), 7, np.uint8))
    (_, label, _), (_, voxels, is_error) = said(examine(item, EXPECTED))
    assert label == "holds the values 7; allowed: whole numbers 0 to 2"
    assert "1 of 5760 values that are not finite" in voxels
    assert is_error
    assert len(examine(item, EXPECTED, voxels=False)) == 1


def test_without_expectations_only_fractions_are_wrong_in_a_label(folder: Path) -> None:
    item = DataList(folder).items("training")[0]
    save(item["label"], np.full((20, 18, 16), 7, np.uint8))
    assert examine(item, Expected()) == []
    save(item["label"], np.full((20, 18, 16), 0.5, np.float32))
    assert said(examine(item, Expected())) == [("labels", "holds the value 0.5; allowed: whole numbers", True)]


def test_strange_intensities_are_a_warning_and_label_maps_an_error(folder: Path) -> None:
    item = DataList(folder).items("unlabelled")[0]
    save(item["image"], np.full((20, 18, 16), 5, np.int16))
    ((_, what, is_error),) = said(examine(item, Expected(channels=1)))
    assert (what.startswith("holds 5 to 5: constant"), is_error) == (True, False)
    save(item["image"], np.eye(20, dtype=np.uint8)[..., None].repeat(4, 2))
    ((_, what, is_error),) = said(examine(item, Expected(channels=1), voxels=False))
    assert (what.startswith("is listed as an image, but holds only 2 values"), is_error) == (True, True)


def test_a_labelled_section_without_a_label_is_an_error(folder: Path) -> None:
    item = DataList(folder).items("unlabelled")[0]
    assert said(examine(item, EXPECTED)) == [("images", "has no label", True)]
