"""The layouts of weights files that other projects' code writes: how each is recognised.

A layout is recognised by the names of its keys, after `read_weights` has taken off containers (``state_dict``,
``net``, ``network_weights``) and general prefixes (``module.``). Where two layouts have the same names, the file
is refused until the user says which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from custom_components.backbones import Backbone
from custom_components.backbones.merging import MERGING, Octants, PatchMergingMonai09, PatchMergingSuPreM

from .rename import from_mae, from_simmim, from_swinvit, from_vit, without_prefix

State = dict[str, Tensor]
_NO_COUNTERPART = (
    "no network of these bundles has this architecture; allowed: weights of BasicUNet, SegResNet, SwinUNETR, "
    "UNETR or UNETRPatch8"
)


@dataclass(frozen=True)
class Layout:
    """One way in which other code names the tensors of a network.

    Attributes:
        name: what ``pretrained_format`` and the report call it.
        source: the public code that writes it.
        needed: beginnings of keys; a file of this layout has a key for each of them.
        one_of: beginnings or parts of keys; a file of this layout has a key with at least one of them. Empty: no
            condition.
        absent: beginnings or parts of keys that a file of this layout never has.
        convert: gives the tensors the names of the network, for which its adapter is passed.
        octants: order in which the patch merging that trained the file reads cells; None: no SwinUNETR.
        refusal: why no network can take the file; None: some can.
        stated_only: whether no key shows the layout, so that the user must state it.
    """

    name: str
    source: str
    needed: tuple[str, ...]
    one_of: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    convert: Callable[[State, Backbone], State] = lambda state, backbone: state
    octants: Octants | None = None
    refusal: str | None = None
    stated_only: bool = False

    def recognises(self, keys: Iterable[str]) -> bool:
        """Return True if a file with these keys may have this layout, and if keys can show it."""
        if self.stated_only:
            return False
        text = "\n" + "\n".join(keys)  # a newline before a part means: at the beginning of a key

        def has(part: str) -> bool:
            return part in text if part.startswith(".") else f"\n{part}" in text

        some = not self.one_of or any(map(has, self.one_of))
        return all(map(has, self.needed)) and some and not any(map(has, self.absent))


_SWIN_HEADS = ("patch_embed.proj.", "swin_vit.patch_embed.proj.", "rotation_head.", "contrastive_head.")
_SUPREM_HEADS = ("organ_embedding", "controller.", "precls_conv.", "GAP.")
LAYOUTS = (
    Layout("plain", "MONAI, and the model.pt of these bundles", needed=(), stated_only=True),
    Layout(
        "plain_monai09",
        "SwinUNETR of MONAI 0.9 to 1.4, such as that of the model zoo's swin_unetr_btcv_segmentation",
        needed=(),
        octants=PatchMergingMonai09.octants,
        stated_only=True,
    ),
    Layout(
        "swinvit_monai09",
        "model_swinvit.pt, and research-contributions/SwinUNETR/Pretrain with MONAI 0.9 to 1.4",
        needed=(),
        one_of=_SWIN_HEADS,
        convert=from_swinvit,
        octants=PatchMergingMonai09.octants,
    ),
    Layout(
        "swinvit_monai15",
        "research-contributions/SwinUNETR/Pretrain with MONAI 1.5 or later",
        needed=(),
        one_of=_SWIN_HEADS,
        absent=(".mlp.fc1.",),  # only files older than MONAI 0.9 have these names
        convert=from_swinvit,
        octants=MERGING,
    ),
    Layout(
        "swin_simmim",
        "ssl_pretrained_weights.pth of the MONAI tutorials",
        needed=("encoder.patch_embed.", "encoder.layers1.0.0.", "encoder.mask_token"),
        convert=from_simmim,
        octants=PatchMergingMonai09.octants,
    ),
    Layout(
        "monai_mae",
        "monai.networks.nets.MaskedAutoEncoderViT",
        needed=("patch_embedding.", "blocks.0.", "decoder_blocks.", "mask_tokens"),
        convert=from_mae,
    ),
    Layout(
        "monai_vit",
        "monai.networks.nets.ViT and ViTAutoEnc",
        needed=("patch_embedding.", "blocks.0.", "norm."),
        absent=("decoder_blocks.", "mask_tokens"),
        convert=from_vit,
    ),
    Layout(
        "suprem",
        "MrGiovanni/SuPreM, supervised_pretraining: SwinUNETR and SegResNet",
        needed=("backbone.",),
        one_of=_SUPREM_HEADS,
        absent=("backbone.down_tr64.",),
        convert=without_prefix("backbone."),
        octants=PatchMergingSuPreM.octants,
    ),
    Layout(
        "suprem_unet",
        "MrGiovanni/SuPreM, UNet3D",
        needed=(),
        one_of=("backbone.down_tr64.", "down_tr64."),
        refusal=_NO_COUNTERPART,
    ),
    Layout(
        "voco",
        "Luffy03/Large-Scale-Medical, Self-supervised: one backbone with two heads",
        needed=("backbone.swinViT.",),
        one_of=("student.", "teacher."),
        convert=without_prefix("backbone."),
        octants=PatchMergingMonai09.octants,
    ),
    Layout(
        "voco_student",
        "Luffy03/VoCo: the network that was trained",
        needed=("student.swinViT.",),
        convert=without_prefix("student."),
        octants=PatchMergingMonai09.octants,
    ),
    Layout(
        "voco_teacher",
        "Luffy03/VoCo: the moving average of the network that was trained",
        needed=("teacher.swinViT.",),
        convert=without_prefix("teacher."),
        octants=PatchMergingMonai09.octants,
    ),
    Layout(
        "nnunet",
        "MIC-DKFZ/nnssl and MIC-DKFZ/nnUNet: ResidualEncoderUNet, PlainConvUNet, Primus",
        needed=(),
        one_of=("encoder.stem.", "encoder.stages.", "eva.", "down_projection."),
        refusal=_NO_COUNTERPART,
    ),
)
NAMES = tuple(layout.name for layout in LAYOUTS)
