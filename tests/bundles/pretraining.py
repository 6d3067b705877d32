"""What the tests of pretraining bundles share: tables of networks and layers, and configs made tiny."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser

from custom_components.backbones import adapt
from mim3d.catalog import BUNDLES, NETWORKS, TASKS
from mim3d.catalog import METHODS as CATALOG

NAMES = sorted(path.name for path in BUNDLES.glob("pretrain_*"))
METHODS = {method.bundle.name: method.title for method in CATALOG.values()}
#: Class of the network that each layer brings, and the layer that would bring the network of each train.yaml.
CLASSES = {f"{name}.yaml": network.title for name, network in NETWORKS.items()}
DEFAULT = {method.bundle.name: f"{method.default}.yaml" for method in CATALOG.values()}
#: Layers that give a pretraining bundle the view of each segmentation bundle; without and with smoke.yaml.
VIEWS = {
    task.bundle.name: (task.pretraining_layers(), task.pretraining_layers(smoke=True)) for task in TASKS.values()
}
#: What makes a method's own part tiny, where it has one.
OWN: dict[str, dict[str, Any]] = {
    "pretrain_hybridmim": {
        "patch_size": [8, 8, 8],
        "region_size": [16, 16, 16],
        "window_size": [16, 32, 32],
        "contrast_features": 8,
    },
    "pretrain_mae": {"decoder_width": 24, "decoder_heads": 2, "block_size": [32, 32, 32]},
    "pretrain_simmim": {"block_size": [32, 32, 32]},
    "pretrain_simclr": {"projection_width": 16, "projection_features": 8},
}
TINY: dict[str, Any] = {
    "device": torch.device("cpu"),
    "spacing": [1.0, 1.0, 1.0],
    "roi_size": [32, 32, 32],
    "num_samples": 1,
    "batch_size": 2,
    "num_workers": 0,
    "epochs": 1,
    "val_interval": 1,
    "warmup_share": 0.0,
    "holdout": 2,
}


def layers_of(bundle: str) -> list[str]:
    files = (BUNDLES / bundle / "configs").glob("*.yaml")
    return sorted(file.name for file in files if file.name not in ("train.yaml", "inference.yaml"))


LAYERS = [(bundle, layer) for bundle in NAMES for layer in layers_of(bundle)]
ALONE = [(bundle, None) for bundle in NAMES]
#: Every network of every method: the layer that brings it, None where train.yaml has it.
ROWS = [*ALONE, *((bundle, layer) for bundle, layer in LAYERS if layer in CLASSES)]


def text(bundle: str, file: str) -> str:
    return (BUNDLES / bundle / "configs" / file).read_text(encoding="utf-8")


def content(bundle: str, file: str) -> dict[str, Any]:
    return yaml.safe_load(text(bundle, file))


@cache
def merged(bundle: str, files: tuple[str, ...]) -> dict[str, Any]:
    return dict(ConfigParser.load_config_files([str(BUNDLES / bundle / "configs" / file) for file in files]))


def parse(bundle: str, *layers: str | None, first: str = "train.yaml", **changes: Any) -> ConfigParser:
    """A bundle's merged configs, as ``monai.bundle run`` would hold them; a layer None is none."""
    parser = ConfigParser(deepcopy(merged(bundle, (first, *filter(None, layers)))))
    parser["bundle_root"] = str(BUNDLES / bundle)
    for key, value in changes.items():
        parser[key] = value
    return parser


def network_of(bundle: str, layer: str | None) -> str:
    return CLASSES[layer if layer in CLASSES else DEFAULT[bundle]]


def seg_layer(bundle: str, layer: str | None) -> str | None:
    """A segmentation bundle's layer of the network that a pretraining has; None where it is its own."""
    name = layer or DEFAULT[bundle]
    return None if name == "basic_unet.yaml" else name


def pretext_of(bundle: str, layer: str | None) -> str:
    """The pretext class; CNNs in pretrain_mae have one of their own."""
    dense = bundle == "pretrain_mae" and network_of(bundle, layer) in ("BasicUNet", "SegResNet")
    return "DenseMAE" if dense else METHODS[bundle]


def trained_of(bundle: str, layer: str | None, decoder: str = "full") -> tuple[str, ...]:
    """Prefixes of what is trained of the network; ``("",)`` is everything."""
    if pretext_of(bundle, layer) not in ("MAE", "SimMIM", "SimCLR") and decoder == "full":
        return ("",)
    parser = parse(bundle, layer, **small(network_of(bundle, layer)), roi_size=TINY["roi_size"])
    return adapt(parser.get_parsed_content("network_def")).encoder_prefixes


def small(network: str) -> dict[str, Any]:
    """Config keys that make the network of a class tiny."""
    tiny_arguments = next(known.tiny for known in NETWORKS.values() if known.title == network)
    return {f"architecture#{key}": value for key, value in tiny_arguments.items()}


def tiny(bundle: str, layer: str | None = None, **changes: Any) -> ConfigParser:
    """A pretraining's train.yaml with a layer, so small that a step takes a tenth of a second."""
    return parse(bundle, layer, **{**TINY, **OWN.get(bundle, {}), **small(network_of(bundle, layer)), **changes})
