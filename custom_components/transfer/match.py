"""Deciding by name, before anything is loaded, which pretrained tensor goes where."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_components.backbones import Backbone, adapt

from .positions import resize_positions, same_token, source_grid, target_grid
from .report import TransferReport

INPUT_LAYERS = ("repeat_mean", "first", "reinit")
TRANSFERS = ("all", "encoder")
#: Parts of transformer blocks that MONAI builds or once built, but that no network of ours runs.
NEVER_RUN = (".cross_attn.", ".norm_cross_attn.")


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
    transfer: str = "all",
) -> tuple[dict[str, Tensor], TransferReport]:
    """Decide which tensors of ``state`` go into ``network``, without changing it.

    Args:
        state: the file's tensors.
        network: the segmentation network.
        input_layer: one of `INPUT_LAYERS`.
        trained: prefixes of the keys that the file's method trained; the others stay as initialised.
        crop: voxels along each axis of the crops in the file's pretraining; None: not known.
        transfer: ``all``, or ``encoder``: everything else stays as initialised.

    Returns:
        The network's complete state dict with the pretrained tensors in it, and the report. Its share of the
        encoder also counts encoder keys that only the file has: a deeper or wider encoder does not fit.

    Raises:
        ValueError: for an unknown ``input_layer``, ``transfer`` or network class.
    """
    for name, value, allowed in (("input_layer", input_layer, INPUT_LAYERS), ("transfer", transfer, TRANSFERS)):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; allowed: {list(allowed)}")
    backbone = adapt(network, subclasses=True)
    result, report = dict(network.state_dict()), TransferReport(input_layer=input_layer)
    for key, target in network.state_dict().items():
        source = state.get(key)
        if key.startswith(backbone.output_layer + "."):
            report.expected_missing.append(key)  # by name: an equal shape does not mean the same task
        elif transfer == "encoder" and not key.startswith(backbone.encoder_prefixes):
            report.expected_missing.append(key)
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
    found = wanted & {*report.matched, *report.adapted, *resized}
    return len(found) / (len(wanted) + len(surplus(backbone, report)))


def surplus(backbone: Backbone, report: TransferReport) -> list[str]:
    """Return the encoder's keys that only the file has, without those that no network runs."""
    keys = [key for key in report.unexpected if key.startswith(backbone.encoder_prefixes)]
    return [key for key in keys if not any(part in key for part in NEVER_RUN)]
