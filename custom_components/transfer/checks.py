"""Checks of a weights file for evaluation and inference: is it complete, and is it of the same task?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.transfer import compare_views, differing_tensors, read_card, read_weights
from custom_components.transfer.merging import check_merging


def check_weights_complete(network: nn.Module, weights: str, pretext: bool = False) -> None:
    """Check that a weights file holds every tensor of the network, with the same shapes, and verify its card.

    Args:
        network: a segmentation network, or a pretext network with its heads.
        weights: the file.
        pretext: whether it is a pretext network. It holds the segmentation network under ``network.``, and the
            file must hold no other tensors.

    Raises:
        ValueError: naming the file and the first tensors that differ, or the patch merging that its card states.
    """
    state = read_weights(weights)
    own = network.state_dict()
    if pretext:  # read_weights removes this prefix
        own = {key.removeprefix("network."): value for key, value in own.items()}
    check_merging(read_card(weights), network, weights)
    wrong = differing_tensors(own, state)
    wrong += [key for key in state if key not in own and pretext]
    if wrong:
        raise ValueError(
            f"weights {weights} do not fit this {type(network).__name__}: {len(wrong)} tensors are missing, "
            f"extra or of another shape ({', '.join(wrong[:3])}); were its layers and loss terms the same?"
        )


def load_complete(network: nn.Module, weights: str) -> None:
    """Load every tensor of a segmentation network.

    Raises:
        ValueError: as `check_weights_complete`.
    """
    check_weights_complete(network, weights)
    state = read_weights(weights)
    network.load_state_dict({key: state[key] for key in network.state_dict()})


def compare_card(weights: str, view: Mapping[str, Any] | None, label_names: Sequence[str] | None) -> list[str]:
    """Return how the view in a weights card differs from the config's; raise if the task differs.

    Tensors of the same shape may belong to another task, so the channels and the label names must agree.

    Args:
        weights: the file; without a card nothing is compared.
        view: the config's view of the image; None: not compared.
        label_names: of the label map's values; None: not compared.

    Returns:
        One line per difference of the view.

    Raises:
        ValueError: if the card states other channels or label names than the config.
    """
    card = read_card(weights) or {}
    stated = card.get("label_names")
    if label_names is not None and stated is not None and list(stated) != list(label_names):
        raise ValueError(
            f"weights {weights} were trained for {', '.join(stated)}; this config has {', '.join(label_names)}"
        )
    differences = compare_views(card.get("view") or {}, view or {})
    for line in differences:
        if line.startswith("channels:"):
            raise ValueError(f"weights {weights}: {line}")
    return differences
