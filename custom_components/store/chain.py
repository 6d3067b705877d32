"""A config's transforms, taken apart: what is stored, and what is done with each crop that is read."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import (
    CenterSpatialCropd,
    RandCropByLabelClassesd,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    SpatialPadd,
)
from monai.transforms.intensity.dictionary import NormalizeIntensityd, ScaleIntensityRanged
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.utility.dictionary import CastToTyped, ClassesToIndicesd

from custom_components.masking import AddValidMaskd

_CROPS = (CenterSpatialCropd, RandSpatialCropd, RandSpatialCropSamplesd, RandCropByLabelClassesd)


class Chain(NamedTuple):
    """The transforms of a sample by what they are for.

    Attributes:
        first: before a file is read.
        prepare: reading, orientation, spacing; their result is stored.
        foreground: crops to the foreground.
        foreground_is_scaled: whether it comes after ``intensity``; otherwise it is one of ``prepare``.
        intensity: scales intensities.
        voxelwise: may be done to each crop, before it is padded.
        pad: pads volumes to the size of a crop; None: nothing is padded.
        after_pad: may be done to each crop, after it was padded.
        classes: finds voxels of each class, for the centres of crops; None: not needed.
        crop: cuts crops, of the image alone where it can; None: the whole volume is a sample.
        rest: everything behind it.
    """

    first: list[Any]
    prepare: list[Any]
    foreground: Any
    foreground_is_scaled: bool
    intensity: Any
    voxelwise: list[Any]
    pad: SpatialPadd | None
    after_pad: list[Any]
    classes: ClassesToIndicesd | None
    crop: Any
    rest: list[Any]


def take_apart(transform: Compose, intensity: Any, foreground: Any) -> Chain:
    """Take a chain of transforms apart.

    Args:
        transform: from the file to the sample.
        intensity: the transform in it that scales intensities.
        foreground: the transform in it that crops to the foreground.

    Raises:
        ValueError: for a chain that cannot be read from a store; it names the transform.
    """
    transforms = list(transform.transforms)
    places = [k for k, one in enumerate(transforms) if one is intensity]
    loads = [k for k, one in enumerate(transforms) if isinstance(one, LoadImaged)]
    if len(places) != 1 or not loads or loads[0] > places[0]:
        raise ValueError(
            "cache is store, which needs LoadImaged, then intensity, once, in deterministic_transforms"
        )
    _check_intensity(intensity)
    behind = transforms[places[0] + 1 :]
    crop = next((k for k, one in enumerate(behind) if isinstance(one, _CROPS)), None)
    between, rest = (behind, []) if crop is None else (behind[:crop], behind[crop + 1 :])
    pad = _only(between, SpatialPadd)
    where = between.index(pad) if pad in between else len(between)
    voxelwise = [intensity, *_allowed(between[:where], (AddValidMaskd, CastToTyped), foreground)]
    after_pad = _allowed(between[where + 1 :], (CastToTyped, ClassesToIndicesd), foreground)
    if pad is not None and (set(pad.mode) != {"constant"} or pad.padder.kwargs):
        raise ValueError(f"cache is store, which pads with 0, found mode {pad.mode[0]!r}; set cache to ram")
    return Chain(
        first=transforms[: loads[0]],
        prepare=transforms[loads[0] : places[0]],
        foreground=foreground,
        foreground_is_scaled=any(one is foreground for one in between),
        intensity=intensity,
        voxelwise=voxelwise,
        pad=pad,
        after_pad=[one for one in after_pad if not isinstance(one, ClassesToIndicesd)],
        classes=_only(between, ClassesToIndicesd),
        crop=None if crop is None else _of_the_image(behind[crop]),
        rest=rest,
    )


def _of_the_image(crop: Any) -> Any:
    """Return a crop transform that cuts the image alone, because it cuts all its keys alike, and one by one."""
    if isinstance(crop, RandCropByLabelClassesd):  # it asks the label for the shape
        return crop
    crop = copy(crop)
    crop.keys = ("image",)
    return crop


def _check_intensity(intensity: Any) -> None:
    """A crop must be scaled without seeing the rest of its volume, except for mean and standard deviation."""
    if isinstance(intensity, ScaleIntensityRanged):
        return
    if isinstance(intensity, NormalizeIntensityd) and intensity.normalizer.channel_wise:
        return
    raise ValueError(
        "cache is store, which knows ScaleIntensityRanged and NormalizeIntensityd with channel_wise as intensity,"
        f" found {type(intensity).__name__}; set cache to ram"
    )


def _allowed(transforms: Sequence[Any], classes: tuple[type, ...], foreground: Any) -> list[Any]:
    kept = [one for one in transforms if one is not foreground]
    for one in kept:
        if not isinstance(one, classes):
            raise ValueError(
                f"cache is store, which cannot do {type(one).__name__} to a crop before it is cut; allowed there:"
                f" {', '.join(c.__name__ for c in (*classes, SpatialPadd))}; set cache to ram"
            )
    return kept


def _only(transforms: Sequence[Any], kind: type) -> Any:
    found = [one for one in transforms if isinstance(one, kind)]
    if len(found) > 1:
        raise ValueError(f"cache is store, which needs at most one {kind.__name__}, found {len(found)}")
    return found[0] if found else None
