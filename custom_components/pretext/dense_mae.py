"""MAE for any network: the masked image is encoded whole, and decoded by the network or by a linear layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_components.heads import PatchHead
from custom_components.masking import mask_to_voxels
from custom_components.number_checks import check_switch

from .base import all_valid, to_intensities
from .corruption import InputCorruption
from .masked import MaskedReconstruction

DECODERS = ("full", "light")


class DenseMAE(MaskedReconstruction):
    """Masked reconstruction with an ordinary U-Net: dense convolutions over the masked image.

    This is a strong default for CNNs today: in Spark3D and OpenMind, a plain MAE in a U-Net comes close to sparse
    convolutions.

    Args:
        network: any backbone with ``out_channels == in_channels``.
        patch_size: voxels per side of a patch.
        decoder: ``"full"``: the network's own decoder, whose last layer is the reconstruction head. ``"light"``:
            one linear layer from each bottleneck cell to its voxels; the network's decoder is then not trained.
        fill: what masked voxels are replaced with, one of `custom_components.masking.FILLS`; ``learned`` is one
            trained patch per channel.
        normalize_targets: see `MaskedReconstruction`.
        relative_output: whether the network's output is in deviations of the crop's visible voxels, see
            `to_intensities`. It does not go with ``normalize_targets``.
        corruption: see `MaskedReconstruction`.

    Raises:
        ValueError: if network, decoder, fill, channels or switches do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        decoder: str = "full",
        fill: str = "zero",
        normalize_targets: bool = False,
        relative_output: bool = False,
        corruption: InputCorruption | None = None,
    ) -> None:
        super().__init__(network, patch_size, normalize_targets, corruption)
        check_switch(relative_output, "relative_output")
        if relative_output and normalize_targets:
            raise ValueError("relative_output and normalize_targets are both on; allowed: one of them")
        self.relative_output = relative_output
        if decoder not in DECODERS:
            raise ValueError(f"decoder is {decoder!r}; allowed: {', '.join(DECODERS)}")
        self.train_only(("",) if decoder == "full" else self.backbone.encoder_prefixes)
        self.head = None
        if decoder == "light":
            backbone = self.backbone
            self.head = PatchHead(backbone.bottleneck_channels, backbone.in_channels, backbone.stride)
        self.set_fill(fill)

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Reconstruct the masked patches.

        Arguments and outputs are those of `MAE`; each side is a multiple of the patch and the backbone's stride.
        """
        valid = all_valid(image, valid)
        encoded = self.backbone.encode(self.fill_image(image, mask, valid))
        if self.head is None:
            reconstruction = self.backbone.decode(encoded)
        else:
            reconstruction = self.head.from_cells(encoded.bottleneck)
        if self.relative_output:
            visible = ~mask_to_voxels(mask.bool(), self.patch_size) & valid
            reconstruction = to_intensities(reconstruction, image, visible)
        return self.with_targets(reconstruction, image, mask, valid)
