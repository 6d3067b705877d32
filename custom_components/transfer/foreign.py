"""Weights files that other projects' code wrote: their tensors get the names of this network, or are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from custom_components.backbones import Backbone

from .layouts import LAYOUTS, NAMES, Layout
from .merging import reorder_merging


def layout_of(keys: Iterable[str], path: object) -> Layout:
    """Return the layout that the names of a file's keys show; ``plain`` if they show none.

    Raises:
        ValueError: if they fit several layouts.
    """
    names = list(keys)
    found = [layout for layout in LAYOUTS if layout.recognises(names)]
    if len(found) > 1:
        fitting = "; ".join(f"{layout.name} ({layout.source})" for layout in found)
        raise ValueError(
            f"weights {path} fit several layouts, and their keys do not show which: {fitting}. "
            "Set pretrained_format (in Python: layout) to one of these names"
        )
    return found[0] if found else LAYOUTS[0]


def translate(
    state: Mapping[str, Tensor], backbone: Backbone, path: object, layout: str = "auto"
) -> tuple[dict[str, Tensor], Layout]:
    """Give the tensors of a file the names and the order of channels that a network has.

    Args:
        state: content of the file, as `read_weights` returns it; it is not changed.
        backbone: adapter of the network.
        path: the file, for messages.
        layout: a name of `LAYOUTS`, for a file whose keys do not show it; ``auto``: recognise it.

    Returns:
        The renamed tensors, without those that are not this network's part of a known layout, and the layout.

    Raises:
        ValueError: for an unknown name, keys that fit several layouts, a layout that no network can take, or a
            SwinUNETR with another patch merging than the one that trained the file.
    """
    if layout not in ("auto", *NAMES):
        raise ValueError(f"pretrained_format is {layout!r}; allowed: {['auto', *NAMES]}")
    chosen = layout_of(state, path) if layout == "auto" else LAYOUTS[NAMES.index(layout)]
    if chosen.refusal is not None:
        raise ValueError(f"weights {path} have the layout {chosen.name} ({chosen.source}): {chosen.refusal}")
    renamed = chosen.convert(dict(state), backbone)
    if chosen.octants is not None:
        renamed = reorder_merging(renamed, chosen.octants, backbone.net, f"{path} ({chosen.name})")
    return renamed, chosen
