"""Crops from stored volumes, equal to those of the config's own chain of transforms.

The config's crop transform draws where to cut, on an empty tensor of the padded volume's shape. Only that part is
then read, scaled and padded. So the same random state cuts the same crops, whichever cache is used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Randomizable, Transform
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from custom_components.data.names import first_image
from custom_components.store.centres import centres_path, find_centres, read_centres, split_centres, write_centres
from custom_components.store.chain import Chain
from custom_components.store.volumes import Box, StoredVolume, whole

#: Key under which an item carries its entries.
STORED = "stored"


class StoredCase(NamedTuple):
    """The entries of a case.

    Attributes:
        image: its image.
        label: its label; None if it has none.
    """

    image: StoredVolume
    label: StoredVolume | None = None


class StoredCrops(Transform):
    """Cut the samples of an item from its stored volumes.

    Args:
        chain: the config's transforms.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        """Return one sample, or a list of them if the config's crop returns one.

        Args:
            data: an item with a `StoredCase` under ``stored``.
        """
        item = dict(data)
        case: StoredCase = item.pop(STORED)
        before = padding(self.chain, case.image.shape)
        shape = [side + sum(pair) for side, pair in zip(case.image.shape, before, strict=True)]
        affine = case.image.affine
        affine[:3, 3] -= affine[:3, :3] @ torch.tensor([float(first) for first, _ in before], dtype=torch.float64)
        outlines = self._cut(item, case, shape, affine)
        scale = case.image.intensity(self.chain.intensity)
        samples = [
            _sample(self.chain, outline, case, [first for first, _ in before], affine, scale)
            for outline in (outlines if isinstance(outlines, list) else [outlines])
        ]
        return samples if isinstance(outlines, list) else samples[0]

    def _cut(self, item: dict[Hashable, Any], case: StoredCase, shape: Sequence[int], affine: Tensor) -> Any:
        """Return the item with outlines, empty tensors where crops will be; a list for several crops."""
        empty = torch.zeros(1, dtype=torch.uint8).expand(1, *shape)  # one byte
        file = first_image({"image": item["image"]})
        for key in getattr(self.chain.crop, "keys", ["image"]):
            item[key] = MetaTensor(empty, affine=affine.clone(), meta={"filename_or_obj": file})
        if self.chain.crop is None:
            return item
        if self.chain.classes is not None and case.label is not None:
            name = f"label{self.chain.classes.indices_postfix}"
            item[name] = split_centres(class_centres(self.chain, case.label))
        return self.chain.crop(item)


class RandStoredCrops(Randomizable, StoredCrops):
    """The same for a crop transform that draws: it takes its seed from the chain as the config's own one would."""

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandStoredCrops:
        """Seed the config's crop transform."""
        self.chain.crop.set_random_state(seed, state)
        return self


def crops_of(chain: Chain) -> StoredCrops:
    """Return the transform that cuts the crops of a chain."""
    return RandStoredCrops(chain) if isinstance(chain.crop, Randomizable) else StoredCrops(chain)


def padding(chain: Chain, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return how many voxels the config pads in front of and behind each axis of a volume."""
    if chain.pad is None:
        return [(0, 0)] * len(shape)
    widths: Any = chain.pad.padder.compute_pad_width(shape)[1:]
    return [(int(first), int(last)) for first, last in widths]


def class_centres(chain: Chain, label: StoredVolume) -> np.ndarray:
    """Return the candidates for the centres of crops; found now if they are not stored.

    They depend on ``roi_size`` if the volume is padded, because padding is of class 0.
    """
    if chain.classes is None:
        raise ValueError("the chain has no ClassesToIndicesd")
    widths = padding(chain, label.shape)
    path = centres_path(
        label.folder, chain.classes, [s + sum(w) for s, w in zip(label.shape, widths, strict=True)]
    )
    stored = read_centres(path)
    if stored is None:
        stored = find_centres(_pad(label.read(whole(label.shape)), widths), chain.classes)
        write_centres(path, stored)
    return stored


def _sample(
    chain: Chain,
    outline: Mapping[Hashable, Any],
    case: StoredCase,
    before: Sequence[int],
    affine: Tensor,
    scale: Any,
) -> dict[Hashable, Any]:
    """Read the voxels of one outline, scale and pad them."""
    ghost = outline["image"]
    start = (torch.linalg.inv(affine) @ ghost.affine)[:3, 3].round().long().tolist()
    box, widths = _inside(start, ghost.shape[1:], before, case.image.shape)
    sample = dict(outline)
    volumes = {"image": case.image} | ({} if case.label is None else {"label": case.label})
    for key, volume in volumes.items():
        sample[key] = volume.read(box)
    sample["image"] = scale(sample["image"])
    for transform in chain.voxelwise[1:]:
        sample = transform(sample)
    padded = {"image", "label", *(getattr(chain.pad, "keys", ()))} & set(sample)
    for key in padded:
        sample[key] = _with_meta(_pad(sample[key], widths), ghost)
    for transform in chain.after_pad:
        sample = transform(sample)
    return sample


def _inside(
    start: Sequence[int], size: Sequence[int], before: Sequence[int], shape: Sequence[int]
) -> tuple[Box, list[tuple[int, int]]]:
    """Return the part of a crop that lies in the stored volume, and the padding around that part."""
    box, widths = [], []
    for first, length, front, side in zip(start, size, before, shape, strict=True):
        place = first - front  # in the stored volume; negative in the padding before it
        low = min(max(place, 0), side)
        high = max(low, min(place + length, side))
        missing = min(max(-place, 0), length)
        box.append(slice(low, high))
        widths.append((missing, length - missing - (high - low)))
    d, h, w = box
    return (d, h, w), widths


def _pad(values: Any, widths: Sequence[tuple[int, int]]) -> Tensor:
    tensor = values.as_tensor() if isinstance(values, MetaTensor) else torch.as_tensor(values)
    flat = [width for pair in reversed(widths) for width in pair]
    return pad_tensor(tensor, flat) if any(flat) else tensor


def _with_meta(values: Tensor, outline: Any) -> MetaTensor:
    return MetaTensor(values, meta=dict(outline.meta), applied_operations=list(outline.applied_operations))
