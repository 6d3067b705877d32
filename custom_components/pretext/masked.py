"""Base classes of the masked methods (MAE, DenseMAE, SimMIM)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_components.backbones import fix_sincos_positions
from custom_components.masking import mask_to_voxels, normalize_patches, patch_grid, to_3tuple
from custom_components.number_checks import check_switch

from .base import PretextNetwork
from .corruption import InputCorruption

POSITIONS = ("learned", "sincos")
RECONSTRUCTION = frozenset({"reconstruction", "reconstruction_target", "reconstruction_mask", "visible_mask"})


class MaskedReconstruction(PretextNetwork):
    """A network that reconstructs masked patches, and the targets of its loss.

    These arguments and errors are common to all masked methods.

    Args:
        network: any backbone with ``out_channels == in_channels``.
        patch_size: voxels per side of a patch, the unit that is masked.
        normalize_targets: whether the mean and standard deviation of each patch are removed from the targets.
        corruption: what is done to the input besides masking; the target stays clean. None: nothing.

    Raises:
        ValueError: for a network without an adapter, or with unequal channels; for a switch that is text.
    """

    outputs = RECONSTRUCTION

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int,
        normalize_targets: bool,
        corruption: InputCorruption | None = None,
    ) -> None:
        super().__init__(network, corruption)
        self.patch_size = to_3tuple(patch_size, "patch_size")
        check_switch(normalize_targets, "normalize_targets")
        self.normalize_targets = normalize_targets
        self.check_reconstructs()

    def with_targets(
        self, reconstruction: Tensor, image: Tensor, mask: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """Return the reconstruction with what the loss, the scores and the pictures compare it with.

        Args:
            reconstruction: ``(B, C, D, H, W)``, in the unit of the targets.
            image: the same shape.
            mask: bool ``(B, 1, gd, gh, gw)``, True = masked.
            valid: bool ``(B, 1, D, H, W)``.

        Returns:
            ``reconstruction``, ``reconstruction_target`` ``(B, C, D, H, W)``; ``reconstruction_mask`` (masked and
            valid voxels) and ``visible_mask`` (visible and valid voxels) ``(B, 1, D, H, W)``. With normalised
            targets also ``rescaled_reconstruction``, scaled back with the mean and deviation of each patch of the
            image, as in MAE's published pictures, and ``rescaled_target``, the image.
        """
        masked = mask_to_voxels(mask.bool(), self.patch_size)
        outputs = {
            "reconstruction": reconstruction,
            "reconstruction_target": image,
            "reconstruction_mask": masked & valid,
            "visible_mask": ~masked & valid,
        }
        if self.normalize_targets:
            target = normalize_patches(image, valid, self.patch_size)
            outputs["reconstruction_target"] = target.image
            outputs["rescaled_reconstruction"] = reconstruction.detach() * target.deviation + target.mean
            outputs["rescaled_target"] = image
        return outputs


class TokenReconstruction(MaskedReconstruction):
    """A masked method on a transformer, of which only the encoder is trained.

    Args:
        network: a transformer with ``out_channels == in_channels``.
        patch_size: voxels per side of a patch, a multiple of the network's token (UNETR 16, UNETRPatch8 8,
            SwinUNETR 2 voxels).
        positions: ``"learned"``, or ``"sincos"`` (fixed). SwinUNETR has its own relative positions: "learned".
        normalize_targets: see `MaskedReconstruction`.
        corruption: see `MaskedReconstruction`.

    Raises:
        ValueError: if network, sizes or positions do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int,
        positions: str,
        normalize_targets: bool,
        corruption: InputCorruption | None = None,
    ) -> None:
        super().__init__(network, patch_size, normalize_targets, corruption)
        if positions not in POSITIONS:
            raise ValueError(f"positions is {positions!r}; allowed: {', '.join(POSITIONS)}")
        name, self.token_size = type(network).__name__, self.backbone.strides[0]
        if not self.backbone.takes_tokens:
            raise ValueError(f"{name} has no tokens; allowed: UNETR, UNETRPatch8 or, for SimMIM, SwinUNETR")
        if any(side % self.token_size for side in self.patch_size):
            raise ValueError(
                f"patch_size {self.patch_size} is not a multiple of {name}'s token of {self.token_size} voxels"
            )
        self.train_only(self.backbone.encoder_prefixes)
        if positions == "sincos":
            fix_sincos_positions(self.backbone)

    def token_mask(self, image: Tensor, mask: Tensor) -> Tensor:
        """Spread the mask of patches over their tokens: ``(B, 1, gd, gh, gw)`` to ``(B, 1, td, th, tw)``.

        Raises:
            ValueError: if the mask does not have the grid of this image.
        """
        wanted = (image.shape[0], 1, *patch_grid(image.shape[2:], self.patch_size))
        if tuple(mask.shape) != wanted:
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}; an image of {tuple(image.shape)} in patches of "
                f"{self.patch_size} needs {wanted}"
            )
        return mask_to_voxels(mask.bool(), tuple(side // self.token_size for side in self.patch_size))
