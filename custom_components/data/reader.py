"""MONAI readers for images and label maps, and the transform that lays a label map on its image's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config.type_definitions import KeysCollection, PathLike
from monai.data.image_reader import ImageReader
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.enums import MetaKeys, SpaceKeys
from monai.utils.misc import ensure_tuple

from custom_components.data.grids import Header, orientation_onto, spacing_of
from custom_components.data.volumes import check_non_finite, read_label, read_volume


class VolumeReader(ImageReader):
    """Reads images for ``LoadImaged``, see `read_volume`.

    Args:
        non_finite: what NaN and infinity do: ``raise``, or ``replace`` by the channel's smallest finite value.

    Raises:
        Fault: for another value of ``non_finite``.
    """

    def __init__(self, non_finite: str = "raise") -> None:
        check_non_finite(non_finite)
        self.non_finite = non_finite

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return True: any other file is refused when it is read."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[str, ...]:
        """Return the paths; the files are read in `get_data`.

        ``LoadImage`` tries its other readers if this method raises, and they would accept what this one refuses.
        """
        return tuple(str(name) for name in ensure_tuple(data))

    def get_data(self, img: tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the values ``(C, X, Y, Z)`` of the files and the metadata that MONAI's transforms use.

        Raises:
            Fault: as in `read_volume`.
        """
        values, affine = read_volume(img, self.non_finite)
        return values, _metadata(values, affine)


class LabelReader(VolumeReader):
    """Reads label maps for ``LoadImaged``, see `read_label`."""

    def __init__(self) -> None:
        super().__init__()

    def get_data(self, img: tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the values ``(1, X, Y, Z)`` of the file and the metadata that MONAI's transforms use.

        Raises:
            Fault: as in `read_label`.
        """
        (path,) = img
        values, affine = read_label(path)
        return values[None], _metadata(values[None], affine)


class AlignLabeld(MapTransform):
    """Brings label maps onto the grid of their image.

    A label map may store the same voxels with its axes in another order or direction. Its affine becomes exactly
    the image's, so that later transforms treat both alike.

    Args:
        keys: the label maps, ``(1, X, Y, Z)``.
        image_key: the image, ``(C, X, Y, Z)``.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with aligned label maps.

        Raises:
            Fault: if a label map lies on another grid; names both files.
        """
        sample = dict(data)
        image = sample[self.image_key]
        for key in self.key_iterator(sample):
            sample[key] = _aligned(sample[key], image)
        return sample


def _aligned(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    turned = orientation_onto(_file(label), _header(label), _file(image), _header(image))
    values = np.moveaxis(nib.apply_orientation(np.moveaxis(label.numpy(), 0, -1), turned), -1, 0)
    meta = {**label.meta, **_metadata(values, image.affine.numpy())}
    # A copy, because torch takes no array with negative strides.
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values)), meta=meta)


def _file(image: MetaTensor) -> str:
    return str(image.meta["filename_or_obj"])


def _header(image: MetaTensor) -> Header:
    affine = image.affine.numpy()
    x, y, z = image.shape[1:]
    a, b, c = spacing_of(affine)
    return Header((x, y, z), image.shape[0], (float(a), float(b), float(c)), affine)


def _metadata(values: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
    return {
        MetaKeys.AFFINE: affine.copy(),
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(values.shape[1:]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        MetaKeys.SPACE: SpaceKeys.RAS,
    }
