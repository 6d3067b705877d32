"""Shipped configs read files with the one reader of `custom_components.data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged

from custom_components.data import AlignLabeld, LabelReader, VolumeReader
from mim3d.catalog import BUNDLES
from tests.bundles.pretraining import parse

NAMES = sorted(path.name for path in BUNDLES.glob("*_*") if path.is_dir() and not path.name.startswith("_"))
AFFINE = np.array([[0, 0, 1.0, -5], [-1.0, 0, 0, 30], [0, 1.2, 0, 7], [0, 0, 0, 1]])


def reader_of(transform: Any) -> Any:
    assert isinstance(transform, LoadImaged)
    return transform._loader.readers[-1]


@pytest.mark.parametrize("name", NAMES)
def test_every_training_reads_with_the_one_reader(name: str) -> None:
    parser = parse(name, non_finite="replace")
    image, label, align, *_ = parser.get_parsed_content("deterministic_transforms")
    assert type(reader_of(image)) is VolumeReader
    assert reader_of(image).non_finite == "replace"
    if name.startswith("seg_"):
        assert type(reader_of(label)) is LabelReader
        assert isinstance(align, AlignLabeld)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("pretrain_")])
def test_inference_of_pretraining_reads_with_it_and_lists_all_suffixes(name: str, tmp_path: Path) -> None:
    for file in ("b.nii", "A.NII.GZ", "c.Nii.gz", "notes.txt", ".d.nii"):
        (tmp_path / file).touch()
    parser = parse(name, first="inference.yaml", dataset_dir=str(tmp_path))
    reader = reader_of(parser.get_parsed_content("preprocessing").transforms[0])
    assert (type(reader), reader.non_finite) == (VolumeReader, "raise")
    assert parser.get_parsed_content("images") == [
        str(tmp_path / file) for file in ("A.NII.GZ", "b.nii", "c.Nii.gz")
    ]


@pytest.mark.parametrize("layers", [(), ("evaluate.yaml",)])
def test_odd_files_give_the_crops_and_labels_of_clean_ones(layers: tuple[str, ...], tmp_path: Path) -> None:
    """Micron and another order of the label's axes; labels that a float left just below whole numbers."""
    rng = np.random.RandomState(0)
    image, label = rng.randint(0, 900, (24, 20, 28)).astype(np.int16), rng.randint(0, 3, (24, 20, 28))
    turn = nib.orientations.axcodes2ornt("PIR")
    moved = AFFINE @ nib.orientations.inv_ornt_aff(turn, label.shape)
    micron = nib.Nifti1Image(image[..., None, None], np.diag([1000.0, 1000, 1000, 1]) @ AFFINE)
    micron.header.set_xyzt_units("micron")
    files = {
        "clean_image.nii.gz": nib.Nifti1Image(image, AFFINE),
        "clean_label.nii.gz": nib.Nifti1Image(label.astype(np.uint8), AFFINE),
        "odd_image.nii.gz": micron,
        "odd_label.nii.gz": nib.Nifti2Image(
            nib.apply_orientation(label * np.float32(0.9999999), turn).astype(np.float32), moved
        ),
    }
    for file, content in files.items():
        nib.save(content, tmp_path / file)
    # At this spacing, no voxel lies halfway between two others, where rounding decides.
    parser = parse("seg_msd_hippocampus", *layers, spacing=[0.93, 1.31, 1.07])
    transforms = Compose(parser.get_parsed_content("deterministic_transforms"))
    clean, odd = (
        transforms({key: str(tmp_path / f"{kind}_{key}.nii.gz") for key in ("image", "label")})
        for kind in ("clean", "odd")
    )
    assert torch.equal(odd["label"], clean["label"])
    assert torch.allclose(odd["image"], clean["image"], atol=1e-4)
    assert torch.allclose(odd["image"].affine, clean["image"].affine, atol=1e-5)
    if layers:  # predictions are scored on the grid of the image's file
        assert np.array_equal(odd["label"][0].numpy(), label)
