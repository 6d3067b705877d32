"""The guard of a pretraining bundle's inference: images that can be read, and weights that fit entirely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.checks.all_ranks import run_on_all_ranks
from custom_components.checks.crop_sizes import check_input, check_masks
from custom_components.checks.overrides import check_overrides
from custom_components.checks.volumes import check_images
from custom_components.transfer.checks import check_weights_complete, compare_card


def guard_inference(
    images: Sequence[str | Sequence[str]],
    network: nn.Module,
    in_channels: int,
    roi_size: int | Sequence[int],
    weights: str,
    dataset_dir: str = "",
    masking: Mapping[str, Any] | None = None,
    view: Mapping[str, Any] | None = None,
    label_names: Sequence[str] | None = None,
    pretext: nn.Module | None = None,
) -> None:
    """Check an inference run before it starts.

    Args:
        images: one per case: a NIfTI file, or a list of files, one per channel.
        network: the MONAI network, freshly built.
        in_channels: channels of an image.
        roi_size: voxels of a sliding window.
        weights: weights file of exactly this network, or of ``pretext``.
        dataset_dir: where the images were looked for, for the message.
        masking: what ``check_masks`` takes (``patch_size``, ``mask_ratio``, ``mask_mode``, ...), for a
            reconstruction; None: nothing is masked.
        view: how the config sees the image; None: not compared. Where the weights' card states other channels or
            label names this ends the run, any other difference of view is printed.
        label_names: of the label map's values; None: not compared.
        pretext: the network with its heads, where these reconstruct; None: the network does it itself.

    Raises:
        SystemExit: with one line that names what is wrong.
    """

    def checks() -> str:
        check_overrides()
        if not images:
            raise ValueError(f"dataset_dir is {dataset_dir!r}: no .nii or .nii.gz file there")
        if masking is not None:
            check_masks(roi_size, **masking)
        if masking is not None and pretext is None and masking.get("fill") == "learned":
            raise ValueError("fill is 'learned', which lives in the pretext network; allowed: zero, mean, noise")
        check_input(network, roi_size, in_channels)
        check_images([{"image": image} for image in images], in_channels)
        check_weights_complete(network if pretext is None else pretext, weights, pretext=pretext is not None)
        differences = compare_card(weights, view, label_names)
        told = f"checked: {len(images)} images, {in_channels} channel(s); weights {weights}"
        return "\n".join([told, *(f"warning: {weights}: {line}" for line in differences)])

    run_on_all_ranks(checks)
