"""Loading pretrained weights into a network, never in silence."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from custom_components.backbones import adapt

from .cards import compare_networks, compare_views, read_card, trained_prefixes, write_json
from .match import TransferReport, match
from .positions import same_token, stated_crop
from .read import read_weights

logger = logging.getLogger(__name__)


def check_pretrained(
    network: nn.Module,
    path: str | os.PathLike[str],
    input_layer: str = "repeat_mean",
    min_share: float = 1.0,
    view: Mapping[str, Any] | None = None,
    architecture: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Tensor], TransferReport]:
    """Read, verify and match a weights file without changing the network.

    Args:
        network: the segmentation network.
        path: a weights file; its card, if there is one, is verified and compared, and says which keys were trained
            (``trained``) and on which crop position embeddings were learned (``roi_size`` of its ``view``).
        input_layer: ``repeat_mean``, ``first`` or ``reinit``, for another number of input channels.
        min_share: least share of the encoder's keys, in (0, 1], that the file must provide.
        view: the config's view of the image (channels, roi, spacing, orientation, intensity).
        architecture: the config's network, ``{"class": name, "arguments": {...}}``, as the card has it: the
            tensors of another activation or norm fit as well as the right ones.

    Returns:
        the complete state dict to load, and the report.

    Raises:
        ValueError: when the file or its card cannot be read, its sha256 is wrong, or less of the encoder matches
            than ``min_share``; a file without any matching key always raises.
    """
    if not 0 < min_share <= 1:
        raise ValueError(f"min_share is {min_share}; it must be in (0, 1]")
    card = read_card(path) if Path(path).is_file() else None
    content, crop = read_weights(path), stated_crop(card)
    state, report = match(content, network, input_layer, trained_prefixes(card, path), crop)
    report.path = str(path)
    if report.encoder_share < min_share or not (report.matched or report.adapted):
        untrained = [f"{key}: not trained, says the card" for key in report.untrained]
        examples = "; ".join((report.wrong_shape + report.missing + untrained)[:3])
        raise ValueError(
            f"weights {path} do not fit {type(network).__name__}: {report.encoder_share:.0%} of its encoder "
            f"found, {min_share:.0%} needed ({examples}){_crop_hint(network, report, content, crop)}"
        )
    if card is not None and view is not None:
        report.view_differences = compare_views(card.get("view", {}), view)
    if card is not None and architecture is not None:
        # What the report already lists as dealt with is no difference that anybody could act upon.
        ignored = ["in_channels"] * _stem_was_adapted(network, report) + ["img_size"] * bool(report.resized)
        report.network_differences = compare_networks(card.get("network"), architecture, ignored)
    if card is None:
        logger.warning("%s has no weights card beside it: how it was trained cannot be checked", path)
    return state, report


def _stem_was_adapted(network: nn.Module, report: TransferReport) -> bool:
    """Whether ``input_layer`` has dealt with another number of input channels, which the report then lists."""
    return bool(report.adapted or set(adapt(network).input_convs) & set(report.expected_missing))


def _crop_hint(
    network: nn.Module, report: TransferReport, content: Mapping[str, Tensor], crop: Sequence[int] | None
) -> str:
    """What to do about position embeddings that were learned on another crop; empty where there are none."""
    backbone = adapt(network)
    if not {line.split(":")[0] for line in report.wrong_shape} & set(backbone.position_keys):
        return ""
    hint = (
        "; position embeddings hold one entry per cell of the crop: allowed are weights that were pretrained with "
        f"this network's roi_size and img_size {backbone.crop_size}"
    )
    if crop is None and same_token(content, backbone):
        hint += ", or a card beside them whose view states the roi_size they learned on, to resize them from"
    return hint


def load_pretrained(
    network: nn.Module,
    path: str | os.PathLike[str],
    input_layer: str = "repeat_mean",
    min_share: float = 1.0,
    view: Mapping[str, Any] | None = None,
    report_path: str | os.PathLike[str] | None = None,
    architecture: Mapping[str, Any] | None = None,
) -> TransferReport:
    """Load pretrained weights into ``network`` and report what was and what was not.

    Arguments and errors are those of `check_pretrained`; ``report_path`` is where the report goes as JSON.
    Call it before the network is wrapped or its optimizer built.
    """
    state, report = check_pretrained(network, path, input_layer, min_share, view, architecture)
    network.load_state_dict(state, strict=True)
    logger.info(report.summary())
    for difference in report.view_differences:
        logger.warning("the pretrained weights saw the image differently: %s", difference)
    for difference in report.network_differences:
        logger.warning("the pretrained network was built differently: %s", difference)
    if report_path is not None:
        write_json(Path(report_path), report.to_dict())
    return report
