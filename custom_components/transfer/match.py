"""Which pretrained tensor goes where: decided by name, before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from custom_components.backbones import Backbone, adapt

INPUT_LAYERS = ("repeat_mean", "first", "reinit")


@dataclass
class TransferReport:
    """State-dict keys of the target network (``unexpected``: of the file), by what became of them.

    Attributes:
        matched: loaded as they are.
        adapted: loaded after the input-channel axis was changed by ``input_layer``.
        expected_missing: left as initialised on purpose: the output layer, and a stem with ``reinit``.
        missing: not in the file.
        wrong_shape: in the file with another shape, as ``key: file shape -> network shape``.
        unexpected: in the file, not in the network (the pretext heads of a ``pretext.pt``, say).
        encoder_share: share of the encoder's keys that were loaded, expected-missing ones left aside.
        view_differences: where the card and the config state another view of the image, one line each.
        network_differences: where they state another network class or argument, one line each.
    """

    path: str = ""
    input_layer: str = "repeat_mean"
    matched: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    expected_missing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong_shape: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    encoder_share: float = 0.0
    view_differences: list[str] = field(default_factory=list)
    network_differences: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Number of keys per list."""
        names = ("matched", "adapted", "expected_missing", "missing", "wrong_shape", "unexpected")
        return {name: len(getattr(self, name)) for name in names}

    def summary(self) -> str:
        """One line for the log."""
        counts = ", ".join(f"{number} {name.replace('_', '-')}" for name, number in self.counts().items())
        return f"pretrained weights {self.path}: {counts}; {self.encoder_share:.1%} of the encoder"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "counts": self.counts()}


def adapt_stem(source: Tensor, target: Tensor, input_layer: str) -> Tensor | None:
    """Fit a stem convolution's weight to another number of input channels.

    ``repeat_mean`` gives every channel the mean over the source's channels, scaled so that equal channels
    give the same response as before; ``first`` puts the source's channels first and leaves the others (or cuts
    what does not fit); ``reinit`` gives ``None``.

    Args:
        source: ``(O, C_source, k, k, k)``.
        target: ``(O, C_target, k, k, k)``, as initialised.
        input_layer: one of `INPUT_LAYERS`.
    """
    if input_layer == "reinit":
        return None
    have, want = source.shape[1], target.shape[1]
    if input_layer == "repeat_mean":
        return source.mean(1, keepdim=True).expand_as(target) * (have / want)
    adapted = target.clone()
    adapted[:, : min(have, want)] = source[:, :want]
    return adapted


def _same_but_channels(source: Tensor, target: Tensor) -> bool:
    return source.ndim == 5 and source.shape[0] == target.shape[0] and source.shape[2:] == target.shape[2:]


def match(
    state: dict[str, Tensor], network: nn.Module, input_layer: str = "repeat_mean"
) -> tuple[dict[str, Tensor], TransferReport]:
    """Decide what of ``state`` goes into ``network``, which is left untouched.

    Returns:
        the network's complete state dict with the pretrained tensors in it, and the report.

    Raises:
        ValueError: for an unknown ``input_layer`` or network class.
    """
    if input_layer not in INPUT_LAYERS:
        raise ValueError(f"input_layer is {input_layer!r}; allowed: {list(INPUT_LAYERS)}")
    backbone = adapt(network)
    result, report = dict(network.state_dict()), TransferReport(input_layer=input_layer)
    for key, target in network.state_dict().items():
        source = state.get(key)
        if key.startswith(backbone.output_layer + "."):
            report.expected_missing.append(key)  # by name: the same shape does not make it the same task
        elif source is None:
            report.missing.append(key)
        elif source.shape == target.shape:
            result[key] = source
            report.matched.append(key)
        elif key in backbone.stems and _same_but_channels(source, target):
            adapted = adapt_stem(source, target, input_layer)
            if adapted is None:
                report.expected_missing.append(key)
            else:
                result[key] = adapted
                report.adapted.append(key)
        else:
            report.wrong_shape.append(f"{key}: {tuple(source.shape)} -> {tuple(target.shape)}")
    report.unexpected = [key for key in state if key not in result]
    report.encoder_share = _encoder_share(backbone, report)
    return result, report


def _encoder_share(backbone: Backbone, report: TransferReport) -> float:
    wanted = set(backbone.encoder_keys()) - set(report.expected_missing)
    return len(wanted & {*report.matched, *report.adapted}) / len(wanted)
