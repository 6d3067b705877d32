"""Decisions on sizes: network, crop and batch, so that a step fits into the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from custom_components.machine import readable
from mim3d.catalog import NETWORKS, Method
from mim3d.plan.bundle_keys import pretraining_network, segmentation_network, shipped
from mim3d.plan.cost import Cost, cost, work
from mim3d.plan.decisions import BOTH, PRETRAIN, SEGMENT, Decision

#: Sides in voxels of the cubes that crops may be as large as, and whether with one crop of a volume; in the order
#: in which they are tried.
_CUBES = ((128, False), (112, False), (96, False), (96, True), (80, True), (64, True), (48, True), (32, True))
_SMALL_CUBE = 48
_LEAST_STEP = 16  # voxels: two patches of 8, or one of 16
_USED = 0.8  # share of the memory that a step may take; the rest is for what the estimate leaves out
_WHOLE = 1.5  # factor on the voxels of a crop that holds a whole volume
_MOST_SEG_CROPS = 4
_GB = 1e9


@dataclass(frozen=True)
class Sizes:
    """Sizes of both trainings.

    Attributes:
        roi_size: voxels of a crop along right, anterior, superior.
        batch_size: volumes of a pretraining step.
        num_samples: crops of each of them.
        seg_batch_size: volumes of a segmentation step.
        seg_num_samples: crops of each of them.
        pretraining: what its step takes.
        segmentation: the same; None without labels.
    """

    roi_size: tuple[int, int, int]
    batch_size: int
    num_samples: int
    seg_batch_size: int
    seg_num_samples: int
    pretraining: Cost
    segmentation: Cost | None


@dataclass(frozen=True)
class Request:
    """What sizes are chosen for.

    Attributes:
        method: the pretraining method.
        network: key of ``NETWORKS``.
        channels: of the image.
        classes: with background; 0 without labels.
        small: whether for a CPU.
        gpu_memory: GB of the GPU.
        volumes: volumes to pretrain on.
        labelled: volumes to train the segmentation on.
    """

    method: Method
    network: str
    channels: int
    classes: int
    small: bool
    gpu_memory: float
    volumes: int
    labelled: int


def choose_sizes(shape: Sequence[float], spacing: Sequence[float], asked: Request) -> Sizes:
    """Choose the largest crops and batch that fit.

    Args:
        shape: voxels of the median volume at the planned spacing.
        spacing: mm.
        asked: what they are for.

    Raises:
        ValueError: if not even the smallest crops fit.
    """
    step, limit = crop_step(asked), _USED * asked.gpu_memory * _GB
    tried = ((_SMALL_CUBE, False),) if asked.small else _CUBES
    for cube, single in tried:
        roi = crop_size(shape, spacing, step, cube**3)
        sizes = _sizes(roi, all(side >= n for side, n in zip(roi, shape, strict=True)), single, asked)
        if asked.small or _memory(sizes) <= limit:
            return sizes
    raise ValueError(
        f"a step of {asked.method.title} with {NETWORKS[asked.network].title} and crops of"
        f" {'×'.join(map(str, roi))} voxels takes about {readable(_memory(sizes))}; --gpu_memory is"
        f" {asked.gpu_memory:g} GB, of which {_USED:.0%} are used. Choose another --network, or --small"
    )


def crop_step(asked: Request) -> int:
    """Return what the sides of a crop must be multiples of, for the network's bottleneck and for whole regions."""
    keys = segmentation_network(asked.network, asked.small)
    stride = work(keys["architecture"], asked.channels, max(asked.classes, 1), (64, 64, 64)).stride
    return max(stride, _LEAST_STEP)


def crop_size(shape: Sequence[float], spacing: Sequence[float], step: int, most: int) -> tuple[int, int, int]:
    """Return a crop with sides of about equal length in mm, no longer than the volume.

    Args:
        shape: voxels of the volume.
        spacing: mm.
        step: sides are multiples of it; a volume may be padded to the next one.
        most: largest number of voxels; half as many more if the crop then holds the volume.
    """
    caps = [step * math.ceil(side / step) for side in shape]
    if math.prod(caps) == step**3:  # a norm over one cell of the bottleneck has no spread
        caps[int(np.argmax(shape))] += step
    if math.prod(caps) <= _WHOLE * most:
        return caps[0], caps[1], caps[2]
    sides = [step, step, step]
    while True:  # lengthen the side that is the shortest in mm; if there is no room for that, the next one
        for axis in sorted(range(3), key=lambda axis: sides[axis] * spacing[axis]):
            longer = [side + step * (axis == other) for other, side in enumerate(sides)]
            if longer[axis] <= caps[axis] and math.prod(longer) <= most:
                sides = longer
                break
        else:
            return sides[0], sides[1], sides[2]


def _sizes(roi: tuple[int, int, int], whole: bool, single: bool, asked: Request) -> Sizes:
    """Return the sizes with the batch of the method's config; ``whole``: a crop holds a volume."""
    own = shipped(asked.method.bundle) | (shipped(asked.method.bundle, "smoke") if asked.small else {})
    batch, samples = own["batch_size"], 1 if single else own["num_samples"]
    if whole:  # a second crop of a volume would show the same
        batch, samples = batch * samples, 1
    device = "cpu" if asked.small else "cuda"
    args = (asked.channels, asked.channels, roi, asked.small, device)
    pretraining = cost(asked.method, asked.network, *args)
    batch = max(1, min(batch, asked.volumes))
    if not asked.classes:
        return Sizes(roi, batch, samples, 1, 1, pretraining, None)
    segmentation = cost(None, asked.network, asked.channels, asked.classes, roi, asked.small, device)
    room = _USED * asked.gpu_memory * _GB - segmentation.fixed
    fitting = _MOST_SEG_CROPS if asked.small else int(room / segmentation.per_crop)
    crops = max(1, min(_MOST_SEG_CROPS, fitting))
    seg = (max(1, min(crops, asked.labelled)), 1) if whole else (1, crops)
    return Sizes(roi, batch, samples, *seg, pretraining, segmentation)


def _memory(sizes: Sizes) -> float:
    """Return the bytes of the larger of the two steps."""
    pretraining = sizes.pretraining.memory(sizes.batch_size * sizes.num_samples)
    if sizes.segmentation is None:
        return pretraining
    return max(pretraining, sizes.segmentation.memory(sizes.seg_batch_size * sizes.seg_num_samples))


def decide_network(asked: Request, given: bool) -> list[Decision]:
    """Decide the network, and return the other keys that its layer brings.

    Args:
        asked: what it is for.
        given: whether the user chose it.
    """
    network = NETWORKS[asked.network]
    chosen = "as asked" if given else f"the network that {asked.method.title} pretrains by default"
    why = f"{network.title}, {chosen}; crops are multiples of {crop_step(asked)} voxels."
    if asked.small:
        why += " Small form: narrow, as in the quick start."
    pretraining = pretraining_network(asked.method, asked.network, asked.small)
    made = [Decision("architecture", pretraining.pop("architecture"), why, PRETRAIN)]
    keys = segmentation_network(asked.network, asked.small)
    made.append(Decision("architecture", keys.pop("architecture"), why, SEGMENT, shown=False))
    about = f"Of the layer {asked.network}.yaml."
    made += [Decision(key, pretraining[key], about, PRETRAIN, key == "learning_rate") for key in pretraining]
    made += [Decision(key, value, about, SEGMENT, shown=False) for key, value in keys.items()]
    return made


def decide_sizes(sizes: Sizes, shape: Sequence[float], asked: Request) -> list[Decision]:
    """Decide crop and batch."""
    median = " × ".join(f"{side:.0f}" for side in np.asarray(shape))
    why = f"Sides of about equal length in mm; the median volume has {median} voxels at the planned spacing."
    limit = "small form" if asked.small else f"{_USED:.0%} of {asked.gpu_memory:g} GB may be used"
    made = [
        Decision("roi_size", list(sizes.roi_size), why, BOTH),
        Decision(
            "batch_size",
            sizes.batch_size,
            _batch_reason(sizes.pretraining, sizes.batch_size, sizes.num_samples, limit),
            PRETRAIN,
        ),
        Decision("num_samples", sizes.num_samples, "Crops of each volume of a step.", PRETRAIN, shown=False),
    ]
    if sizes.segmentation is not None:
        reason = _batch_reason(sizes.segmentation, sizes.seg_batch_size, sizes.seg_num_samples, limit)
        made += [
            Decision("batch_size", sizes.seg_batch_size, reason, SEGMENT),
            Decision(
                "num_samples", sizes.seg_num_samples, "Crops of each volume of a step.", SEGMENT, shown=False
            ),
        ]
    return made


def _batch_reason(taken: Cost, batch: int, samples: int, limit: str) -> str:
    sure = "estimated" if taken.estimated else "as measured"
    return (
        f"{batch} volume{'s' * (batch > 1)} × {samples} crop{'s' * (samples > 1)}. A step takes about"
        f" {readable(taken.memory(batch * samples))} ({sure} from {taken.step.source}); {limit}."
    )
