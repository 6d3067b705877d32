"""A chain of transforms as in the shipped configs, and cases whose volumes have every property that matters."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import (
    CastToTyped,
    CenterSpatialCropd,
    ClassesToIndicesd,
    Compose,
    CopyItemsd,
    CropForegroundd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByLabelClassesd,
    RandFlipd,
    RandShiftIntensityd,
    RandSpatialCropSamplesd,
    ScaleIntensityRanged,
    SpatialPadd,
)

from custom_components.data import AlignLabeld, AxisSpacingd, LabelReader, VolumeReader, stored_foreground
from custom_components.masking import AddValidMaskd
from custom_components.store import Store

Item = dict[str, Any]


class Recipe(NamedTuple):
    """A dataset's transforms, and what a config passes to its store."""

    transform: Compose
    intensity: Any
    foreground: Any
    channels: list[str]

    def store(self, folder: Path, dataset_dir: Path, **changes: Any) -> Store:
        keys = {"orientation": "RAS", "spacing": [1.5, 1.5, 2.0], **changes}
        return Store(
            str(folder),
            str(dataset_dir),
            self.channels,
            intensity=self.intensity,
            foreground=self.foreground,
            **keys,
        )


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """``make_recipe(kind="ct" | "mr", roi=..., crop="random" | "centre" | "classes" | None)``."""

    def make(kind: str = "ct", roi: tuple[int, int, int] = (16, 12, 20), crop: str | None = "random") -> Recipe:
        labelled = crop in ("classes", None)
        keys = ["image", "label"] if labelled else ["image"]
        if kind == "ct":
            intensity: Any = ScaleIntensityRanged("image", -175.0, 250.0, 0.0, 1.0, clip=True)
            foreground = CropForegroundd(keys, "image", allow_smaller=True)
        else:
            intensity = NormalizeIntensityd("image", nonzero=True, channel_wise=True)
            select = functools.partial(operator.ne, 0)
            foreground = CropForegroundd(keys, "image", select_fn=select, allow_smaller=True)
        read: list[Any] = [LoadImaged("image", reader=VolumeReader(), ensure_channel_first=True)]
        if labelled:
            read += [LoadImaged("label", reader=LabelReader(), ensure_channel_first=True), AlignLabeld("label")]
        modes = ["bilinear", "nearest"][: len(keys)]
        view = [
            Orientationd(keys, axcodes="RAS", labels=None),
            AxisSpacingd(keys, [1.5, 1.5, 2.0], modes, is_foreground=stored_foreground(intensity, foreground)),
            intensity,
            foreground,
        ]
        cut: list[Any] = []
        flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
        shift = RandShiftIntensityd("image", offsets=0.1, prob=0.5)
        if labelled:
            pad = [SpatialPadd(keys, roi), CastToTyped("label", dtype=torch.uint8)]
        else:
            keys = ["image", "valid"]
            pad = [AddValidMaskd("image", background_below=0.2), SpatialPadd(keys, roi)]
            flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
        if crop == "random":
            cut = [RandSpatialCropSamplesd(keys, roi, num_samples=3, random_size=False), *flips, shift]
        elif crop == "centre":
            cut = [CenterSpatialCropd(keys, roi), shift]
        elif crop == "classes":
            indices = ClassesToIndicesd("label", num_classes=3, max_samples_per_class=50)
            by_class = RandCropByLabelClassesd(
                keys, "label", roi, num_classes=3, num_samples=3, indices_key="label_cls_indices", warn=False
            )
            cut = [indices, by_class, *flips, shift]
        files = CopyItemsd("image", names="files")
        channels = ["CT"] if kind == "ct" else ["T1", "T2"]
        return Recipe(Compose([files, *read, *view, *pad, *cut]), intensity, foreground, channels)

    return make


@pytest.fixture
def cases(tmp_path: Path) -> Callable[[str], list[Item]]:
    """``cases("ct" | "mr")``: a large and a small volume, not cubic, turned, with a border of background."""

    def write(kind: str) -> list[Item]:
        folder = tmp_path / f"data_{kind}"
        folder.mkdir(exist_ok=True)
        items = []
        for number, shape in enumerate([(40, 34, 26), (16, 30, 12)]):
            rng = np.random.RandomState(number)
            channels = 1 if kind == "ct" else 2
            empty = -1000 if kind == "ct" else 0
            values = np.full((*shape, channels), empty, np.float32)
            inside = tuple(slice(3, side - 2) for side in shape)
            body = (
                rng.normal(40, 120, values[inside].shape)
                if kind == "ct"
                else rng.gamma(2, 150, values[inside].shape)
            )
            values[inside] = body.round()
            label = np.zeros(shape, np.uint8)
            label[inside] = rng.randint(0, 3, label[inside].shape)
            affine = np.diag([-1.4, 1.6, 2.2, 1.0])
            affine[:3, 3] = (30, -20, 5)
            stored = values[..., 0].astype(np.int16) if kind == "ct" else values.astype(np.float32)
            image_file, label_file = folder / f"case_{number}.nii.gz", folder / f"case_{number}_seg.nii.gz"
            nib.save(nib.Nifti1Image(stored, affine), image_file)
            nib.save(nib.Nifti1Image(label, affine), label_file)
            items.append({"image": str(image_file), "label": str(label_file), "volume_id": number})
        return items

    return write
