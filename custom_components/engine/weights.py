"""Does a weights file hold all of a network? For evaluation and inference, where nothing may stay random."""

from __future__ import annotations

from torch import nn

from custom_components.transfer import read_card, read_weights


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
    wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
    wrong += [key for key in state if key not in own and pretext]
    if wrong:
        raise ValueError(
            f"weights {weights} do not fit this {type(network).__name__}: {len(wrong)} tensors are missing, "
            f"extra or of another shape ({', '.join(wrong[:3])}); were its layers and loss parts the same?"
        )
