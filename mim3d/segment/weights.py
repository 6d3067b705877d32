"""Loading weights into a network: all of it, or its encoder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from custom_components.backbones import adapt
from custom_components.transfer import differing_tensors, read_weights
from custom_components.transfer.checks import check_weights_complete


def load_complete(network: nn.Module, weights: Path) -> None:
    """Load every tensor of a network.

    Raises:
        ValueError: for a file that cannot be read or does not fit.
    """
    check_weights_complete(network, str(weights))
    state = read_weights(weights)
    network.load_state_dict({key: state[key] for key in network.state_dict()})


def load_encoder(network: nn.Module, weights: Path) -> None:
    """Load the tensors of a network's encoder, by name; the rest stays as it is.

    Raises:
        ValueError: for a file that cannot be read, or that lacks a tensor of the encoder.
    """
    state, own = read_weights(weights), network.state_dict()
    encoder = {key: own[key] for key in adapt(network).encoder_keys()}
    if wrong := differing_tensors(encoder, state):
        raise ValueError(
            f"weights {weights} lack {len(wrong)} tensors of the encoder of this {type(network).__name__} "
            f"({', '.join(wrong[:3])}); give the layers of their training"
        )
    network.load_state_dict({**own, **{key: state[key] for key in encoder}})
