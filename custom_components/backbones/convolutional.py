"""Convolutional backbones: MONAI's BasicUNet and SegResNet."""

from __future__ import annotations

import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.segresnet import SegResNet
from torch import Tensor

from .base import Backbone, Encoded, Window, crop


class BasicUNetBackbone(Backbone):
    """`monai.networks.nets.BasicUNet`: five levels, stride 16.

    With ``upsample="nontrainable"`` MONAI interpolates with aligned corners, so a decoded window differs
    everywhere from the same window of a full decoding. With the other modes it differs only near its border.
    """

    stages = ("conv_0", "down_1", "down_2", "down_3", "down_4")
    strides = (1, 2, 4, 8, 16)
    encoder_prefixes = ("conv_0.", "down_")
    output_layer = "final_conv"
    input_convs = ("conv_0.conv_0.conv.weight",)

    def __init__(self, net: BasicUNet) -> None:
        self.net: BasicUNet = net

    @property
    def bottleneck_channels(self) -> int:  # noqa: D102
        return int(self.net.get_parameter("down_4.convs.conv_1.conv.weight").shape[0])

    def run_stage(self, name: str, x: Tensor) -> Tensor:  # noqa: D102
        return self.net.get_submodule(name)(x)

    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:  # noqa: D102
        skips = self.crop_stages(encoded, window)
        x = crop(encoded.bottleneck, window, self.stride)
        for level, skip in zip((4, 3, 2, 1), reversed(skips), strict=True):
            x = self.run_upcat(level, x, skip)
        return self.net.final_conv(x)

    def run_upcat(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        """Run one level of the decoder, as `UpCat.forward` does, but pad only where sides are odd.

        MONAI also pads by nothing, which copies the largest tensors, forward and backward.
        """
        upcat = self.net.get_submodule(f"upcat_{level}")
        if any(side != 2 * half for side, half in zip(skip.shape[2:], x.shape[2:], strict=True)):
            return upcat(x, skip)
        return upcat.get_submodule("convs")(torch.cat([skip, upcat.get_submodule("upsample")(x)], dim=1))


class SegResNetBackbone(Backbone):
    """`monai.networks.nets.SegResNet`: one stage per entry of ``blocks_down``, stride 8 with its defaults."""

    encoder_prefixes = ("convInit.", "down_layers.")
    output_layer = "conv_final.2"
    input_convs = ("convInit.conv.weight",)

    def __init__(self, net: SegResNet) -> None:
        if not net.use_conv_final:
            raise ValueError("SegResNet needs use_conv_final=True: its last layer is the reconstruction head")
        if len(net.blocks_up) != len(net.blocks_down) - 1:
            raise ValueError(
                f"SegResNet has {len(net.blocks_down)} blocks_down and {len(net.blocks_up)} blocks_up; full "
                "resolution needs one blocks_up less than blocks_down"
            )
        self.net: SegResNet = net
        self.stages = tuple(f"down_layers.{i}" for i in range(len(net.blocks_down)))
        self.strides = tuple(2**i for i in range(len(net.blocks_down)))

    @property
    def bottleneck_channels(self) -> int:  # noqa: D102
        return int(self.net.init_filters * 2 ** (len(self.stages) - 1))

    def run_stage(self, name: str, x: Tensor) -> Tensor:  # noqa: D102
        if name == self.stages[0]:
            x = self.net.convInit(x)
            if self.net.dropout_prob is not None:
                x = self.net.dropout(x)
        return self.net.get_submodule(name)(x)

    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:  # noqa: D102
        skips = self.crop_stages(encoded, window)
        bottleneck = crop(encoded.bottleneck, window, self.stride)
        return self.net.decode(bottleneck, [bottleneck, *reversed(skips)])
