"""A small synthetic case for checks, and a rule that segments it in place of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from mim3d.verify.packed import Packed

SHAPE = (30, 26, 18)
#: Voxels of the bright box.
BOX = (slice(8, 20), slice(8, 18), slice(6, 12))


class Brightness(torch.nn.Module):
    """A replacement for a network: its second channel is the largest, and above 0, where the image is bright."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map intensities (B, C, D, H, W) to (B, channels, D, H, W)."""
        answer = image.new_full((len(image), self.channels, *image.shape[2:]), -100.0)
        answer[:, 0] = 0.0
        answer[:, 1] = image.mean(1) - 0.5  # intensities are in [0, 1], or z-scores that are high in the box
        return answer


def small_case(packed: Packed, number: int = 0, value: int = 1) -> dict[str, str]:
    """Write a bright box and its mask as small, anisotropic NIfTI files with swapped axes.

    Args:
        packed: the bundle, whose channels the image gets.
        number: seed and number of the case.
        value: of the mask, in the box.

    Returns:
        The files of ``image`` and ``label``.
    """
    affine = np.array([[0, 3.0, 0, 11], [-2.0, 0, 0, 5], [0, 0, 4.0, -40], [0, 0, 0, 1]])
    rng = np.random.RandomState(number)
    channels = packed.parsed("channels", "inference")
    image = rng.uniform(-320, -280, (*SHAPE, len(channels))).astype(np.float32)
    image[BOX] += 500
    label = np.zeros(SHAPE, np.uint8)
    label[BOX] = value
    files = {"image": packed.scratch / f"case{number}.nii.gz", "label": packed.scratch / f"label{number}.nii.gz"}
    nib.save(nib.Nifti1Image(image if len(channels) > 1 else image[..., 0], affine), files["image"])
    nib.save(nib.Nifti1Image(label, affine), files["label"])
    return {key: str(path) for key, path in files.items()}


def load_nifti(path: str | Path) -> Any:
    """Return a NIfTI image; untyped, because nibabel's annotations lack what images have."""
    return nib.load(path)
