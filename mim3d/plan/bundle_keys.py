"""Keys of the shipped configs that a plan takes over, so that they are written in one place."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mim3d.catalog import NETWORKS, SEGMENTED, TASKS, Method

SEG = TASKS["custom"].bundle
#: Kind of intensity scaling -> the task whose layers have it.
_SCALED_LIKE = {"window": "btcv", "z_score": "msd_hippocampus", "z_score_nonzero": "brats"}
_DECIDED = ("spacing", "roi_size", "block_size", "holdout", "epochs", "val_interval", "batch_size", "num_samples")


@cache
def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def shipped(bundle: Path, name: str = "train") -> dict[str, Any]:
    """Return the keys of a shipped config of a bundle: ``train``, or a layer without its ``.yaml``."""
    return dict(_read(bundle / "configs" / f"{name}.yaml"))


def network_keys(bundle: Path, network: str, default: str, small: bool) -> dict[str, Any]:
    """Return the keys that bring a network into a bundle, with ``architecture`` as a whole.

    Args:
        bundle: the bundle's folder.
        network: key of ``NETWORKS``.
        default: the network of the bundle's ``train.yaml``; other networks have a layer.
        small: whether to make it small, as the quick start does.
    """
    own = {"architecture": shipped(bundle)["architecture"]}
    keys = own if network == default else shipped(bundle, network)
    architecture = dict(keys["architecture"])
    if small:
        for key, value in NETWORKS[network].small.items():
            parent, _, name = key.partition("#")
            if name:
                architecture[name] = value
    return {**keys, "architecture": architecture}


def segmentation_network(network: str, small: bool) -> dict[str, Any]:
    """Return the keys that bring a network into ``seg_custom``."""
    return network_keys(SEG, network, SEGMENTED, small)


def pretraining_network(method: Method, network: str, small: bool) -> dict[str, Any]:
    """Return the keys that bring a network into the bundle of a method."""
    return network_keys(method.bundle, network, method.default, small)


def small_keys(bundle: Path) -> dict[str, Any]:
    """Return the keys of a bundle's ``smoke.yaml`` that a plan does not decide, nor the network."""
    smoke = shipped(bundle, "smoke")
    return {k: v for k, v in smoke.items() if k not in _DECIDED and not k.startswith("architecture")}


def intensity_keys(method: Method, kind: str) -> dict[str, Any]:
    """Return ``intensity``, ``foreground``, ``view`` and, for masks, ``foreground_above`` of a pretraining config.

    Args:
        method: the pretraining method.
        kind: ``window``, ``z_score`` or ``z_score_nonzero``.
    """
    layer = TASKS[_SCALED_LIKE[kind]].view_layer
    found = shipped(method.bundle, layer.removesuffix(".yaml") if layer else "train")
    wanted = ("intensity", "foreground", "view", "foreground_above")
    return {key: found[key] for key in wanted if key in found}
