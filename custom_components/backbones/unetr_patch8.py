"""UNETR with tokens of 8 voxels; MONAI's class is fixed to 16."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from custom_components.masking import to_3tuple

TOKEN = 8


class UNETRPatch8(nn.Module):
    """UNETR (arXiv 2103.10504) with tokens of 8 voxels, made of MONAI's blocks and named like MONAI's class.

    With tokens half as wide, the decoder needs one step less: it reads transformer blocks 3 and 6 for the strides
    2 and 4, and the normalised last block at stride 8. So there is no ``encoder4`` and no ``decoder5``, and
    ``decoder4`` starts from the tokens. All other modules have the strides and widths that they have in UNETR.

    A crop has 8 times as many tokens as in UNETR, and attention compares 64 times as many pairs.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the output.
        img_size: voxels of the crop along each axis, multiples of 8.
        feature_size: features at full resolution.
        hidden_size: features of a token, a multiple of ``num_heads``.
        mlp_dim: features within the transformer's feed-forward layers.
        num_heads: attention heads.
        norm_name: norm of the convolution blocks.
        conv_block: whether a convolution block follows each upsampling of a skip.
        res_block: whether convolution blocks are residual.
        dropout_rate: dropout within the transformer, in [0, 1].
        qkv_bias: whether queries, keys and values have biases.

    Raises:
        ValueError: if the numbers do not fit together.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int] | int,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        norm_name: tuple | str = "instance",
        conv_block: bool = True,
        res_block: bool = True,
        dropout_rate: float = 0.0,
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        size = to_3tuple(img_size, "img_size")
        if any(side < TOKEN or side % TOKEN for side in size):
            raise ValueError(f"img_size is {size}; each side must be a positive multiple of {TOKEN}")
        self.hidden_size = hidden_size
        self.feat_size = tuple(side // TOKEN for side in size)
        self.vit = ViT(
            in_channels,
            size,
            TOKEN,
            hidden_size,
            mlp_dim,
            num_layers=12,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
            qkv_bias=qkv_bias,
        )

        def lift(channels: int, steps: int) -> UnetrPrUpBlock:
            """Upsample tokens by 2 ** (steps + 1)."""
            return UnetrPrUpBlock(3, hidden_size, channels, steps, 3, 1, 2, norm_name, conv_block, res_block)

        def join(below: int, channels: int) -> UnetrUpBlock:
            """Upsample the features below by 2 and join the skip."""
            return UnetrUpBlock(3, below, channels, 3, 2, norm_name, res_block)

        full, half, quarter = feature_size, feature_size * 2, feature_size * 4
        self.encoder1 = UnetrBasicBlock(3, in_channels, full, 3, 1, norm_name, res_block)
        self.encoder2 = lift(half, 1)
        self.encoder3 = lift(quarter, 0)
        self.decoder4 = join(hidden_size, quarter)
        self.decoder3 = join(quarter, half)
        self.decoder2 = join(half, full)
        self.out = UnetOutBlock(3, full, out_channels)

    def cells(self, tokens: Tensor) -> Tensor:
        """Lay out tokens ``(B, N, F)`` as ``(B, F, D / 8, H / 8, W / 8)``."""
        depth, height, width = self.feat_size
        cells = tokens.transpose(1, 2).reshape(tokens.shape[0], self.hidden_size, depth, height, width)
        return cells.contiguous()  # convolutions on a view are slower

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, *img_size)`` to ``(B, out_channels, *img_size)``."""
        last, blocks = self.vit(x)
        up = self.decoder4(self.cells(last), self.encoder3(self.cells(blocks[6])))
        up = self.decoder3(up, self.encoder2(self.cells(blocks[3])))
        return self.out(self.decoder2(up, self.encoder1(x)))
