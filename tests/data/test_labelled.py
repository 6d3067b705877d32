"""Labelled cases and crops of the dense probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from custom_components.data import DataList, LabelledCrop, draw_voxels, labelled_crops, probe_cases
from custom_components.faults import Fault


def write_list(folder: Path, write_nifti: Callable[..., Path], **sections: list[str]) -> None:
    """A list whose cases have a label where their name begins with L."""
    listed = {}
    for section, names in sections.items():
        listed[section] = []
        for name in names:
            write_nifti(folder / f"{name}.nii.gz", (4, 4, 4))
            item = {"image": f"{name}.nii.gz"}
            if name.startswith("L"):
                write_nifti(folder / f"{name}_seg.nii.gz", (4, 4, 4), label_classes=2)
                item["label"] = f"{name}_seg.nii.gz"
            listed[section].append(item)
    (folder / "datalist.json").write_text(json.dumps(listed))


def names(items: list[dict[str, str]]) -> list[str]:
    return [Path(item["image"]).name.removesuffix(".nii.gz") for item in items]


def test_cases_are_the_labelled_ones_of_training_and_validation(tmp_path: Path, write_nifti) -> None:
    write_list(
        tmp_path,
        write_nifti,
        unlabelled=["u1"],
        training=[f"L{k}" for k in range(7)] + ["t1"],
        validation=["v1", "L7"],
        test=["L8"],
    )
    data = DataList(tmp_path, require_label=False, holdout=0.5)
    training, validation = probe_cases(data, 3)
    assert names(training) == ["L0", "L3", "L6"], "spread evenly over the section"
    assert names(validation) == ["L7"]
    assert [Path(item["label"]).name for item in validation] == ["L7_seg.nii.gz"]
    assert all("label" not in item for item in data.items("training")), "pretraining still reads no labels"
    ids = {item["image"]: item["volume_id"] for item in data.items("training")}
    assert [item["volume_id"] for item in training] == [ids[item["image"]] for item in training]


def test_held_out_cases_keep_their_labels_and_leave_the_training_cases(tmp_path: Path, write_nifti) -> None:
    write_list(tmp_path, write_nifti, training=[f"L{k}" for k in range(6)], test=["L8"])
    data = DataList(tmp_path, require_label=False, holdout=2)
    training, validation = probe_cases(data, 8)
    assert names(validation) == names(data.items("validation"))
    assert sorted(names(training) + names(validation)) == [f"L{k}" for k in range(6)]
    assert len(validation) == 2


def test_without_labels_or_without_data_there_are_no_cases(tmp_path: Path, write_nifti) -> None:
    write_list(tmp_path, write_nifti, training=["a", "b"], validation=["c"])
    assert probe_cases(DataList(tmp_path, require_label=False), 8) == ([], [])
    assert probe_cases(DataList("", require_label=False), 8) == ([], [])


def volume(label: torch.Tensor, valid: torch.Tensor | None = None):
    """A transform that returns a volume whose image says where each voxel lies."""
    places = torch.arange(label.numel()).reshape(label.shape)
    valid = torch.ones_like(label) if valid is None else valid
    return lambda item: {**item, "image": places[None], "label": label[None], "valid": valid[None]}


ITEM = {"image": "a.nii.gz", "label": "a_seg.nii.gz", "volume_id": 3}


def test_crops_hold_their_class_and_lie_in_the_volume() -> None:
    label = torch.zeros(20, 16, 12)
    label[0, 0, 0] = 7.0  # a single voxel in a corner is as likely as
    label[10:14, 8:12, :] = 2.0  # a large organ
    crops = labelled_crops(ITEM, volume(label), (8, 8, 6), 12, seed=0)
    places = torch.arange(label.numel()).reshape(label.shape)
    for crop in crops:
        assert crop.image.shape == (1, 1, 8, 8, 6)
        assert set(crop.label.unique().tolist()) & {2, 7}
        start = np.unravel_index(int(crop.image[0, 0, 0, 0, 0]), label.shape)
        window = tuple(slice(s, s + r) for s, r in zip(start, (8, 8, 6), strict=True))
        assert torch.equal(crop.image[0, 0], places[window].float())
        assert torch.equal(crop.label.float(), label[window])
    assert sum(7 in crop.label for crop in crops) == 1, "equal crops are kept once"
    again = labelled_crops(ITEM, volume(label), (8, 8, 6), 12, seed=0)
    for one, two in zip(crops, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    other = labelled_crops({**ITEM, "volume_id": 4}, volume(label), (8, 8, 6), 12, seed=0)
    assert [int(c.image.min()) for c in other] != [int(c.image.min()) for c in crops]


def test_a_volume_of_one_crop_and_one_without_foreground() -> None:
    label = torch.zeros(8, 8, 6)
    label[2, 2, 2] = 1
    assert len(labelled_crops(ITEM, volume(label), (8, 8, 6), 4, seed=0)) == 1
    padded = torch.ones_like(label)
    padded[2, 2, 2] = 0  # the only labelled voxel is padding
    (crop,) = labelled_crops(ITEM, volume(label, padded), (4, 4, 2), 4, seed=0)
    assert int(crop.image.min()) == int(torch.arange(8 * 8 * 6).reshape(8, 8, 6)[2, 2, 2]), "the centre"


def test_labels_that_are_no_label_map_are_named() -> None:
    with pytest.raises(Fault, match=r"a_seg.nii.gz has 1 channel\(s\) or values between whole numbers"):
        labelled_crops(ITEM, volume(torch.full((8, 8, 6), 0.5)), (8, 8, 6), 1, seed=0)


def test_drawn_voxels_are_valid_distinct_and_of_their_class() -> None:
    label = torch.zeros(6, 5, 4, dtype=torch.int32)
    label[0], label[1, 0, 0] = 4, 9
    valid = torch.ones(6, 5, 4, dtype=torch.bool)
    valid[0, 0] = False
    crop = LabelledCrop(torch.zeros(1, 1, 6, 5, 4), label, valid, 11)
    voxels, classes = draw_voxels(crop, [0, 4, 5, 9], 10)
    assert torch.bincount(classes, minlength=4).tolist() == [10, 10, 0, 1]
    assert len({tuple(v) for v in voxels.tolist()}) == 21
    for place, number in zip(voxels.tolist(), classes.tolist(), strict=True):
        assert valid[tuple(place)]
        assert label[tuple(place)] == [0, 4, 5, 9][number]
    assert torch.equal(draw_voxels(crop, [0, 4, 5, 9], 10)[0], voxels)
