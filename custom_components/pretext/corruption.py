"""Corruption of the network's input besides masking: noise and other contrast. The target stays clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from custom_components.averages import masked_mean_and_deviation
from custom_components.number_checks import check_number


class InputCorruption(nn.Module):
    """Add noise to an image and change its contrast, so that a pretext network learns to undo both.

    Every sample draws its own strength from each range, from torch's global generators. Noise is measured in the
    sample's own standard deviation over its valid voxels, per channel, so that it means the same for a z-score and
    for intensities in [0, 1]. In evaluation mode the image is returned as it is.

    Args:
        noise: range of the standard deviation of Gaussian noise, in deviations of the sample; [0, 0]: none.
        contrast: range of the factor by which voxels move away from the sample's mean; [1, 1]: unchanged.

    Raises:
        ValueError: unless both are two numbers in ascending order, the noise from 0, the contrast above 0.
    """

    def __init__(self, noise: Sequence[float] = (0.0, 0.0), contrast: Sequence[float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.noise = _range(noise, "input_noise", at_least=0)
        self.contrast = _range(contrast, "input_contrast", above=0)

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Return the corrupted image.

        Args:
            image: ``(B, C, D, H, W)``.
            valid: bool ``(B, 1, D, H, W)``; other voxels do not enter mean and deviation, and stay as they are.
        """
        if not self.training or (self.noise == (0, 0) and self.contrast == (1, 1)):
            return image
        mean, deviation = masked_mean_and_deviation(image, valid)
        wide = image.to(mean.dtype)
        corrupted = mean + (wide - mean) * self._draw(self.contrast, wide)
        corrupted = corrupted + torch.randn_like(wide) * deviation * self._draw(self.noise, wide)
        return torch.where(valid, corrupted.to(image.dtype), image)

    @staticmethod
    def _draw(bounds: tuple[float, float], like: Tensor) -> Tensor:
        low, high = bounds
        return low + (high - low) * torch.rand(len(like), 1, 1, 1, 1, device=like.device, dtype=like.dtype)


def _range(bounds: Sequence[float], name: str, **limits: Any) -> tuple[float, float]:
    if isinstance(bounds, str) or not isinstance(bounds, Sequence) or len(bounds) != 2:
        raise ValueError(f"{name} is {bounds!r}; allowed: two numbers, the smallest and the largest")
    for bound in bounds:
        check_number(bound, name, **limits)
    if bounds[0] > bounds[1]:
        raise ValueError(f"{name} is {list(bounds)}; allowed: two numbers, the smaller one first")
    return float(bounds[0]), float(bounds[1])
