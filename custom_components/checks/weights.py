"""Checks of weights files: those that training starts from, and those that evaluation and inference use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.data import check_channel_names
from custom_components.transfer import check_pretrained, read_card, weights_file
from custom_components.transfer.checks import check_weights_complete, compare_card


class PretrainedWeights:
    """Weights to start from must fit the network, and must have seen the channels in the same order.

    Args:
        network: the MONAI network.
        pretrained: the weights file, or the name of published weights, which are downloaded if there is no copy;
            None: training from scratch, and nothing is checked.
        channels: names of the image's channels, in order.
        options: further arguments of `custom_components.transfer.check_pretrained`, such as ``layout``.
    """

    def __init__(
        self, network: nn.Module, pretrained: str | None, channels: Sequence[str], **options: Any
    ) -> None:
        self.network, self.pretrained, self.channels, self.options = network, pretrained, channels, options

    def __call__(self) -> str | None:
        """Return how much of the encoder fits, and what the file leaves open; raise ValueError naming the file."""
        if self.pretrained is None:
            return None
        weights = weights_file(self.pretrained)
        _, report = check_pretrained(self.network, self.pretrained, **self.options)
        learned = (read_card(weights) or {}).get("view", {}).get("channels", [])
        if len(learned) == len(self.channels):
            check_channel_names(learned, self.channels, f"the card of {weights}")
        layout = "" if report.layout == "plain" else f" ({report.layout})"
        line = f"{weights}{layout}, {report.encoder_share:.0%} of the encoder fits"
        return "\n".join([line, *(f"warning: {weights}: {note}" for note in report.notes)])


class CompleteWeights:
    """Weights to evaluate or infer with must hold the whole network, and be of the same task.

    Args:
        network: the network, or what builds it, so that its own error is one line.
        weights: the weights file.
        pretext: whether it is a pretext network with its heads.
        view: the config's view of the image; a difference is printed, other channels are an error. None: not
            compared.
        label_names: of the label map's values; others are an error. None: not compared.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[], nn.Module],
        weights: str,
        pretext: bool = False,
        view: Mapping[str, Any] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self.network, self.weights, self.pretext = network, weights, pretext
        self.view, self.label_names = view, label_names

    def __call__(self) -> str:
        """Return the file and what its view differs in; raise ValueError naming the file."""
        network = self.network if isinstance(self.network, nn.Module) else self.network()
        check_weights_complete(network, self.weights, pretext=self.pretext)
        differences = compare_card(self.weights, self.view, self.label_names)
        return "\n".join([self.weights, *(f"warning: {self.weights}: {line}" for line in differences)])
