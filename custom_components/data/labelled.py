"""Labelled cases for the dense probe of a pretraining: which ones, and crops of them that never change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from custom_components.data.lists import DataList
from custom_components.data.names import Item
from custom_components.faults import Fault

Place = tuple[slice, slice, slice]


class LabelledCrop(NamedTuple):
    """One crop with its labels.

    Attributes:
        image: ``(1, C, D, H, W)``, float32.
        label: values of the label file, int32 ``(D, H, W)``.
        valid: bool ``(D, H, W)``; False marks padding and background.
        seed: for draws in this crop.
    """

    image: Tensor
    label: Tensor
    valid: Tensor
    seed: int


def probe_cases(data_list: DataList, volumes: int) -> tuple[list[Item], list[Item]]:
    """Return labelled cases of the sections ``training`` and ``validation``; never of ``test``.

    Args:
        data_list: the list.
        volumes: largest number of cases of each section; they are spread evenly over the section.
    """
    training, validation = (data_list.labelled(section) for section in ("training", "validation"))
    return spread_evenly(training, volumes), spread_evenly(validation, volumes)


def spread_evenly(items: Sequence[Item], number: int | None) -> list[Item]:
    """Return ``number`` of the items at even distances, the first and the last among them; None: all."""
    if number is None or number >= len(items):
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, number).round().astype(int)]


def labelled_crops(
    item: Item, transform: Callable[[Any], Any], roi_size: Sequence[int], number: int, seed: int
) -> list[LabelledCrop]:
    """Read a case, and cut crops around voxels of classes that are drawn equally often.

    Args:
        item: ``image``, ``label`` and ``volume_id``.
        transform: returns a dictionary with ``image`` ``(C, D, H, W)``, ``label`` and ``valid`` ``(1, D, H, W)``
            on one grid, not smaller than ``roi_size``. It must draw nothing at random.
        roi_size: voxels of a crop.
        number: crops; fewer if several would be equal.
        seed: the crops depend on it and on the volume only.

    Raises:
        Fault: if the label has several channels, or values that are not whole numbers.
    """
    data = transform(dict(item))
    image, label, valid = (_plain(data[key]) for key in ("image", "label", "valid"))
    if label.shape[0] != 1 or not torch.equal(label, label.round()):
        raise Fault(
            f"{item['label']} has {label.shape[0]} channel(s) or values between whole numbers; the dense probe "
            "needs a label map of whole numbers. Correct the file, or set probe_interval to null"
        )
    seeds = np.random.SeedSequence((seed, int(item["volume_id"])))
    rng = np.random.RandomState(seeds.generate_state(1))
    places = [_place(label[0], valid[0] > 0.5, roi_size, rng) for _ in range(number)]
    unique = {tuple(side.start for side in place): place for place in places}
    return [
        LabelledCrop(
            image[(slice(None), *place)].float()[None].clone(),
            label[0][place].to(torch.int32),
            valid[0][place] > 0.5,
            int(rng.randint(2**31)),
        )
        for place in unique.values()
    ]


def _plain(t: Any) -> Tensor:
    return t.as_tensor() if isinstance(t, MetaTensor) else torch.as_tensor(t)


def _place(label: Tensor, valid: Tensor, roi_size: Sequence[int], rng: np.random.RandomState) -> Place:
    """Draw a class, then one of its voxels, and return the crop around it, moved into the volume."""
    foreground = label.where(valid, 0)
    values = foreground.unique().numpy()
    values = values[values != 0]
    center = [side // 2 for side in label.shape]
    if len(values):
        voxels = (foreground == float(rng.choice(values))).nonzero()
        center = voxels[rng.randint(len(voxels))].tolist()
    starts = [
        min(max(c - r // 2, 0), max(side - r, 0)) for c, r, side in zip(center, roi_size, label.shape, strict=True)
    ]
    d, h, w = (slice(start, start + side) for start, side in zip(starts, roi_size, strict=True))
    return d, h, w


def draw_voxels(crop: LabelledCrop, values: Sequence[int], number: int) -> tuple[Tensor, Tensor]:
    """Draw valid voxels of every class, without replacement; the same ones for the same crop.

    Args:
        crop: the crop.
        values: label value of each class.
        number: largest number of voxels of one class.

    Returns:
        indices ``(N, 3)`` and class numbers ``(N,)``, both long.
    """
    rng = np.random.RandomState(crop.seed)
    voxels, classes = [], []
    for number_of_class, value in enumerate(values):
        found = ((crop.label == value) & crop.valid).flatten().nonzero()[:, 0].numpy()
        if len(found) > number:
            found = rng.choice(found, number, replace=False)
        index = np.stack(np.unravel_index(found, tuple(crop.label.shape)), 1)
        voxels.append(torch.from_numpy(index.astype(np.int64)))
        classes.append(torch.full((len(found),), number_of_class))
    return torch.cat(voxels), torch.cat(classes)
