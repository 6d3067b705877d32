"""What the masked methods are alike in: a network, masked units, tokens and their positions, targets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_components.backbones import Backbone, adapt, fix_sincos_positions
from custom_components.masking import mask_to_voxels, normalize_patches, patch_grid, to_3tuple

from .base import check_reconstructing_channels, freeze_all_but

POSITIONS = ("learned", "sincos")


class MaskedReconstruction(nn.Module):
    """A network that paints hidden units, and the targets it is compared with.

    Args:
        network: any backbone with ``out_channels == in_channels``.
        patch_size: voxels per side of a masked unit.
        normalize_targets: whether each unit's mean and deviation are taken out of the targets.

    Raises:
        ValueError: for a network that ``backbones`` does not know, or whose channels differ.
    """

    terms = frozenset({"reconstruction"})
    trained: tuple[str, ...]

    def __init__(self, network: nn.Module, patch_size: Sequence[int] | int, normalize_targets: bool) -> None:
        super().__init__()
        self.network = network
        self.backbone = adapt(network)
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.normalize_targets = normalize_targets
        check_reconstructing_channels(self.backbone)

    def train_only(self, prefixes: tuple[str, ...]) -> None:
        """Train what bears one of the state-dict prefixes, and say so; ``("",)`` is everything."""
        self.trained = prefixes
        freeze_all_but(self.network, self.backbone, prefixes)

    def outputs(self, painted: Tensor, image: Tensor, mask: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """What the reconstruction loss, scores and pictures read.

        Args:
            painted: ``(B, C, D, H, W)``, in the targets' unit.
            image: the same shape.
            mask: bool ``(B, 1, gd, gh, gw)``, True = hidden.
            valid: bool ``(B, 1, D, H, W)``.

        Returns:
            ``reconstruction``, ``reconstruction_target`` ``(B, C, D, H, W)`` and ``reconstruction_mask``
            ``(B, 1, D, H, W)``. With normalised targets also ``painting``, the reconstruction with the hidden
            unit's own mean and deviation, as MAE's published pictures show it, and ``rescaled_target``, the image.
        """
        outputs = {
            "reconstruction": painted,
            "reconstruction_target": image,
            "reconstruction_mask": mask_to_voxels(mask.bool(), self.patch_size) & valid,
        }
        if self.normalize_targets:
            target = normalize_patches(image, valid, self.patch_size)
            outputs["reconstruction_target"] = target.image
            outputs["painting"] = painted.detach() * target.deviation + target.mean
            outputs["rescaled_target"] = image
        return outputs


class TokenReconstruction(MaskedReconstruction):
    """The same on a transformer, of which the encoder alone is trained; arguments and errors are `SimMIM`'s."""

    def __init__(
        self, network: nn.Module, patch_size: Sequence[int] | int, positions: str, normalize_targets: bool
    ) -> None:
        super().__init__(network, patch_size, normalize_targets)
        if positions not in POSITIONS:
            raise ValueError(f"positions is {positions!r}; allowed: {', '.join(POSITIONS)}")
        check_units(self.backbone, self.patch_size)
        self.train_only(self.backbone.encoder_prefixes)
        if positions == "sincos":
            fix_sincos_positions(self.backbone)
        self.token_size = self.backbone.strides[0]


def check_units(backbone: Backbone, patch_size: Sequence[int]) -> None:
    """Refuse masked units that do not consist of whole tokens.

    Raises:
        ValueError: for a network without tokens, or naming both sizes.
    """
    name, token = type(backbone.net).__name__, backbone.strides[0]
    if not backbone.takes_tokens:
        raise ValueError(f"{name} has no tokens; this method needs UNETR, UNETRPatch8 or, for SimMIM, SwinUNETR")
    if any(side % token for side in patch_size):
        raise ValueError(f"patch_size {tuple(patch_size)} is not a multiple of {name}'s token of {token} voxels")


def token_mask(image: Tensor, mask: Tensor, patch_size: Sequence[int], token: int) -> Tensor:
    """Spread the mask of units over their tokens: ``(B, 1, gd, gh, gw)`` to ``(B, 1, td, th, tw)``.

    Raises:
        ValueError: when the mask is not one of this image in such units.
    """
    wanted = (image.shape[0], 1, *patch_grid(image.shape[2:], patch_size))
    if tuple(mask.shape) != wanted:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; an image of {tuple(image.shape)} in patches of "
            f"{tuple(patch_size)} needs {wanted}."
        )
    return mask_to_voxels(mask.bool(), tuple(side // token for side in patch_size))
