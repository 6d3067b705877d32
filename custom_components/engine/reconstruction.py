"""Reconstructing whole volumes with a masked method, for inference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from monai.inferers.inferer import Inferer
from monai.utils.type_conversion import convert_to_dst_type
from torch import Tensor
from tqdm import tqdm

from custom_components.masking import patch_grid, to_3tuple


def prepare_reconstruction_batch(
    batch: dict[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, None, tuple[Tensor, Tensor], dict[str, Any]]:
    """Move image, mask and validity of a batch to the device, as `SupervisedEvaluator` hands them to its inferer.

    Returns:
        image ``(B, C, D, H, W)`` with its metadata; no label; mask ``(B, 1, gd, gh, gw)`` and valid
        ``(B, 1, D, H, W)``; no keyword arguments.
    """
    image, mask, valid = (
        batch[key].to(device, non_blocking=non_blocking, **kwargs) for key in ("image", "mask", "valid")
    )
    return image, None, (mask, valid), {}


class MaskedWindowInferer(Inferer):
    """Reconstructs a volume in windows that lie side by side; the mask keeps its patch grid.

    Each window is what the method would see in pretraining, so the volume is a multiple of the window and the
    window a multiple of the patch.

    Args:
        roi_size: voxels of a window along each axis.
        progress: show a bar over the windows.
    """

    def __init__(self, roi_size: int | Sequence[int], progress: bool = False) -> None:
        super().__init__()
        self.roi_size = to_3tuple(roi_size, "roi_size")
        self.progress = progress

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Reconstruct ``(B, C, D, H, W)``.

        Args:
            inputs: the image.
            network: a masked method (MAE, SimMIM, DenseMAE). With normalised targets, each masked patch is scaled
                with its own mean and deviation, which only the image itself can give.
            args: mask ``(B, 1, gd, gh, gw)``, True = masked, and valid ``(B, 1, D, H, W)``.
            kwargs: none.

        Returns:
            The reconstruction, ``(B, C, D, H, W)``, with the metadata of ``inputs``.

        Raises:
            ValueError: if the volume is not a multiple of the window, or the window of the patch.
        """
        mask, valid = args
        windows = patch_grid(inputs.shape[2:], self.roi_size)
        patches = patch_grid(self.roi_size, network.patch_size)
        result = torch.zeros_like(inputs)
        places = list(product(*(range(number) for number in windows)))
        for place in tqdm(places, disable=not self.progress):
            voxels, cells = (
                (slice(None), slice(None), *(slice(i * n, (i + 1) * n) for i, n in zip(place, size, strict=True)))
                for size in (self.roi_size, patches)
            )
            outputs = network(inputs[voxels], mask[cells], valid[voxels])
            result[voxels] = outputs.get("rescaled_reconstruction", outputs["reconstruction"]).to(result.dtype)
        return convert_to_dst_type(result, inputs)[0]
