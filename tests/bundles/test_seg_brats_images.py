"""Images of seg_brats: four channels in one file or four, scored and cropped as a bare brain.

Numbers are compared with loops over voxels written here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor

from tests.bundles.brats import AFFINE, SEQUENCES, TINY, brain, write

Run = Callable[..., ConfigWorkflow]


@pytest.fixture
def weights(build_bundle: Run, tmp_path: Path) -> str:
    """Random weights of the tiny network, whose masks have more than one value."""
    torch.manual_seed(0)
    network = build_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **TINY).parser.get_parsed_content(
        "network"
    )
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_four_files_give_the_mask_of_the_file_stacked_from_them(
    weights: str, run_bundle: Run, tmp_path: Path
) -> None:
    image, _ = brain(0)
    files = [write(tmp_path / f"case_{s}.nii.gz", image[..., k], AFFINE) for k, s in enumerate(SEQUENCES)]
    whole = write(tmp_path / "case.nii.gz", image, AFFINE)
    found = []
    for name, given in (("list", files), ("file", whole), ("swapped", [files[k] for k in (1, 0, 2, 3)])):
        out = {"dataset_dir": given, "output_dir": str(tmp_path / name), "weights": weights}
        run_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **TINY, **out)
        (mask,) = (tmp_path / name).iterdir()
        written = nib.load(mask)
        assert written.shape == image.shape[:3]
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-4)
        assert written.get_data_dtype() == np.uint8
        found.append(np.asanyarray(written.dataobj))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) > 1
    assert not np.array_equal(found[0], found[2]), "the order of files is that of the channels"


def z_scores(image: np.ndarray) -> np.ndarray:
    """``image`` (C, D, H, W), each channel over its own non-zero voxels, which alone change."""
    found = np.zeros(image.shape)
    for channel, volume in enumerate(image):
        places = [at for at in itertools.product(*map(range, volume.shape)) if volume[at] != 0]
        values = [float(volume[at]) for at in places]
        mean = sum(values) / len(values)
        deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        for at in places:
            found[(channel, *at)] = (volume[at] - mean) / deviation
    return found


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_each_channel_is_scored_over_its_own_non_zero_voxels(first: str, build_bundle: Run) -> None:
    image = np.moveaxis(brain(3)[0][:12, :11, :10], -1, 0).astype(np.float32)
    image[1, 5] = 0  # a slice that one sequence lacks
    intensity = build_bundle("seg_brats", [first]).parser.get_parsed_content("intensity")
    found = intensity({"image": MetaTensor(torch.tensor(image))})["image"].numpy()
    np.testing.assert_allclose(found, z_scores(image), atol=1e-4)
    assert (found[image == 0] == 0).all()
    assert (found[image != 0] < 0).any()


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_the_foreground_crop_keeps_every_voxel_of_the_brain(first: str, build_bundle: Run, tmp_path: Path) -> None:
    """Its outer layer is dark: the z-scores there are below 0, where a crop to positive values would end."""
    image = np.zeros((20, 18, 16, 4), np.int16)
    image[3:15, 4:14, 2:13] = 100
    image[6:12, 7:11, 5:10] = 900
    image[3:15, 4:14, 2:13] += np.arange(4, dtype=np.int16)
    image[17, 9, 14, 3] = 100  # in one channel alone
    label = np.zeros(image.shape[:3], np.uint8)
    label[3, 4, 2], label[8:10, 8:10, 6:8], label[14, 13, 12] = 1, 4, 2
    item = {"image": write(tmp_path / "image.nii.gz", image, np.eye(4))}
    own = {"spacing": [1.0, 1.0, 1.0], "roi_size": [4, 4, 4], "label_source": "brats2021"}
    parser = build_bundle("seg_brats", [first], **own).parser
    if first == "train.yaml":
        item["label"] = write(tmp_path / "label.nii.gz", label, np.eye(4))
        done = parser.get_parsed_content("validate#preprocessing")(item)
    else:
        done = parser.get_parsed_content("preprocessing")(item)
    expected = z_scores(np.moveaxis(image, -1, 0))
    box = (slice(3, 18), slice(4, 14), slice(2, 15))
    assert (expected[:, 3] < 0).any()
    np.testing.assert_allclose(done["image"].numpy(), expected[(slice(None), *box)], atol=1e-4)
    if first == "train.yaml":
        written = np.where(label == 4, 3, label)
        np.testing.assert_array_equal(done["label"][0].numpy(), written[box])
