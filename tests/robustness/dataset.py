"""The valid data set that is damaged, weights that were trained on it, and the masks that they give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from mim3d.phantoms.cases import make_case

#: Names of the labelled cases and of the others; both suffixes occur in both kinds of files.
LABELLED = ("imagesTr/c0.nii.gz", "imagesTr/c1.nii.gz", "imagesTr/c2.nii", "imagesTr/c3.nii.gz")
UNLABELLED = ("imagesUn/u0.nii.gz", "imagesUn/u1.nii")
CLASSES = 3


@dataclass(frozen=True)
class Whole:
    """Everything about the undamaged set.

    Attributes:
        folder: the data set, without a list.
        weights: weights that were trained on it, with their card beside them.
        masks: name of an image's file -> the mask that these weights give.
    """

    folder: Path
    weights: Path
    masks: dict[str, np.ndarray]


def write_dataset(folder: Path) -> None:
    """Write four labelled and two unlabelled crops of a phantom MRI."""
    for number, name in enumerate((*LABELLED, *UNLABELLED)):
        case = make_case("hippocampus_mri", number, size="tiny")
        save(folder / name, case.image, case.affine)
        if name in LABELLED:
            save(folder / label_of(name), case.label, case.affine)


def label_of(image: str) -> str:
    """Return the name of the label map of a labelled image."""
    return image.replace("imagesTr", "labelsTr")


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file in mm, with sform and qform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
