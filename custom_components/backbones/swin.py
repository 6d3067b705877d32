"""The transformer backbone: MONAI's SwinUNETR."""

from __future__ import annotations

import re

from monai.networks.nets.swin_unetr import SwinUNETR
from torch import Tensor

from .base import Encoded, Window, crop
from .tokens import TokenBackbone


class SwinUNETRBackbone(TokenBackbone):
    """`monai.networks.nets.SwinUNETR`: patch embedding and four Swin stages, stride 32.

    The convolution blocks on the skips (``encoder1`` … ``encoder10``) belong to ``decode``: they run only on the
    cropped features, and a second dropout view skips them. A token covers 2 voxels per side; tokens are normalised
    if the network is built with ``patch_norm``. Positions are relative and part of the attention.
    """

    stages = ("patch_embed", "layers1", "layers2", "layers3", "layers4")
    strides = (2, 4, 8, 16, 32)
    encoder_prefixes = ("swinViT.",)
    output_layer = "out"
    min_cells = 2  # encoder10 normalises over the bottleneck cells of the window
    input_convs = (
        "swinViT.patch_embed.proj.weight",
        "encoder1.layer.conv1.conv.weight",
        "encoder1.layer.conv3.conv.weight",
    )

    def __init__(self, net: SwinUNETR) -> None:
        if net.patch_size != 2:
            raise ValueError(f"SwinUNETR has patch_size {net.patch_size}; its decoder needs patch_size 2")
        self.net: SwinUNETR = net

    @property
    def bottleneck_channels(self) -> int:  # noqa: D102
        return int(self.net.swinViT.embed_dim * 16)

    def project(self, image: Tensor) -> Tensor:  # noqa: D102
        return self.net.swinViT.patch_embed(image)

    def add_positions(self, cells: Tensor) -> Tensor:  # noqa: D102
        return self.net.swinViT.pos_drop(cells)

    def run_stage(self, name: str, x: Tensor) -> Tensor:  # noqa: D102
        vit = self.net.swinViT
        if name == "patch_embed":
            return self.add_positions(self.project(x))
        if vit.use_v2:
            x = vit.get_submodule(f"{name}c.0")(x.contiguous())
        return vit.get_submodule(f"{name}.0")(x.contiguous())

    def depth_of(self, name: str) -> int:  # noqa: D102
        # v2 puts a convolution, layers1c, in front of each stage.
        stage = re.match(r"swinViT\.layers(\d)c?\.", name)
        return int(stage[1]) if stage else 0

    def bottleneck(self, last: Tensor) -> Tensor:  # noqa: D102
        return self.net.swinViT.proj_out(last, self.net.normalize)

    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:  # noqa: D102
        net = self.net
        image = crop(encoded.image, window, 1)
        skips = [net.swinViT.proj_out(skip, net.normalize) for skip in self.crop_stages(encoded, window)]
        x = net.encoder10(crop(encoded.bottleneck, window, self.stride))
        x = net.decoder5(x, skips[3])
        x = net.decoder4(x, net.encoder4(skips[2]))
        x = net.decoder3(x, net.encoder3(skips[1]))
        x = net.decoder2(x, net.encoder2(skips[0]))
        x = net.decoder1(x, net.encoder1(image))
        return net.out(x)
