"""Deciding by name, before anything is loaded, which pretrained tensor goes where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from custom_components.backbones import Backbone, adapt

from .positions import resize_positions, same_token, source_grid, target_grid

INPUT_LAYERS = ("repeat_mean", "first", "reinit")


def _keys() -> Any:
    """Return a field that lists state-dict keys and is counted in the report."""
    return field(default_factory=list, metadata={"counted": True})


@dataclass
class TransferReport:
    """State-dict keys of the target network (``unexpected``: of the file), by what happened to them."""

    path: str = ""
    input_layer: str = "repeat_mean"
    matched: list[str] = _keys()  #: loaded unchanged
    adapted: list[str] = _keys()  #: loaded after ``input_layer`` changed the number of input channels
    resized: list[str] = _keys()  #: position embeddings that were resized, as ``key: file grid -> network grid``
    expected_missing: list[str] = _keys()  #: initialised on purpose: output layer, and stems with ``reinit``
    untrained: list[str] = _keys()  #: in the file but, by its card, not trained; left as initialised
    missing: list[str] = _keys()  #: not in the file
    wrong_shape: list[str] = _keys()  #: in another shape, as ``key: file shape -> network shape``
    unexpected: list[str] = _keys()  #: in the file but not in the network, such as the heads of a ``pretext.pt``
    encoder_share: float = 0.0  #: share of the encoder's keys that were loaded, without ``expected_missing``
    view_differences: list[str] = field(default_factory=list)  #: of the preprocessing, one line each
    network_differences: list[str] = field(default_factory=list)  #: of class and arguments, one line each

    def counts(self) -> dict[str, int]:
        """Return the number of keys in each list."""
        names = [name for name, part in self.__dataclass_fields__.items() if part.metadata.get("counted")]
        return {name: len(getattr(self, name)) for name in names}

    def summary(self) -> str:
        """Return one line for the log."""
        counts = ", ".join(f"{number} {name.replace('_', '-')}" for name, number in self.counts().items())
        return f"pretrained weights {self.path}: {counts}; {self.encoder_share:.1%} of the encoder"

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {**asdict(self), "counts": self.counts()}


def adapt_stem(source: Tensor, target: Tensor, input_layer: str) -> Tensor | None:
    """Fit the weight of a stem convolution to another number of input channels.

    ``repeat_mean`` gives every channel the mean over the source's channels, scaled so that equal channels
    give the same response as before. ``first`` copies the source's channels into the first ones and leaves the
    others as initialised. ``reinit`` returns None.

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


def match(
    state: dict[str, Tensor],
    network: nn.Module,
    input_layer: str = "repeat_mean",
    trained: Sequence[str] = ("",),
    crop: Sequence[int] | None = None,
) -> tuple[dict[str, Tensor], TransferReport]:
    """Decide which tensors of ``state`` go into ``network``, without changing it.

    Args:
        state: the file's tensors.
        network: the segmentation network.
        input_layer: one of `INPUT_LAYERS`.
        trained: prefixes of the keys that the file's method trained; the others stay as initialised.
        crop: voxels along each axis of the crops in the file's pretraining; None: not known.

    Returns:
        The network's complete state dict with the pretrained tensors in it, and the report.

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
            report.expected_missing.append(key)  # by name: an equal shape does not mean the same task
        elif source is None:
            report.missing.append(key)
        elif not key.startswith(tuple(trained)):
            report.untrained.append(key)  # another network's initialisation is no better than this one's
        elif key in backbone.position_keys and same_token(state, backbone):
            result[key] = _place_positions(key, source, target, backbone, crop, report)
        else:
            result[key] = _place(key, source, target, backbone, report)
    report.unexpected = [key for key in state if key not in result]
    report.encoder_share = _encoder_share(backbone, report)
    return result, report


def _place(key: str, source: Tensor, target: Tensor, backbone: Backbone, report: TransferReport) -> Tensor:
    """Return the tensor for a key that both sides have, and list the key in the report."""
    if source.shape == target.shape:
        report.matched.append(key)
        return source
    same_but_channels = source.ndim == 5 and source[:, :1].shape == target[:, :1].shape
    if key not in backbone.input_convs or not same_but_channels:
        report.wrong_shape.append(f"{key}: {tuple(source.shape)} -> {tuple(target.shape)}")
        return target
    adapted = adapt_stem(source, target, report.input_layer)
    (report.expected_missing if adapted is None else report.adapted).append(key)
    return target if adapted is None else adapted


def _place_positions(
    key: str,
    source: Tensor,
    target: Tensor,
    backbone: Backbone,
    crop: Sequence[int] | None,
    report: TransferReport,
) -> Tensor:
    """Place position embeddings, resized if the grids differ, even where both grids have equally many cells."""
    want = target_grid(backbone)
    have = source_grid(source.shape[1], backbone, crop) if source.ndim == 3 else None
    if want is None or have is None or have == want or source.shape[2:] != target.shape[2:]:
        return _place(key, source, target, backbone, report)
    report.resized.append(f"{key}: {have} -> {want}")
    return resize_positions(source, have, want)


def _encoder_share(backbone: Backbone, report: TransferReport) -> float:
    wanted = set(backbone.encoder_keys()) - set(report.expected_missing)
    resized = {line.split(":")[0] for line in report.resized}
    return len(wanted & {*report.matched, *report.adapted, *resized}) / len(wanted)
