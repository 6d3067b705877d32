"""Does a weights file hold all of a network? For evaluation and inference, where nothing may stay random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.transfer import compare_views, differing_tensors, read_card, read_weights


def check_weights_complete(network: nn.Module, weights: str, pretext: bool = False) -> None:
    """Check that a weights file holds every tensor of the network, in its shape, and that its card is its own.

    Args:
        network: a segmentation network, or a pretext network with its heads.
        weights: the file.
        pretext: whether it is a pretext network, which holds the segmentation network under ``network.``.

    Raises:
        ValueError: naming the file and the first tensors that differ.
    """
    state = read_weights(weights)
    own = network.state_dict()
    if pretext:  # reading takes the prefix off
        own = {key.removeprefix("network."): value for key, value in own.items()}
    read_card(weights)
    wrong = differing_tensors(own, state)
    wrong += [key for key in state if key not in own and pretext]
    if wrong:
        raise ValueError(
            f"weights {weights} do not fit this {type(network).__name__}: {len(wrong)} tensors are missing, "
            f"extra or of another shape ({', '.join(wrong[:3])}); were its layers and loss parts the same?"
        )


def compare_card(weights: str, view: Mapping[str, Any] | None, label_names: Sequence[str] | None) -> list[str]:
    """What a weights card says otherwise than the config that uses the weights.

    Tensors of one shape may be of another task: what the channels are and what is painted must agree.

    Args:
        weights: the file; without a card nothing is compared.
        view: how the config sees the image; None: not compared.
        label_names: of the label map's values; None: not compared.

    Returns:
        one line per difference of view.

    Raises:
        ValueError: for other channels or label names than the config's.
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
