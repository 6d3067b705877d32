"""The networks, and the variants of a step, that pretrain_step.py measures."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial

from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.swin_unetr import SwinUNETR
from torch import Tensor, nn

from custom_components.backbones import Backbone, Encoded, StageHook

FEATURES = {"basic_unet": (64, 64, 128, 256, 512, 64), "swin_unetr": (48,)}


@dataclass(frozen=True)
class Variant:
    """One variant of a step; the defaults are those of pretrain_hybridmim in fp32."""

    text: str
    window: bool = True
    contrast: bool = True
    second_view_grad: bool = True
    whole_second_pass: bool = False
    bf16: bool = False
    upcat_pads: bool = False
    channels_last: bool = False
    compile: bool = False
    kept_masks: bool = False
    one_call_attention: bool = False
    released_code: bool = False


# "released" executes our objective as the released code does: nothing shared, no gradient in the second pass.
released = partial(Variant, second_view_grad=False, whole_second_pass=True, upcat_pads=True)
VARIANTS = {
    "window": Variant("window decoded, shared stages, second view with gradient (paper.yaml)"),
    "window-nograd": Variant("the same, second view without gradient", second_view_grad=False),
    "window-nocontrast": Variant("the same, without the second view", contrast=False),
    "full": Variant("everything decoded", window=False),
    "released": released("as released: window, whole second pass without gradient"),
    "released-full": released("as released, everything decoded", window=False),
    "window-bf16": Variant("default in bfloat16 autocast", bf16=True),
    "full-bf16": Variant("everything decoded, bfloat16", window=False, bf16=True),
    "full-padded": Variant("everything decoded, UpCat pads by nothing", window=False, upcat_pads=True),
    "full-bf16-padded": Variant("the same, bfloat16", window=False, bf16=True, upcat_pads=True),
    "window-channels-last": Variant("default in channels_last_3d", channels_last=True),
    "window-bf16-channels-last": Variant("default, bfloat16, channels_last_3d", bf16=True, channels_last=True),
    "full-compile": Variant("everything decoded, compiled; all of it under heads and losses", False, compile=True),
    "full-bf16-compile": Variant("the same, bfloat16", window=False, bf16=True, compile=True),
    "window-kept-masks": Variant("default, shift masks are kept", kept_masks=True),
    "window-one-call": Variant(
        "default, masks are kept, attention is one call", kept_masks=True, one_call_attention=True
    ),
    "nograd-one-call": Variant(
        "window-nograd, masks are kept, attention is one call",
        second_view_grad=False,
        kept_masks=True,
        one_call_attention=True,
    ),
    "released-code": Variant("the released code itself, with its window", released_code=True),
    "released-code-full": Variant(
        "the released code itself, everything decoded", window=False, released_code=True
    ),
}
#: Variants of SwinUNETR alone.
SWIN = [name for name, variant in VARIANTS.items() if variant.kept_masks or variant.one_call_attention]
#: Variants that need a clone of the released code.
RELEASED_CODE = [name for name, variant in VARIANTS.items() if variant.released_code]
#: The ratios of step times to state.
PAIRS = {
    "window / full": ("window", "full"),
    "window / full, as released": ("released", "released-full"),
    "window / full as released": ("window", "released-full"),
    "window / released": ("window", "released"),
    "window / released code": ("window", "released-code"),
    "window-nograd / released code": ("window-nograd", "released-code"),
    "full / released code, everything decoded": ("full", "released-code-full"),
    "released / released code": ("released", "released-code"),
    "bfloat16 window / released code": ("window-bf16", "released-code"),
    "bfloat16 full / released code, everything decoded": ("full-bf16", "released-code-full"),
    "bfloat16 / fp32": ("window-bf16", "window"),
    "bfloat16 window / full as released": ("window-bf16", "released-full"),
    "full, padded by nothing / full as released": ("full-padded", "released-full"),
    "full / full as released": ("full", "released-full"),
    "bfloat16 full / full as released": ("full-bf16", "released-full"),
    "full, without padding by nothing": ("full", "full-padded"),
    "bfloat16 full, without padding by nothing": ("full-bf16", "full-bf16-padded"),
    "window, with kept shift masks": ("window-kept-masks", "window"),
    "window, with kept shift masks and attention in one call": ("window-one-call", "window"),
    "window-nograd, with kept shift masks and attention in one call": ("nograd-one-call", "window-nograd"),
}
DEFAULTS = {"cpu": list(VARIANTS)[:10], "cuda": [name for name in VARIANTS if name not in [*SWIN, *RELEASED_CODE]]}


def make_network(args: argparse.Namespace) -> nn.Module:
    """Build the MONAI network with one channel in and out."""
    features = tuple(args.features or FEATURES[args.network])
    if args.network == "basic_unet":
        return BasicUNet(3, 1, 1, features=features)
    return SwinUNETR(1, 1, feature_size=features[0], use_checkpoint=args.checkpoint)


def padded_upcat(network: nn.Module, level: int, x: Tensor, skip: Tensor) -> Tensor:
    """Replace `BasicUNetBackbone.run_upcat` by MONAI's own forward, which pads even by nothing."""
    return network.get_submodule(f"upcat_{level}")(x, skip)


def whole_second_pass(backbone: Backbone, encoded: Encoded, drop: StageHook, first: str) -> Tensor:
    """Replace `Backbone.encode_second_view` by a second pass through the whole encoder, nothing shared."""
    return type(backbone).encode(backbone, encoded.image, drop).bottleneck
