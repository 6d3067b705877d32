"""The guard of a pretraining bundle's inference: images that can be read, and weights that fit entirely."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from custom_components.data.checks import check_images
from custom_components.engine.geometry import check_input
from custom_components.engine.guard import run_checks
from custom_components.engine.overrides import check_overrides
from custom_components.transfer import read_card, read_weights


def check_weights_complete(network: nn.Module, weights: str) -> None:
    """Check that a weights file holds every tensor of the network, in its shape, and that its card is its own.

    Raises:
        ValueError: naming the file and the first tensors that differ.
    """
    state, own = read_weights(weights), network.state_dict()
    read_card(weights)
    wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise ValueError(
            f"weights {weights} do not fit this {type(network).__name__}: {len(wrong)} of {len(own)} tensors are "
            f"missing or of another shape ({', '.join(wrong[:3])}); was it trained with the same layers?"
        )


def guard_inference(
    images: Sequence[str],
    network: nn.Module,
    in_channels: int,
    roi_size: int | Sequence[int],
    weights: str,
    dataset_dir: str = "",
) -> None:
    """Check an inference run before it starts.

    Args:
        images: NIfTI files.
        network: the MONAI network, freshly built.
        in_channels: channels of an image.
        roi_size: voxels of a sliding window.
        weights: weights file of exactly this network.
        dataset_dir: where the images were looked for, for the message.

    Raises:
        SystemExit: with one line that names what is wrong.
    """

    def checks() -> str:
        check_overrides()
        if not images:
            raise ValueError(f"dataset_dir is {dataset_dir!r}: no .nii or .nii.gz file there")
        check_input(network, roi_size, in_channels)
        check_images([{"image": image} for image in images], in_channels)
        check_weights_complete(network, weights)
        return f"checked: {len(images)} images, {in_channels} channel(s); weights {weights}"

    run_checks(checks)
