"""Weights of SwinUNETR's patch merging, which do not show in which order their code reads the cells of a block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monai.networks.nets.swin_unetr import PatchMergingV2
from torch import Tensor, nn

from custom_components.backbones.merging import MERGING, MERGING_V2, Octants, octants_of
from custom_components.backbones.merging import PatchMergingMonai09 as Monai09
from custom_components.backbones.merging import PatchMergingSuPreM as SuPreM

#: The names of MONAI's own patch mergings.
_NAMED = {"merging": MERGING, "mergingv2": MERGING_V2}
_PARAMETERS = re.compile(r"swinViT\.layers\d\.0\.downsample\.(reduction\.weight|norm\.(weight|bias))")
#: Octants -> the value of ``downsample`` with which SwinUNETR reads them.
_BUILT_WITH: dict[Octants, str] = {
    MERGING: "'merging'",
    MERGING_V2: "'mergingv2'",
    **{cls.octants: f"custom_components.backbones.{cls.__name__}" for cls in (Monai09, SuPreM)},
}


def reorder_merging(state: dict[str, Tensor], have: Octants, network: nn.Module, path: str) -> dict[str, Tensor]:
    """Bring the weights of patch merging into the order in which a network reads the cells of a block.

    Two orders of all eight octants differ by a permutation of channels, which is exact. An order that repeats
    octants belongs to another function: the norm before the projection sees other values.

    Args:
        state: tensors with the names of SwinUNETR; it is not changed.
        have: the order of the file.
        network: the network; if it has no patch merging, nothing is changed.
        path: the file, for the message.

    Raises:
        ValueError: if the orders differ and one of them repeats octants, or that of the network is not known.
    """
    found = [module for module in network.modules() if isinstance(module, PatchMergingV2)]
    want = octants_of(found[0]) if found else have
    if want == have:
        return state
    if want is None or len(set(have)) < len(have) or len(set(want)) < len(want):
        this = _BUILT_WITH.get(want, type(found[0]).__name__) if want else type(found[0]).__name__
        raise ValueError(
            f"weights {path} were trained with another patch merging than this SwinUNETR has (downsample {this}), "
            f"and no conversion is exact; build it with downsample {_BUILT_WITH[have]}, in training and inference"
        )
    places = [have.index(octant) for octant in want]

    def reorder(value: Tensor) -> Tensor:
        return value.unflatten(-1, (len(places), -1))[..., places, :].flatten(-2)

    return {key: reorder(value) if _PARAMETERS.fullmatch(key) else value for key, value in state.items()}


def stated_octants(card: Mapping[str, Any] | None) -> Octants | None:
    """Return the order in which the SwinUNETR of a weights card reads cells; None if the card states none.

    Cards are written with MONAI 1.6 or later.
    """
    network = (card or {}).get("network")
    if not isinstance(network, Mapping) or network.get("class") != "SwinUNETR":
        return None
    arguments = network.get("arguments")
    stated = str(arguments.get("downsample", "merging") if isinstance(arguments, Mapping) else "merging")
    old = next((cls.octants for cls in (Monai09, SuPreM) if cls.__name__ in stated), None)  # <class '...'>
    return old or _NAMED.get(stated)


def check_merging(card: Mapping[str, Any] | None, network: nn.Module, path: str) -> None:
    """Check that a network has the patch merging that the card of its complete weights states.

    Raises:
        ValueError: if it has another one; inference would not fail, but segment wrongly.
    """
    stated = stated_octants(card)
    found = [octants_of(module) for module in network.modules() if isinstance(module, PatchMergingV2)]
    if stated is not None and found and found[0] != stated:
        raise ValueError(
            f"weights {path} were trained with another patch merging than this SwinUNETR has; allowed: downsample "
            f"{_BUILT_WITH[stated]}, as their card states. Use the layer that training used"
        )
