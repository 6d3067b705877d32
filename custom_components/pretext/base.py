"""The base class of the pretext networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from custom_components.averages import masked_mean_and_deviation
from custom_components.backbones import adapt
from custom_components.masking import check_fill, fill_masked

from .corruption import InputCorruption


class PretextNetwork(nn.Module):
    """A segmentation network with the heads of a pretraining method.

    Args:
        network: the very network that segmentation will use, of a class that ``backbones`` knows.
        corruption: what is done to the network's input besides masking, while training; None: nothing.

    Attributes:
        outputs: names of what ``forward`` can return, which loss terms read.
        backbone: the adapter of ``network``.
        trained: state-dict prefixes of the part of ``network`` that is trained; ``("",)``: all of it.

    Raises:
        ValueError: for a network without an adapter.
    """

    outputs: ClassVar[frozenset[str]]
    trained: tuple[str, ...]
    patch_size: tuple[int, int, int]
    fill: str

    def __init__(self, network: nn.Module, corruption: InputCorruption | None = None) -> None:
        super().__init__()
        self.network = network
        self.corruption = InputCorruption() if corruption is None else corruption
        self.backbone = adapt(network)

    def check_reconstructs(self) -> None:
        """Check that the network writes as many channels as it reads.

        Raises:
            ValueError: naming both numbers.
        """
        channels = self.backbone.in_channels, self.backbone.out_channels
        if channels[0] != channels[1]:
            raise ValueError(
                f"the pretraining network has in_channels {channels[0]} and out_channels {channels[1]}; "
                "they must be equal: its last layer reconstructs the image"
            )

    def check_crop(self, roi_size: Sequence[int]) -> None:
        """Check that the network takes crops of ``roi_size`` voxels.

        Raises:
            ValueError: naming what does not fit.
        """
        self.backbone.check_crop("roi_size", roi_size)

    def train_only(self, prefixes: tuple[str, ...]) -> None:
        """Freeze every network parameter that no loss term reaches, as DistributedDataParallel needs.

        Frozen parameters are saved like all others.

        Args:
            prefixes: state-dict prefixes of what is trained; ``("",)``: everything that the network reads.
        """
        self.trained = prefixes
        for name, parameter in self.network.named_parameters():
            if not name.startswith(prefixes) or name in self.backbone.unused_parameters:
                parameter.requires_grad_(False)

    def set_fill(self, fill: str) -> None:
        """Set what masked voxels are replaced with, and build the learned patch if it is ``learned``.

        Raises:
            ValueError: for an unknown fill.
        """
        check_fill(fill)
        self.fill = fill
        if fill == "learned":
            self.token = nn.Parameter(torch.zeros(1, self.backbone.in_channels, *self.patch_size))

    def fill_image(self, image: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
        """Corrupt ``(B, C, D, H, W)``, then replace its masked patches."""
        image = self.corruption(image, valid)
        return fill_masked(image, mask, self.patch_size, self.fill, getattr(self, "token", None), valid)


def to_intensities(output: Tensor, image: Tensor, visible: Tensor) -> Tensor:
    """Turn an output in deviations of the crop's visible voxels into intensities, per sample and channel.

    Instance normalisation removes a crop's mean and deviation, so a network cannot tell a dark crop from a bright
    one. Adding them to the output, as reversible instance normalisation does for time series (ICLR 2022), leaves
    the network the image's content to learn.

    Args:
        output: of the network, ``(B, C, D, H, W)``.
        image: before corruption and masking; the same shape, or of another size.
        visible: bool ``(B, 1, D, H, W)``, of the image: True where mean and deviation are taken from.
    """
    mean, deviation = masked_mean_and_deviation(image, visible)
    return output.to(mean.dtype) * deviation + mean


def all_valid(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return ``valid`` as bool ``(B, 1, D, H, W)``; if it is None, every voxel counts."""
    return torch.ones_like(image[:, :1], dtype=torch.bool) if valid is None else valid.bool()
