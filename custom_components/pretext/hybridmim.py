"""HybridMIM: masked reconstruction, region tasks and dropout contrast on one backbone (arXiv 2303.10333)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from custom_components.backbones import Encoded, Window
from custom_components.heads import ContrastHead, MaskCountHead, MaskPositionHead, region_pool
from custom_components.losses import VIEWS, outputs_read, supported_terms
from custom_components.masking import (
    divide,
    mask_to_voxels,
    patches_per_region,
    region_targets,
    to_3tuple,
    valid_patches,
)
from custom_components.number_checks import check_switch

from .base import PretextNetwork, all_valid, to_intensities
from .corruption import InputCorruption
from .masked import RECONSTRUCTION
from .stage_dropout import StageDropout

COUNT, POSITION = frozenset({"count_logits"}), frozenset({"position_logits"})
REGIONS = frozenset({"count_target", "position_target", "patch_valid", "region_valid"})
TERMS = ("reconstruction", "count", "position", "consistency", "contrast")


class HybridMIM(PretextNetwork):
    """The pretext network: the network that segmentation will use, and one head per output that a term reads.

    Only what the active terms read is built and computed. Parameters of ``network`` that no active term reaches
    (without a reconstruction its decoder; UNETR's unused norms) are frozen, as DistributedDataParallel needs; they
    are saved like all others.

    Args:
        network: BasicUNet, SegResNet, SwinUNETR or UNETR with ``out_channels == in_channels``; its last layer is
            the reconstruction head. Its ``state_dict`` keys do not change.
        patch_size: voxels per side of a patch, the unit that is masked.
        region_size: voxels per side of a region; a multiple of ``patch_size`` and of the backbone's stride.
        terms: active loss terms.
        fill: what masked voxels are replaced with, one of `custom_components.masking.FILLS`; ``learned`` is one
            trained patch per channel.
        window_size: voxels per side of the window that is decoded while training, a multiple of ``region_size``;
            None: the whole crop. Evaluation always decodes the whole crop.
        output_activation: None (linear) or ``"sigmoid"``, an ablation for data in [0, 1].
        relative_output: whether the network's output is in deviations of the crop's visible voxels, see
            `to_intensities`. It does not go with ``"sigmoid"``.
        dropout: rate of the dropout that makes the two views, see `StageDropout`. It acts whenever training.
        dropout_stages: stages whose output is dropped; None: all but the first.
        contrast_features: length of the contrast head's output.
        second_view_grad: whether gradient flows through the second view.
        corruption: what is done to the input besides masking, in both views alike; None: nothing.

    Raises:
        ValueError: if sizes, terms, fill or channels do not fit together, or a switch is text.
    """

    outputs = RECONSTRUCTION | COUNT | POSITION | REGIONS | VIEWS

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        region_size: Sequence[int] | int = 32,
        terms: Sequence[str] = TERMS,
        fill: str = "zero",
        window_size: Sequence[int] | int | None = None,
        output_activation: str | None = None,
        relative_output: bool = False,
        dropout: float = 0.1,
        dropout_stages: Sequence[str] | None = None,
        contrast_features: int = 384,
        second_view_grad: bool = True,
        corruption: InputCorruption | None = None,
    ) -> None:
        super().__init__(network, corruption)
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.region_size = to_3tuple(region_size, "region_size")
        self.window_size = None if window_size is None else to_3tuple(window_size, "window_size")
        self.terms = frozenset(terms)
        self.output_activation, self.relative_output = output_activation, relative_output
        self.second_view_grad = second_view_grad
        self._check()
        self.drop = StageDropout(self.backbone, dropout, dropout_stages)
        self.read = outputs_read(self.terms)
        if self.read & VIEWS and not self.drop.active:
            raise ValueError("the contrast term needs dropout > 0 in at least one stage: its views would be equal")
        self._build(fill, contrast_features)

    def _check(self) -> None:
        allowed = supported_terms(self.outputs)
        if not self.terms or not self.terms <= set(allowed):
            raise ValueError(f"terms are {sorted(self.terms)}; choose at least one of {list(allowed)}")
        if self.output_activation not in (None, "sigmoid"):
            raise ValueError(f"output_activation is {self.output_activation!r}; allowed: null, 'sigmoid'")
        check_switch(self.second_view_grad, "second_view_grad")
        check_switch(self.relative_output, "relative_output")
        if self.relative_output and self.output_activation is not None:
            raise ValueError(
                f"relative_output is on and output_activation is {self.output_activation!r}; allowed: one of them"
            )
        self.check_reconstructs()
        self.patches_per_region = patches_per_region(self.region_size, self.patch_size)
        self.backbone.check_size("region_size", self.region_size)
        if self.window_size is None:
            return
        window = self.window_size
        if any(w % r for w, r in zip(window, self.region_size, strict=True)):
            raise ValueError(f"window_size {window} must be a positive multiple of region_size {self.region_size}")
        cells = prod(w // self.backbone.stride for w in window)
        if cells < self.backbone.min_cells:
            raise ValueError(
                f"window_size {window} holds {cells} bottleneck cell of {type(self.network).__name__}; "
                f"its decoder needs at least {self.backbone.min_cells}"
            )

    def check_crop(self, roi_size: Sequence[int]) -> None:
        """Check that the network takes crops of ``roi_size`` voxels, and that regions and window fit into them.

        Raises:
            ValueError: naming both sizes.
        """
        super().check_crop(roi_size)
        divide(roi_size, self.region_size, "roi_size", "region_size")
        if self.window_size is not None and any(w > s for w, s in zip(self.window_size, roi_size, strict=True)):
            raise ValueError(f"window_size {self.window_size} is larger than roi_size {tuple(roi_size)}")

    def _build(self, fill: str, contrast_features: int) -> None:
        features, patches = self.backbone.bottleneck_channels, prod(self.patches_per_region)
        self.cells_per_region = tuple(side // self.backbone.stride for side in self.region_size)
        if self.read & COUNT:
            self.count_head = MaskCountHead(features, patches)
        if self.read & POSITION:
            self.position_head = MaskPositionHead(features, patches)
        if self.read & VIEWS:
            self.contrast_head = ContrastHead(features, contrast_features)
        self.set_fill(fill)
        self.train_only(("",) if self.read & RECONSTRUCTION else self.backbone.encoder_prefixes)

    def draw_window(self, spatial: Sequence[int]) -> Window | None:
        """Draw the window to decode in this step, made of whole regions so that it aligns with the bottleneck.

        Uses torch's global CPU generator, which `ReseedEachEpoch` seeds.

        Returns:
            None if the whole crop is decoded.
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
        """Return predictions and targets of every active term.

        Args:
            image: ``(B, C, D, H, W)``, each side a multiple of ``region_size``.
            mask: bool ``(B, 1, gd, gh, gw)`` on the patch grid, True = masked.
            valid: bool ``(B, 1, D, H, W)`` on voxels, True = counts; None: all voxels count.

        Returns:
            ``reconstruction``, ``reconstruction_target`` ``(B, C, *window)``; ``reconstruction_mask`` (masked and
            valid voxels) and ``visible_mask`` (visible and valid ones) ``(B, 1, *window)``; ``count_logits``
            ``(B, R, n + 1)`` and ``count_target`` ``(B, R)``; ``position_logits``, ``position_target`` and
            ``patch_valid`` ``(B, R, n)``; ``region_valid`` ``(B, R)``; while training, ``view_1`` and ``view_2``
            ``(B, P)``.
        """
        valid = all_valid(image, valid)
        filled = self.fill_image(image, mask, valid)
        encoded = self.backbone.encode(filled, self.drop if self.training and self.drop.active else None)
        outputs: dict[str, Tensor] = {}
        if self.read & RECONSTRUCTION:
            outputs |= self._reconstruct(image, mask, valid, encoded)
        cells = valid_patches(valid, self.backbone.stride)
        if self.read & (COUNT | POSITION):
            outputs |= self._predict_regions(mask, valid, encoded.bottleneck, cells)
        if self.read & VIEWS and self.training:
            outputs |= self._contrast(encoded, cells)
        return outputs

    def _reconstruct(self, image: Tensor, mask: Tensor, valid: Tensor, encoded: Encoded) -> dict[str, Tensor]:
        window = self.draw_window(image.shape[2:])
        reconstruction = self.backbone.decode(encoded, window)
        if self.output_activation == "sigmoid":
            reconstruction = reconstruction.sigmoid()
        if self.relative_output:  # in units of the whole crop, which the encoder has seen
            visible = ~mask_to_voxels(mask, self.patch_size) & valid
            reconstruction = to_intensities(reconstruction, image, visible)
        if window is not None:
            patches = tuple(
                slice(side.start // size, side.stop // size)
                for side, size in zip(window, self.patch_size, strict=True)
            )
            voxels = (slice(None), slice(None), *window)
            image, valid, mask = image[voxels], valid[voxels], mask[(slice(None), slice(None), *patches)]
        masked = mask_to_voxels(mask, self.patch_size)
        return {
            "reconstruction": reconstruction,
            "reconstruction_target": image,
            "reconstruction_mask": masked & valid,
            "visible_mask": ~masked & valid,
        }

    def _predict_regions(
        self, mask: Tensor, valid: Tensor, bottleneck: Tensor, cells: Tensor
    ) -> dict[str, Tensor]:
        targets = region_targets(mask, valid_patches(valid, self.patch_size), self.patches_per_region)
        regions = region_pool(bottleneck, self.cells_per_region, cells)
        outputs = {
            "count_target": targets.count,
            "position_target": targets.position,
            "patch_valid": targets.patch_valid,
            "region_valid": targets.region_valid,
        }
        if self.read & COUNT:
            outputs["count_logits"] = self.count_head(regions)
        if self.read & POSITION:
            outputs["position_logits"] = self.position_head(regions)
        return outputs

    def _contrast(self, encoded: Encoded, cells: Tensor) -> dict[str, Tensor]:
        with torch.set_grad_enabled(self.second_view_grad and torch.is_grad_enabled()):
            bottleneck = self.backbone.encode_second_view(encoded, self.drop, self.drop.stages[0])
            second = self.contrast_head(bottleneck, cells)
        return {"view_1": self.contrast_head(encoded.bottleneck, cells), "view_2": second}
