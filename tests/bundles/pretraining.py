"""What the tests of pretraining bundles share: tables of networks and layers, and configs made tiny."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
NAMES = sorted(path.name for path in BUNDLES.glob("pretrain_*"))
METHODS = {
    "pretrain_hybridmim": "HybridMIM",
    "pretrain_mae": "MAE",
    "pretrain_simmim": "SimMIM",
    "pretrain_simclr": "SimCLR",
}
#: The network of each layer that brings one, and the train.yaml that has it without a layer.
NETWORKS = {
    "basic_unet.yaml": "BasicUNet",
    "segresnet.yaml": "SegResNet",
    "swin_unetr.yaml": "SwinUNETR",
    "unetr.yaml": "UNETR",
    "unetr_patch8.yaml": "UNETRPatch8",
}
DEFAULT = dict.fromkeys(METHODS, "unetr.yaml") | {"pretrain_hybridmim": "basic_unet.yaml"}
#: What methods that leave the decoder alone train of each network, as state-dict prefixes.
ENCODER = {
    "BasicUNet": ("conv_0.", "down_"),
    "SegResNet": ("convInit.", "down_layers."),
    "SwinUNETR": ("swinViT.",),
    "UNETR": ("vit.",),
    "UNETRPatch8": ("vit.",),
}

#: What makes each network small, and each method's own part.
_VIT = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
SMALL: dict[str, dict[str, Any]] = {
    "BasicUNet": {"features": [4, 4, 8, 8, 16, 4]},
    "SegResNet": {"init_filters": 8},
    "SwinUNETR": {"feature_size": 12, "depths": [2, 1, 1, 1], "window_size": 4},
    "UNETR": _VIT,
    "UNETRPatch8": _VIT,
}
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
ROWS = [*ALONE, *((bundle, layer) for bundle, layer in LAYERS if layer in NETWORKS)]


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
    return NETWORKS.get(layer or "", NETWORKS[DEFAULT[bundle]])


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
    everything = pretext_of(bundle, layer) in ("HybridMIM", "DenseMAE") and decoder == "full"
    return ("",) if everything else ENCODER[network_of(bundle, layer)]


def small(network: str) -> dict[str, Any]:
    return {f"architecture#{key}": value for key, value in SMALL[network].items()}


def tiny(bundle: str, layer: str | None = None, **changes: Any) -> ConfigParser:
    """A pretraining's train.yaml with a layer, so small that a step takes a tenth of a second."""
    return parse(bundle, layer, **{**TINY, **OWN[bundle], **small(network_of(bundle, layer)), **changes})
