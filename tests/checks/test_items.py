"""Cases, their channels, and whether they fill batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks import (
    Batches,
    Cases,
    ContrastValidation,
    DistinctOutputs,
    LabelMaps,
    ListedChannels,
)
from custom_components.data import DataList, datalist_hash

ONE = ["CT"]


def test_good_cases_are_counted_with_the_hash_of_their_list(folder: Path) -> None:
    items, validation = (DataList(folder).items(name) for name in ("training", "validation"))
    digest = datalist_hash([*items, *validation], folder)[:12]
    expected = f"3 images, 1 for validation, 1 channel(s), data list {digest}"
    assert Cases(items, ONE, validation, str(folder))() == expected
    assert Cases(items, ONE, dataset_dir=str(folder))().startswith("3 images, 1 channel(s), data list ")


def test_no_cases_and_cases_in_both_lists_are_refused(folder: Path) -> None:
    items = DataList(folder).items("training")
    with pytest.raises(ValueError, match="no images: dataset_dir is ''; allowed: a folder of .nii"):
        Cases(DataList("").section("training"), ONE)()
    with pytest.raises(ValueError, match=r"c0.nii.gz is in both training and validation \(2 such cases\)"):
        Cases(items, ONE, items[:2])()


def test_what_becomes_of_nan_is_checked_before_a_file_is_read() -> None:
    with pytest.raises(ValueError, match="non_finite is 'zero'; allowed: raise, replace"):
        Cases([], ONE, non_finite="zero")()


def test_two_images_with_the_outputs_of_one_are_named() -> None:
    DistinctOutputs([{"image": "a/x.nii"}, {"image": "a/y.nii"}])()
    with pytest.raises(ValueError, match=r"a/x.nii and a/x.NII.GZ would have the same outputs; rename or move"):
        DistinctOutputs([{"image": "a/x.nii"}, {"image": "a/y.nii"}, {"image": "a/x.NII.GZ"}])()


def test_a_link_to_a_training_image_is_no_validation_image(folder: Path) -> None:
    items = DataList(folder).items("training")
    link = folder / "other.nii.gz"
    link.symlink_to(items[0]["image"])
    with pytest.raises(ValueError, match=r"other.nii.gz is in both training and validation \(1 such cases\)"):
        Cases(items, ONE, [{"image": str(link)}])()


def test_listed_label_maps_are_refused_unless_a_key_allows_them(folder: Path) -> None:
    data = DataList(folder)
    items, validation = data.items("training"), data.items("validation")
    assert LabelMaps(data, items, validation)() == ""
    labels = [{"image": item["label"]} for item in items]
    for label in labels:
        nib.save(nib.Nifti1Image(np.eye(20, dtype=np.uint8)[..., None], np.eye(4)), label["image"])
    with pytest.raises(ValueError, match=r"c0.nii.gz is listed as an image, but holds only 2 .* \(3 such files\)"):
        LabelMaps(data, validation, labels)()
    assert LabelMaps(data, labels, include_label_like=True)() == ""


def test_what_a_folder_without_a_list_leaves_out_is_printed(folder: Path) -> None:
    (folder / "datalist.json").unlink()
    (folder / "labels" / "extra.nii.gz").write_bytes((folder / "labels" / "c0.nii.gz").read_bytes())
    data = DataList(folder)
    message = LabelMaps(data, data.section("unlabelled"))()
    assert message == "left out: 1 label maps without an image of that name, first labels/extra.nii.gz"


def test_a_bad_image_of_either_list_is_named(folder: Path) -> None:
    items, validation = (DataList(folder).items(name) for name in ("training", "validation"))
    with pytest.raises(ValueError, match="c0.nii.gz has 1 channels; expected 2"):
        Cases(items, ["T1", "T2"])()
    image = Path(validation[0]["image"])
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(ValueError, match="c3.nii.gz is truncated or corrupt"):
        Cases(items, ONE, validation)()


def test_nothing_is_read_before_the_check_is_called(tmp_path: Path) -> None:
    section = DataList(tmp_path / "none").section("training")
    checks = [Cases(section, ONE), Batches(section, 1, {"count": 1}), ContrastValidation(section, ["contrast"])]
    for check in checks:
        with pytest.raises(SystemExit, match="error: dataset_dir .*none does not exist"):
            check()


def test_channels_in_another_order_than_the_lists_are_refused(folder: Path) -> None:
    content = json.loads((folder / "datalist.json").read_text())
    (folder / "datalist.json").write_text(json.dumps({**content, "channels": ["FLAIR", "T1", "T1ce", "T2"]}))
    ListedChannels(DataList(folder), ["t2f", "t1n", "t1c", "t2w"])()  # the same sequences
    with pytest.raises(ValueError, match="datalist.json lists the channels FLAIR, .*: in another order than T1, "):
        ListedChannels(DataList(folder), ["T1", "T1ce", "T2", "FLAIR"])()
    ListedChannels(DataList(""), ["T1", "T2"])()


CONTRAST = {"reconstruction": 1.0, "contrast": 0.1}
RECONSTRUCTION = {"reconstruction": 1.0, "contrast": 0.0}


@pytest.mark.parametrize(
    ("cases", "batch_size", "weights", "ranks", "message"),
    [
        (3, 2, CONTRAST, 1, None),
        (3, 1, RECONSTRUCTION, 1, None),
        (2, 1, CONTRAST, 2, None),  # the other rank's volume is the negative
        (3, 2, RECONSTRUCTION, 2, None),  # the first volume comes twice: 2 on each rank
        (3, 1, CONTRAST, 1, r"2 volumes in a batch, found batch_size 1 on 1 rank\(s\)"),
        (3, 4, CONTRAST, 1, r"3 training case\(s\) fill no batch of 4 volumes"),
        (3, 4, RECONSTRUCTION, 1, r"3 training case\(s\) on 1 rank\(s\) fill no batch of batch_size 4"),
        (3, 1, RECONSTRUCTION, 4, r"3 training case\(s\) cannot be shared among 4 ranks"),
    ],
)
def test_every_rank_must_fill_a_batch(
    cases: int, batch_size: int, weights: Any, ranks: int, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.checks.items.world_size", lambda: ranks)
    check = Batches([{}] * cases, batch_size, weights)
    if message is None:
        check()
    else:
        with pytest.raises(ValueError, match=message):
            check()


def test_a_validated_contrast_needs_two_volumes() -> None:
    ContrastValidation([{}], ["loss", "masked_mae"])()
    ContrastValidation([{}] * 2, ["loss", "contrast"])()
    with pytest.raises(ValueError, match=r"1 validation case\(s\); contrast needs 2 volumes: raise holdout"):
        ContrastValidation([{}], ["loss", "contrast", "negatives"])()
