"""Which weights a command runs with, and loading their encoder alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from custom_components.backbones import adapt
from custom_components.published import find_published, is_published
from custom_components.transfer import differing_tensors, read_weights, weights_file

#: Keys that say which network published weights have, and on which crops it was trained, in every bundle.
_SHARED_KEYS = ("architecture", "roi_size")


def with_published(
    arguments: argparse.Namespace, bundle: Path
) -> tuple[Sequence[str], Path | None, dict[str, str]]:
    """Return layers, weights and keys of a command line, with those that the name of published weights brings.

    What the command line gives comes first. Weights of another bundle, as those of pretraining for `mim3d embed`,
    bring the keys of network and crop alone.

    Args:
        arguments: with ``weights``, ``layer`` and ``keys``.
        bundle: folder of the bundle that is run.

    Raises:
        ValueError: for a name that is neither a file nor published; and as `fetch_weights`.
    """
    given = arguments.weights
    if given is None:
        return arguments.layer, None, arguments.keys
    weights = weights_file(given)
    if Path(given).is_file() or not is_published(given):
        return arguments.layer, weights, arguments.keys
    published = find_published(given)
    own = published.bundle == bundle.name
    keys = {key: str(value) for key, value in published.keys.items() if own or key.startswith(_SHARED_KEYS)}
    layers = published.layers if own and not arguments.layer else arguments.layer
    return list(layers), weights, {**keys, **arguments.keys}


def load_encoder(network: nn.Module, weights: str) -> None:
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
