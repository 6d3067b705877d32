"""MAE for any network: the masked image is encoded whole; the decoder is the network's own, or a light one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_components.heads import PatchHead
from custom_components.masking import FILLS, fill_masked

from .base import all_valid
from .masked import MaskedReconstruction

DECODERS = ("full", "light")


class DenseMAE(MaskedReconstruction):
    """Masked reconstruction with an ordinary U-Net, dense convolutions over the masked image.

    Today's strong default for CNNs (Spark3D, OpenMind: plain MAE in a U-Net comes close to sparse convolutions).

    Args:
        network: any backbone with ``out_channels == in_channels``.
        patch_size: voxels per side of a masked unit.
        decoder: ``"full"``, the network's own, whose last layer is the reconstruction head; or ``"light"``, one
            linear layer from each bottleneck cell to its voxels; then the network's decoder is not trained.
        fill: what masked voxels are replaced with, out of `custom_components.masking.FILLS`; ``learned`` is one
            trained patch per channel.
        normalize_targets: whether each unit's mean and deviation are taken out of the targets.

    Raises:
        ValueError: where network, decoder, fill or channels do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        decoder: str = "full",
        fill: str = "zero",
        normalize_targets: bool = False,
    ) -> None:
        super().__init__(network, patch_size, normalize_targets)
        self.fill = fill
        if decoder not in DECODERS:
            raise ValueError(f"decoder is {decoder!r}; allowed: {', '.join(DECODERS)}")
        if fill not in FILLS:
            raise ValueError(f"fill is {fill!r}; allowed: {', '.join(FILLS)}")
        self.train_only(("",) if decoder == "full" else self.backbone.encoder_prefixes)
        channels = self.backbone.in_channels
        if decoder == "light":
            self.head = PatchHead(self.backbone.bottleneck_channels, channels, self.backbone.stride)
        if fill == "learned":
            self.token = nn.Parameter(torch.zeros(1, channels, *self.patch_size))

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Paint the hidden voxels; arguments and outputs as `MAE`'s, each side a multiple of unit and stride."""
        valid = all_valid(image, valid)
        hidden = fill_masked(image, mask, self.patch_size, self.fill, getattr(self, "token", None), valid)
        encoded = self.backbone.encode(hidden)
        if hasattr(self, "head"):
            cells = encoded.bottleneck
            painted = self.head(cells.flatten(2).transpose(1, 2), cells.shape[2:])
        else:
            painted = self.backbone.decode(encoded)
        return self.outputs(painted, image, mask, valid)
