"""State dicts in the layouts of other projects, made from MONAI networks with renamed keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.networks.nets import MaskedAutoEncoderViT, SwinUNETR, ViTAutoEnc
from torch import Tensor, nn

from mim3d.catalog import NETWORKS

State = dict[str, Tensor]
VIT = {"hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
CROP = (64, 32, 32)
IMAGE = torch.randn(1, 1, *CROP, generator=torch.Generator().manual_seed(5))


def swin(out_channels: int = 5, seed: int = 0, **arguments: Any) -> nn.Module:
    """A tiny SwinUNETR with random weights everywhere, norms included."""
    torch.manual_seed(seed)
    network = SwinUNETR(1, out_channels, **{**NETWORKS["swin_unetr"].tiny, **arguments})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def renamed(state: Mapping[str, Tensor], rename: Callable[[str], str]) -> State:
    return {rename(key): value for key, value in state.items()}


def encoder_of(network: nn.Module) -> State:
    """The entries of ``swinViT``."""
    return {key: value for key, value in network.state_dict().items() if key.startswith("swinViT.")}


def swinvit_2022(network: nn.Module) -> dict[str, State]:
    """model_swinvit.pt: DDP's prefix, no ``swinViT``, ``fc1`` and ``fc2``, a last norm and heads."""
    state = renamed(encoder_of(network), lambda key: re.sub("linear([12])", r"fc\1", key[len("swinViT.") :]))
    heads = {
        f"{head}.{part}": torch.ones(4)
        for head in ("norm", "rotation_head", "contrastive_head", "convTrans3d")
        for part in ("weight", "bias")
    }
    return {"state_dict": {f"module.{key}": value for key, value in {**state, **heads}.items()}}


def ssl_head(network: nn.Module) -> dict[str, State]:
    """A checkpoint of SwinUNETR/Pretrain in research-contributions: ``swin_vit`` and three heads."""
    state = renamed(encoder_of(network), lambda key: key.replace("swinViT.", "swin_vit."))
    return {
        "state_dict": {**state, "rotation_head.weight": torch.ones(4, 1), "contrastive_head.bias": torch.ones(1)}
    }


def simmim(network: nn.Module) -> dict[str, State]:
    """ssl_pretrained_weights.pth: ``encoder``, stages nested once more, and SwinUNETR's decoder."""

    def rename(key: str) -> str:
        return re.sub(r"^swinViT\.(layers\d)\.0\.", r"encoder.\1.0.0.", key).replace("swinViT.", "encoder.")

    return {"model": {**renamed(network.state_dict(), rename), "encoder.mask_token": torch.zeros(1, 1, 12)}}


def suprem(network: nn.Module) -> dict[str, State]:
    """SuPreM's Universal_model under DDP: ``backbone`` and what makes its dynamic heads."""
    state = {f"module.backbone.{key}": value for key, value in network.state_dict().items()}
    heads = {"module.organ_embedding": torch.zeros(25, 4), "module.controller.weight": torch.zeros(3)}
    return {"net": {**state, **heads}}


def voco(network: nn.Module) -> State:
    """Large-Scale-Medical: a backbone without a decoder, and the heads of student and teacher."""
    state = {f"backbone.{key}": value for key, value in network.state_dict().items() if "decoder" not in key}
    return {**state, "student.layer1.0.weight": torch.zeros(3, 3), "teacher.layer1.0.weight": torch.zeros(3, 3)}


def voco_pair(student: nn.Module, teacher: nn.Module) -> dict[str, State]:
    """VoCo of 2024: a student and its moving average, each with a projection head."""
    pair = {"student": student, "teacher": teacher}
    state = {f"module.{part}.{key}": v for part, net in pair.items() for key, v in net.state_dict().items()}
    return {"state_dict": {**state, "module.student.proj_head.layer1.0.weight": torch.zeros(2, 2)}}


def mae(positions: str = "sincos", crop: tuple[int, int, int] = CROP, **arguments: Any) -> nn.Module:
    """MONAI's MaskedAutoEncoderViT of the size of the tiny UNETR."""
    torch.manual_seed(3)
    sizes = {**VIT, "decoder_hidden_size": 24, "decoder_num_heads": 2, "decoder_num_layers": 1}
    given = {"in_channels": 1, "patch_size": 16, "pos_embed_type": positions, **sizes, **arguments}
    return MaskedAutoEncoderViT(img_size=crop, **given)


def vit_autoencoder() -> nn.Module:
    torch.manual_seed(3)
    return ViTAutoEnc(1, CROP, 16, **VIT)
