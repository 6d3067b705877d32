"""What the collection holds: networks, segmentation tasks and pretraining methods, and which go together.

The one place for these facts. `mim3d render` makes each bundle's layers from these tables; the quick start, the
MONAI Label round trip and the tests read them too. Standard library only, because the quick start checks its
command line before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "bundles"
SEGMENTED = "basic_unet"  # the default network of the segmentation bundles


@dataclass(frozen=True)
class Network:
    """A network, brought by the layer ``<name>.yaml``.

    Attributes:
        name: of its source in bundles/_shared/networks and of its layer.
        title: of its class.
        about: one line for readers of the layer.
        parameters: their number, with the view of the default task.
        small: config keys and values that make it small enough for a CPU, in pretraining and segmentation alike.
            Layers bring the full-sized network, so these go behind them.
        tiny: constructor arguments that make a training step take about a tenth of a second, for tests.
        transformer: whether its encoder is one; it then learns at a lower rate than a CNN.
    """

    name: str
    title: str
    about: str
    parameters: str
    small: dict[str, Any]
    tiny: dict[str, Any]
    transformer: bool = False


_SMALL_VIT = {
    "architecture#feature_size": 8,
    "architecture#hidden_size": 192,
    "architecture#mlp_dim": 768,
    "architecture#num_heads": 6,
}
_TINY_VIT = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
NETWORKS = {
    network.name: network
    for network in (
        Network(
            "basic_unet",
            "BasicUNet",
            "MONAI's BasicUNet, stride 16.",
            "23.0 M",
            {"architecture#features": [16, 16, 32, 64, 128, 16]},
            {"features": [4, 4, 8, 8, 16, 4]},
        ),
        Network(
            "segresnet",
            "SegResNet",
            "MONAI's SegResNet, stride 8.",
            "18.8 M",
            {"architecture#init_filters": 8},
            {"init_filters": 8},
        ),
        Network(
            "swin_unetr",
            "SwinUNETR",
            "MONAI's SwinUNETR, feature size 48. Crop sides are multiples of 32.",
            "62.2 M",
            {
                "architecture#feature_size": 12,
                "architecture#use_checkpoint": False,  # so small, it need not save memory
                "roi_size": [64, 64, 64],
            },
            {"feature_size": 12, "depths": [2, 1, 1, 1], "window_size": 4},
            transformer=True,
        ),
        Network(
            "unetr",
            "UNETR",
            "MONAI's UNETR (ViT-B/16). It takes windows of exactly roi_size.",
            "92.8 M",
            _SMALL_VIT,
            _TINY_VIT,
            transformer=True,
        ),
        Network(
            "unetr_patch8",
            "UNETRPatch8",
            "UNETR with tokens of 8 voxels, eight times as many as UNETR.",
            "88.3 M",
            _SMALL_VIT,
            _TINY_VIT,
            transformer=True,
        ),
    )
}
#: Per network, what makes it small.
NARROW = {name: network.small for name, network in NETWORKS.items()}


@dataclass(frozen=True)
class Task:
    """A segmentation task: the bundle ``seg_<name>``.

    Attributes:
        name: of its view in bundles/_shared/views.
        phantoms: kind of `mim3d phantoms` that it can be tried on.
        small: whether the view is small, so that smoke.yaml keeps it.
    """

    name: str
    phantoms: str
    small: bool = False

    @property
    def bundle(self) -> Path:
        """Folder of the segmentation bundle."""
        return BUNDLES / f"seg_{self.name}"

    @property
    def view_layer(self) -> str | None:
        """Layer of the pretraining bundles with this task's view; None if it is the view of their train.yaml."""
        return None if self.name == DEFAULT_VIEW else f"task_{self.name}.yaml"

    def pretraining_layers(self, smoke: bool = False) -> list[str]:
        """Layers that give a pretraining bundle this task's view, in their order; with smoke.yaml on request."""
        view = [self.view_layer] if self.view_layer else []
        if not smoke:
            return view
        return ["smoke.yaml", *view] if self.small else [*view, "smoke.yaml"]


DEFAULT_VIEW = "btcv"  # task whose view the pretraining bundles have without a layer
TASKS = {
    task.name: task
    for task in (
        Task("btcv", "abdomen_ct"),
        Task("brats", "brain_mri"),
        Task("msd_liver", "liver_ct"),
        Task("msd_spleen", "spleen_ct"),
        Task("msd_hippocampus", "hippocampus_mri", small=True),
        Task("custom", "spleen_ct"),  # a z-score of CT, one class
    )
}


#: Phantoms of the quick start: those of the default task with fewer classes, which a short training learns.
QUICK_PHANTOMS = "six_organs_ct"


@dataclass(frozen=True)
class Method:
    """A pretraining method: the bundle ``pretrain_<name>``.

    Attributes:
        name: as on the command line.
        title: as it is published.
        default: the network of its train.yaml.
        others: further networks that it pretrains, each with a layer.
    """

    name: str
    title: str
    default: str
    others: tuple[str, ...]

    @property
    def bundle(self) -> Path:
        """Folder of the pretraining bundle."""
        return BUNDLES / f"pretrain_{self.name}"

    @property
    def layers(self) -> dict[str, list[str]]:
        """Per network that it pretrains, the layers that bring it."""
        return {self.default: [], **{name: [f"{name}.yaml"] for name in self.others}}


METHODS = {
    method.name: method
    for method in (
        Method("hybridmim", "HybridMIM", "basic_unet", ("segresnet", "swin_unetr", "unetr", "unetr_patch8")),
        Method("mae", "MAE", "unetr", ("unetr_patch8", "basic_unet", "segresnet")),
        Method("simmim", "SimMIM", "unetr", ("unetr_patch8", "swin_unetr")),
        Method("simclr", "SimCLR", "unetr", ("unetr_patch8", "basic_unet", "segresnet", "swin_unetr")),
    )
}
