"""Parameter groups for fine-tuning: a lower learning rate for the encoder, and for its first layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from custom_components.backbones import adapt
from custom_components.number_checks import check_number

#: Entry of a group that `WarmupCosine` reads: whether the group waits while new parts are trained first.
ENCODER = "encoder"


def parameter_groups(
    network: nn.Module, learning_rate: float, encoder_lr_factor: float = 1.0, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Group a network's parameters by their learning rate, for a torch optimizer.

    The decoder and the output layer have ``learning_rate``. The encoder has ``encoder_lr_factor`` of it; a
    parameter that is n steps before the encoder's last one has ``layer_decay ** n`` of that (BEiT,
    arXiv 2106.08254). A step is a stage of a convolutional network, and a block of a transformer.

    Args:
        network: a network that ``backbones`` knows.
        learning_rate: peak rate, above 0.
        encoder_lr_factor: from 0 (the encoder stays as it is) to 1.
        layer_decay: above 0, at most 1 (no decay).

    Returns:
        Dictionaries with ``params``, ``lr`` and ``encoder``: first the rest of the network, then the encoder from
        its first step on. Parameters that need no gradient are left out, and so are groups without parameters.

    Raises:
        ValueError: for a number outside its range, or an unknown network.
    """
    check_number(learning_rate, "learning_rate", above=0)
    check_number(encoder_lr_factor, "encoder_lr_factor", at_least=0, at_most=1)
    check_number(layer_decay, "layer_decay", above=0, at_most=1)
    backbone = adapt(network)
    depths = backbone.encoder_depths()
    deepest = max(depths.values())
    groups: dict[int | None, list[nn.Parameter]] = {None: [], **{depth: [] for depth in range(deepest + 1)}}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[depths.get(name)].append(parameter)
    rates = {
        depth: learning_rate * (1 if depth is None else encoder_lr_factor * layer_decay ** (deepest - depth))
        for depth in groups
    }
    return [
        {"params": params, "lr": rates[depth], ENCODER: depth is not None}
        for depth, params in groups.items()
        if params
    ]
