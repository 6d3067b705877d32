"""HybridMIM: masked reconstruction, region tasks and dropout contrast on one backbone (arXiv 2303.10333)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from monai.utils.misc import ensure_tuple_rep
from torch import Tensor, nn

from custom_components.backbones import Encoded, Window, adapt
from custom_components.heads import ContrastHead, MaskCountHead, MaskPositionHead, region_pool
from custom_components.masking import (
    FILLS,
    fill_masked,
    mask_to_voxels,
    patches_per_region,
    region_targets,
    valid_patches,
)

from .base import all_valid, check_reconstructing_channels, freeze_all_but
from .stage_dropout import StageDropout

TERMS = ("reconstruction", "count", "position", "consistency", "contrast")


class HybridMIM(nn.Module):
    """The pretext network: the MONAI network that segmentation will use, and one head per active term.

    Only what the active terms need is built and computed. Parameters of ``network`` that no active term
    reaches (its decoder, without ``reconstruction``; UNETR's idle norms) are frozen, as
    DistributedDataParallel asks, and saved all the same.

    Args:
        network: BasicUNet, SegResNet, SwinUNETR or UNETR with ``out_channels == in_channels``; its last layer is
            the reconstruction head. ``state_dict`` keys of it stay unchanged.
        patch_size: voxels per side of a masked patch.
        region_size: voxels per side of a region; a multiple of ``patch_size`` and of the backbone's stride.
        terms: active loss terms, out of `TERMS`.
        fill: what masked voxels are replaced with, out of `custom_components.masking.FILLS`; ``learned`` is one
            trained patch per channel.
        window_size: voxels per side of the decoded window while training, a multiple of ``region_size``;
            ``None`` decodes the whole crop. Evaluation always decodes the whole crop.
        output_activation: ``None`` (linear) or ``"sigmoid"``, an ablation for data in [0, 1].
        dropout: rate of the dropout that makes the views; see `StageDropout`. It acts whenever training.
        dropout_stages: stages whose output is dropped; ``None`` means all but the first.
        contrast_features: features of the contrast head's output.
        second_view_grad: whether gradient flows through the second view.

    Raises:
        ValueError: where sizes, terms, fill or channels do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        region_size: Sequence[int] | int = 32,
        terms: Sequence[str] = TERMS,
        fill: str = "zero",
        window_size: Sequence[int] | int | None = None,
        output_activation: str | None = None,
        dropout: float = 0.1,
        dropout_stages: Sequence[str] | None = None,
        contrast_features: int = 384,
        second_view_grad: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.backbone = adapt(network)
        self.patch_size = ensure_tuple_rep(patch_size, 3)
        self.region_size = ensure_tuple_rep(region_size, 3)
        self.window_size = None if window_size is None else ensure_tuple_rep(window_size, 3)
        self.terms = frozenset(terms)
        self.fill = fill
        self.output_activation = output_activation
        self.second_view_grad = second_view_grad
        self._check()
        self.drop = StageDropout(self.backbone, dropout, dropout_stages)
        if "contrast" in self.terms and not self.drop.active:
            raise ValueError("the contrast term needs dropout > 0 in at least one stage: its views would be equal")
        self._build(contrast_features)

    def _check(self) -> None:
        unknown = self.terms - set(TERMS)
        if unknown or not self.terms:
            raise ValueError(f"terms are {sorted(self.terms)}; choose at least one of {list(TERMS)}")
        if self.fill not in FILLS:
            raise ValueError(f"fill is {self.fill!r}; allowed: {list(FILLS)}")
        if self.output_activation not in (None, "sigmoid"):
            raise ValueError(f"output_activation is {self.output_activation!r}; allowed: null, 'sigmoid'")
        check_reconstructing_channels(self.backbone)
        self.patches_per_region = patches_per_region(self.region_size, self.patch_size)
        self.backbone.check_size("region_size", self.region_size)
        if self.window_size is not None:
            self._check_window(self.window_size)

    def _check_window(self, window: Sequence[int]) -> None:
        if any(w <= 0 or w % r for w, r in zip(window, self.region_size, strict=True)):
            raise ValueError(f"window_size {window} must be a positive multiple of region_size {self.region_size}")
        cells = prod(w // self.backbone.stride for w in window)
        if cells < self.backbone.min_cells:
            raise ValueError(
                f"window_size {window} holds {cells} bottleneck cell of {type(self.network).__name__}; "
                f"its decoder needs at least {self.backbone.min_cells}"
            )

    def _build(self, contrast_features: int) -> None:
        features, patches = self.backbone.bottleneck_channels, prod(self.patches_per_region)
        self.cells_per_region = tuple(side // self.backbone.stride for side in self.region_size)
        consistency = "consistency" in self.terms
        if "count" in self.terms or consistency:
            self.count_head = MaskCountHead(features, patches)
        if "position" in self.terms or consistency:
            self.position_head = MaskPositionHead(features, patches)
        if "contrast" in self.terms:
            self.contrast_head = ContrastHead(features, contrast_features)
        if self.fill == "learned":
            self.token = nn.Parameter(torch.zeros(1, self.backbone.in_channels, *self.patch_size))
        self.trained = ("",) if "reconstruction" in self.terms else self.backbone.encoder_prefixes
        freeze_all_but(self.network, self.backbone, self.trained)

    @property
    def region_terms(self) -> bool:
        """Whether any region-level head exists."""
        return bool(self.terms & {"count", "position", "consistency"})

    def draw_window(self, spatial: Sequence[int]) -> Window | None:
        """Draw the decoded window of one step: whole regions, so that it is aligned with the bottleneck.

        The draw uses torch's global CPU generator, which the trainer seeds at each epoch.
        """
        if self.window_size is None or not self.training or tuple(spatial) == self.window_size:
            return None
        if any(w > s for w, s in zip(self.window_size, spatial, strict=True)):
            raise ValueError(f"window_size {self.window_size} is larger than the crop {tuple(spatial)}")
        starts = [
            region * int(torch.randint((side - window) // region + 1, ()))
            for side, window, region in zip(spatial, self.window_size, self.region_size, strict=True)
        ]
        d, h, w = (slice(a, a + b) for a, b in zip(starts, self.window_size, strict=True))
        return d, h, w

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Predictions and targets of every active term.

        Args:
            image: ``(B, C, D, H, W)``, each side a multiple of ``region_size``.
            mask: bool ``(B, 1, gd, gh, gw)`` on the patch grid, True = hidden.
            valid: bool ``(B, 1, D, H, W)`` on voxels, True = counts; ``None`` means everywhere.

        Returns:
            ``reconstruction``, ``reconstruction_target`` ``(B, C, *window)`` and ``reconstruction_mask``
            ``(B, 1, *window)`` (masked and valid voxels); ``count_logits`` ``(B, R, n + 1)`` and
            ``count_target`` ``(B, R)``; ``position_logits``, ``position_target``, ``patch_valid``
            ``(B, R, n)``; ``region_valid`` ``(B, R)``; while training, ``view_1`` and ``view_2`` ``(B, P)``.
        """
        valid = all_valid(image, valid)
        hidden = fill_masked(image, mask, self.patch_size, self.fill, getattr(self, "token", None), valid)
        encoded = self.backbone.encode(hidden, self.drop if self.training and self.drop.active else None)
        outputs: dict[str, Tensor] = {}
        if "reconstruction" in self.terms:
            outputs |= self._reconstruct(image, mask, valid, encoded)
        cells = valid_patches(valid, self.backbone.stride)
        if self.region_terms:
            outputs |= self._regions(mask, valid, encoded.bottleneck, cells)
        if "contrast" in self.terms and self.training:
            outputs |= self._views(encoded, cells)
        return outputs

    def _reconstruct(self, image: Tensor, mask: Tensor, valid: Tensor, encoded: Encoded) -> dict[str, Tensor]:
        window = self.draw_window(image.shape[2:])
        reconstruction = self.backbone.decode(encoded, window)
        if self.output_activation == "sigmoid":
            reconstruction = reconstruction.sigmoid()
        if window is not None:
            patches = tuple(
                slice(side.start // size, side.stop // size)
                for side, size in zip(window, self.patch_size, strict=True)
            )
            voxels = (slice(None), slice(None), *window)
            image, valid, mask = image[voxels], valid[voxels], mask[(slice(None), slice(None), *patches)]
        return {
            "reconstruction": reconstruction,
            "reconstruction_target": image,
            "reconstruction_mask": mask_to_voxels(mask, self.patch_size) & valid,
        }

    def _regions(self, mask: Tensor, valid: Tensor, bottleneck: Tensor, cells: Tensor) -> dict[str, Tensor]:
        targets = region_targets(mask, valid_patches(valid, self.patch_size), self.patches_per_region)
        regions = region_pool(bottleneck, self.cells_per_region, cells)
        outputs = {
            "count_target": targets.count,
            "position_target": targets.position,
            "patch_valid": targets.patch_valid,
            "region_valid": targets.region_valid,
        }
        if hasattr(self, "count_head"):
            outputs["count_logits"] = self.count_head(regions)
        if hasattr(self, "position_head"):
            outputs["position_logits"] = self.position_head(regions)
        return outputs

    def _views(self, encoded: Encoded, cells: Tensor) -> dict[str, Tensor]:
        with torch.set_grad_enabled(self.second_view_grad and torch.is_grad_enabled()):
            again = self.backbone.encode_second_view(encoded, self.drop, self.drop.stages[0])
            second = self.contrast_head(again, cells)
        return {"view_1": self.contrast_head(encoded.bottleneck, cells), "view_2": second}
