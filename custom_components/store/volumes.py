"""A stored volume, of which parts are read: nothing is held in memory between two reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms.intensity.array import NormalizeIntensity, ScaleIntensityRange
from monai.transforms.intensity.dictionary import ScaleIntensityRanged
from torch import Tensor

from custom_components.faults import Fault
from custom_components.store.formats import read_part
from custom_components.store.rounding import to_float32

Box = tuple[slice, slice, slice]


class StoredVolume(NamedTuple):
    """An entry of a store.

    Attributes:
        folder: of the entry.
        content: of its ``entry.json``.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        d, h, w = self.content["shape"][1:]
        return d, h, w

    @property
    def is_image(self) -> bool:
        """Whether the numbers have a step and stand for intensities, not classes."""
        return "step" in self.content

    @property
    def affine(self) -> Tensor:
        """Voxel to mm, (4, 4), float64."""
        return torch.tensor(self.content["affine"], dtype=torch.float64)

    def read(self, box: Box) -> Tensor:
        """Return the voxels in a box, ``(C, d, h, w)``: float32 for an image, whole numbers for a label.

        Raises:
            Fault: if the file is gone or truncated, or needs a package that is not installed.
        """
        file = self.folder / self.content["file"]
        try:
            part = read_part(file, (slice(None), *box))
            # Copied here, and only this part.
            numbers = (
                to_float32(part, self.content["step"], self.content["zero"]) if self.is_image else np.array(part)
            )
        except Fault:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise Fault(f"{file} is gone or damaged ({error}); start again, and it is prepared again") from None
        return torch.from_numpy(numbers)

    def intensity(self, intensity: Any) -> Any:
        """Return what scales one image tensor of this volume as the config's transform scales the whole volume.

        It may change the tensor that it gets.
        """
        if isinstance(intensity, ScaleIntensityRanged):
            return partial(scale_range, intensity.scaler)
        given = intensity.normalizer
        which = "nonzero" if given.nonzero else "all"
        return NormalizeIntensity(
            subtrahend=given.subtrahend if given.subtrahend is not None else self.content["mean"][which],
            divisor=given.divisor if given.divisor is not None else self.content["std"][which],
            nonzero=given.nonzero,
            channel_wise=True,
            dtype=given.dtype,
        )


def scale_range(scaler: ScaleIntensityRange, image: Tensor) -> Tensor:
    """Return what ``ScaleIntensityRange`` returns, from the same operations on the same memory.

    A crop of 96³ voxels does not fit into a core's cache, so each new tensor costs as much as the arithmetic.

    Args:
        scaler: MONAI's transform.
        image: float32; it is overwritten.
    """
    if (
        image.dtype != torch.float32
        or scaler.dtype not in (np.float32, torch.float32)
        or scaler.a_max == scaler.a_min
    ):
        return torch.as_tensor(scaler(image))
    image.sub_(scaler.a_min).div_(scaler.a_max - scaler.a_min)
    if scaler.b_min is not None and scaler.b_max is not None and (scaler.b_min, scaler.b_max) != (0, 1):
        image.mul_(scaler.b_max - scaler.b_min).add_(scaler.b_min)
    return image.clamp_(scaler.b_min, scaler.b_max) if scaler.clip else image


def statistics(image: Tensor) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard deviation of each channel ``(C, D, H, W)``, of all and of non-zero voxels.

    They are computed as ``NormalizeIntensity`` computes them.
    """
    found: dict[str, dict[str, list[float]]] = {
        "mean": {"all": [], "nonzero": []},
        "std": {"all": [], "nonzero": []},
    }
    for channel in image:
        numbers = channel.numpy()
        nonzero = torch.from_numpy(numbers[numbers != 0])  # as torch selects, but twice as fast
        for which, voxels in (("all", channel), ("nonzero", nonzero)):
            empty = voxels.numel() == 0
            found["mean"][which].append(0.0 if empty else voxels.mean().item())
            found["std"][which].append(0.0 if empty else voxels.std(unbiased=False).item())
    return found


def whole(shape: Sequence[int]) -> Box:
    """Return the box of a whole volume."""
    d, h, w = (slice(0, side) for side in shape)
    return d, h, w
