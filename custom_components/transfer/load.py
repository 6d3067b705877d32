"""Loading pretrained weights into a network, with a report of every tensor."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from custom_components.atomic import write_json
from custom_components.backbones import Backbone, adapt
from custom_components.number_checks import check_number
from custom_components.published import find_published, is_published

from .cards import compare_networks, compare_views, read_card, trained_prefixes
from .fetch import weights_file
from .foreign import translate
from .match import match, surplus
from .merging import reorder_merging, stated_octants
from .positions import same_token, stated_crop
from .read import FilePath, forget_weights, read_weights
from .report import TransferReport
from .unshown import unshown

logger = logging.getLogger(__name__)


def check_pretrained(
    network: nn.Module,
    path: FilePath,
    input_layer: str = "repeat_mean",
    min_share: float = 1.0,
    view: Mapping[str, Any] | None = None,
    architecture: Mapping[str, Any] | None = None,
    layout: str = "auto",
    transfer: str = "all",
) -> tuple[dict[str, Tensor], TransferReport]:
    """Read a weights file, verify its card and match its tensors, without changing the network.

    Args:
        network: the segmentation network.
        path: a weights file, or the name of published weights, see `fetch_weights`. Its card, if there is one,
            says which keys were trained (``trained``) and on which crop position embeddings were learned
            (``roi_size`` of its ``view``).
        input_layer: ``repeat_mean``, ``first`` or ``reinit``, for another number of input channels.
        min_share: smallest share of the encoder's keys that the file must provide, in (0, 1].
        view: the config's preprocessing (channels, roi, spacing, orientation, intensity), compared with the card.
        architecture: the config's network, ``{"class": name, "arguments": {...}}``, compared with the card:
            tensors of a network with another activation or norm would fit too.
        layout: whose code wrote the file, a name of `custom_components.transfer.layouts.LAYOUTS`; ``auto``:
            recognised by the file's keys.
        transfer: ``all``, or ``encoder``: the rest of the network stays as initialised.

    Returns:
        The complete state dict to load, and the report.

    Raises:
        ValueError: if the file or its card cannot be read, the sha256 is wrong, the layout is unknown, ambiguous
            or does not fit, another argument is not allowed, or less of the encoder matches than ``min_share``;
            always if no key matches.
    """
    network = bare(network)
    check_number(min_share, "min_share", above=0, at_most=1)
    given, path = path, weights_file(path)
    card = read_card(path) if path.is_file() else None
    backbone = adapt(network, subclasses=True)
    content, found = translate(read_weights(path), backbone, path, layout)
    crop, octants = stated_crop(card), stated_octants(card)
    if octants is not None:
        content = reorder_merging(content, octants, network, str(path))
    state, report = match(content, network, input_layer, trained_prefixes(card, path), crop, transfer)
    report.path, report.layout = str(path), found.name
    if report.encoder_share < min_share or not (report.matched or report.adapted):
        examples = "; ".join(_misfits(backbone, report)[:3])
        raise ValueError(
            f"weights {path} do not fit {type(network).__name__}: {report.encoder_share:.0%} of its encoder "
            f"found, {min_share:.0%} needed ({examples}){_crop_hint(backbone, report, content, crop)}"
            f"{_keys_hint(given)}"
        )
    if card is None:
        logger.warning("%s has no weights card beside it: how it was trained cannot be checked", path)
        report.notes = unshown(backbone, found.name)
        return state, report
    if view is not None:
        report.view_differences = compare_views(card.get("view", {}), view)
    if architecture is not None:
        # Differences that the transfer has already handled need no action.
        handled = ["in_channels"] * _stem_was_adapted(backbone, report) + ["img_size"] * bool(report.resized)
        handled += ["downsample"] * (octants is not None)
        report.network_differences = compare_networks(card.get("network"), architecture, handled)
    return state, report


def bare(network: nn.Module) -> nn.Module:
    """Return the network within DataParallel, DistributedDataParallel and torch.compile's wrapper."""
    while True:
        parallel = isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel))
        inner = network.module if parallel else getattr(network, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def _misfits(backbone: Backbone, report: TransferReport) -> list[str]:
    """Return what does not fit, the encoder's keys first."""
    extra = [f"{key}: only in the file" for key in surplus(backbone, report)]
    untrained = [f"{key}: not trained, says the card" for key in report.untrained]
    lines = report.wrong_shape + report.missing + untrained + extra
    return sorted(lines, key=lambda line: not line.startswith(backbone.encoder_prefixes))


def _stem_was_adapted(backbone: Backbone, report: TransferReport) -> bool:
    """Return True if the file has another number of input channels and ``input_layer`` has handled it."""
    return bool(report.adapted or set(backbone.input_convs) & set(report.expected_missing))


def _keys_hint(given: FilePath) -> str:
    """Return the config keys of the network that published weights, given by name, were trained with."""
    if Path(given).is_file() or not is_published(str(given)):
        return ""
    keys = " ".join(f"--{key} {shlex.quote(str(value))}" for key, value in find_published(str(given)).keys.items())
    return f"; {given} was trained with {keys}: add that" if keys else ""


def _crop_hint(
    backbone: Backbone, report: TransferReport, content: Mapping[str, Tensor], crop: Sequence[int] | None
) -> str:
    """Return which weights would fit, if position embeddings of another crop are what did not."""
    wrong = {line.split(":")[0] for line in report.wrong_shape}
    if not wrong & set(backbone.position_keys):
        return ""
    hint = (
        "; position embeddings hold one entry per cell of the crop: allowed are weights that were pretrained with "
        f"this network's roi_size and img_size {backbone.crop_size}"
    )
    if crop is None and same_token(content, backbone):
        hint += ", or weights whose card states the roi_size of their pretraining, which are resized"
    return hint


def load_pretrained(
    network: nn.Module, path: FilePath, report_path: FilePath | None = None, **options: Any
) -> TransferReport:
    """Load pretrained weights into ``network`` and return the report; log and warn of every difference.

    A plain MONAI network is enough: the output layer, which depends on the number of classes, is left out by name.
    Call it before the optimizer is built.

    Args:
        network: a network of MONAI or a subclass of one, `UNETRPatch8`, or a network registered with
            `custom_components.backbones.register`; DataParallel, DistributedDataParallel and torch.compile may
            wrap it.
        path: a weights file, or the name of published weights.
        report_path: JSON file to write the report to; None: none.
        options: further arguments of `check_pretrained`, which also lists the errors.
    """
    state, report = check_pretrained(network, path, **options)
    bare(network).load_state_dict(state, strict=True)
    forget_weights()
    logger.info(report.summary())
    for note in report.notes:
        logger.warning("pretrained weights %s: %s", path, note)
    for difference in report.view_differences:
        logger.warning("the pretrained weights saw the image differently: %s", difference)
    for difference in report.network_differences:
        logger.warning("the pretrained network was built differently: %s", difference)
    if report_path is not None:
        write_json(Path(report_path), report.to_dict())
    return report
