"""What the quick start pretrains with: which method goes with which network, and what makes each small.

A smoke layer narrows its bundle's default network alone; a layer that brings another network comes behind it and
brings the full-sized one. So the command line narrows every network, the same way in pretraining and segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "bundles"
SEGMENTED = "basic_unet"  # the default network of the segmentation bundles
_VIT = {
    "architecture#feature_size": 8,
    "architecture#hidden_size": 192,
    "architecture#mlp_dim": 768,
    "architecture#num_heads": 6,
}
#: Per network, what makes it small; for pretraining and segmentation alike.
NARROW: dict[str, dict[str, Any]] = {
    "basic_unet": {"architecture#features": [16, 16, 32, 64, 128, 16]},
    "segresnet": {"architecture#init_filters": 8},
    # Its crops are multiples of 32; so small, it need not trade time for memory.
    "swin_unetr": {
        "architecture#feature_size": 12,
        "architecture#use_checkpoint": False,
        "roi_size": [64, 64, 64],
    },
    "unetr": _VIT,
    "unetr_patch8": _VIT,
}


@dataclass(frozen=True)
class Method:
    """One pretraining bundle.

    Attributes:
        title: as it is published.
        bundle: its folder.
        default: the network of its train.yaml.
        layers: per network that it pretrains, the layers that bring it.
    """

    title: str
    bundle: Path
    default: str
    layers: dict[str, list[str]]


def _method(title: str, default: str, *others: str) -> Method:
    layers = {default: [], **{name: [f"{name}.yaml"] for name in others}}
    return Method(title, BUNDLES / f"pretrain_{title.lower()}", default, layers)


METHODS = {
    "hybridmim": _method("HybridMIM", "basic_unet", "segresnet", "swin_unetr", "unetr", "unetr_patch8"),
    "mae": _method("MAE", "unetr", "unetr_patch8", "basic_unet", "segresnet"),
    "simmim": _method("SimMIM", "unetr", "unetr_patch8", "swin_unetr"),
    "simclr": _method("SimCLR", "unetr", "unetr_patch8", "basic_unet", "segresnet", "swin_unetr"),
}


@dataclass(frozen=True)
class Choice:
    """A method and a network that go together."""

    name: str
    backbone: str

    @property
    def method(self) -> Method:
        """Its row of the table."""
        return METHODS[self.name]

    def layers(self, bundle: Path) -> list[str]:
        """The layers that bring the network in a bundle; none where it is the bundle's own."""
        if bundle == self.method.bundle:
            return self.method.layers[self.backbone]
        return [] if self.backbone == SEGMENTED else [f"{self.backbone}.yaml"]

    def overrides(self, bundle: Path, data: str) -> dict[str, Any]:
        """What the command line changes in a bundle's configs, on phantoms, hippocampus or own data."""
        changed = dict(NARROW[self.backbone])
        if bundle != self.method.bundle:
            return changed
        if self.name == "hybridmim" and self.backbone == "swin_unetr":
            # Its stride is 32, so are regions; and the layer's rate is that of a long run.
            sizes = {"region_size": [32, 32, 32], "window_size": [32, 64, 64], "patch_size": [16, 16, 16]}
            return {**changed, **sizes, "learning_rate": 1e-3}
        if self.name in ("mae", "simmim") and self.backbone == "unetr_patch8" and data == "hippocampus":
            changed["patch_size"] = [8, 8, 8]  # one token: the structure is small
        return changed


def choose(name: str, backbone: str | None) -> Choice:
    """The method with a network, its own where none is named.

    Raises:
        SystemExit: where the two do not go together.
    """
    method = METHODS[name]
    if backbone is not None and backbone not in method.layers:
        allowed = ", ".join(method.layers)
        raise SystemExit(f"error: --method {name} does not go with --backbone {backbone}; it goes with: {allowed}")
    return Choice(name, backbone or method.default)
