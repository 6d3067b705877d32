"""How the keys of other projects' networks become MONAI's; tensors that no network here has keep their keys."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor

from custom_components.backbones import Backbone

State = dict[str, Tensor]


def without_prefix(prefix: str) -> Callable[[State, Backbone], State]:
    """Return a conversion that takes off a prefix; a key that has none keeps its name, unless another gets it."""

    def convert(state: State, backbone: Backbone) -> State:
        inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        return {**{key: value for key, value in state.items() if not key.startswith(prefix)}, **inner}

    return convert


def from_swinvit(state: State, backbone: Backbone) -> State:
    """Rename MONAI's SwinTransformer, alone or beside its self-supervised heads, to ``swinViT`` of SwinUNETR.

    Files that are older than MONAI 0.9 call the layers of the MLP ``fc1`` and ``fc2``.
    """

    def rename(key: str) -> str:
        bare = key.removeprefix("swin_vit.").removeprefix("swinViT.")
        return f"swinViT.{_mlp(bare)}" if re.match(r"patch_embed\.|layers\dc?\.", bare) else key

    return {rename(key): value for key, value in state.items()}


def from_simmim(state: State, backbone: Backbone) -> State:
    """Rename the encoder of the tutorials' SimMIM, whose stages are nested once more, to ``swinViT``."""

    def rename(key: str) -> str:
        if key.startswith("encoder.patch_embed."):
            return key.replace("encoder.", "swinViT.", 1)
        return _mlp(re.sub(r"^encoder\.(layers\d)\.0\.0\.", r"swinViT.\1.0.", key))

    return {rename(key): value for key, value in state.items()}


def from_vit(state: State, backbone: Backbone) -> State:
    """Rename MONAI's ViT, or the encoder of its ViTAutoEnc, to ``vit`` of UNETR."""
    return {
        f"vit.{key}" if re.match(r"patch_embedding\.|blocks\.|norm\.", key) else key: value
        for key, value in _as_convolution(state, backbone).items()
    }


def from_mae(state: State, backbone: Backbone) -> State:
    """Rename the encoder of MONAI's MaskedAutoEncoderViT to ``vit`` of UNETR.

    Its last norm is the entry of ``blocks`` behind the transformer blocks. The class token is left out, because
    UNETR has none. Position embeddings have the same shape whether they were learned or are sines and cosines.
    """
    norm = next((key.removesuffix("weight") for key in state if re.fullmatch(r"blocks\.\d+\.weight", key)), None)
    named = {key.replace(norm, "norm.", 1) if norm and key.startswith(norm) else key: state[key] for key in state}
    return from_vit(named, backbone)


def _mlp(key: str) -> str:
    return key.replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")


def _as_convolution(state: State, backbone: Backbone) -> State:
    """Turn a linear projection of patches (``proj_type="perceptron"``) into the equal convolution.

    Its inputs are the voxels of a patch in C order, the channel last. The file does not show the size of a patch;
    it is the network's if the number of inputs and of channels agree with it.
    """
    linear, side, channels = "patch_embedding.patch_embeddings.1.", backbone.strides[0], backbone.in_channels
    weight = state.get(linear + "weight")
    if weight is None or weight.ndim != 2 or weight.shape[1] != side**3 * channels:
        return state
    kernel = weight.unflatten(1, (side, side, side, channels)).permute(0, 4, 1, 2, 3).contiguous()
    state = {key.replace(".patch_embeddings.1.", ".patch_embeddings."): value for key, value in state.items()}
    return {**state, "patch_embedding.patch_embeddings.weight": kernel}
