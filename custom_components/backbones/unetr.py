"""The plain transformer backbone: MONAI's UNETR."""

from __future__ import annotations

from monai.networks.nets.unetr import UNETR
from torch import Tensor

from .base import Backbone, Encoded, Window, crop

PATCH = 16  # fixed in MONAI's class, as are twelve blocks and which of them the decoder reads
BLOCKS = {
    "vit.blocks.3": range(0, 4),
    "vit.blocks.6": range(4, 7),
    "vit.blocks.9": range(7, 10),
    "vit.blocks.11": range(10, 12),
}


class UNETRBackbone(Backbone):
    """`monai.networks.nets.UNETR` (arXiv 2103.10504): patches of 16 voxels, twelve transformer blocks, stride 16.

    A stage ends where the decoder reads, and bears the name of its last block: ``vit.blocks.6`` runs the blocks 4,
    5 and 6. Outputs are the blocks' tokens, laid out as cells ``(B, hidden_size, D / 16, H / 16, W / 16)``; the
    last ones become the bottleneck by the final layer norm.

    The convolution blocks on the skips (``encoder1`` … ``encoder4``) belong to ``decode``, as SwinUNETR's do. The
    decoder's first norm sees eight voxels of each cell, so a window of a single cell will do.

    Raises:
        ValueError: for ``proj_type="perceptron"``, whose input channels have no axis of their own in the first
            weight, and for a network of two dimensions.
    """

    stages = ("vit.patch_embedding", *BLOCKS)
    strides = (PATCH,) * 5
    encoder_prefixes = ("vit.",)
    output_layer = "out"
    position_keys = ("vit.patch_embedding.position_embeddings",)

    def __init__(self, net: UNETR) -> None:
        embedding = net.vit.patch_embedding
        if embedding.proj_type != "conv" or len(net.feat_size) != 3:
            raise ValueError(
                f"UNETR has proj_type {embedding.proj_type!r} and {len(net.feat_size)} spatial_dims; "
                "allowed: proj_type 'conv' with spatial_dims 3"
            )
        self.net: UNETR = net
        depth, height, width = (cells * PATCH for cells in net.feat_size)
        self.crop_size = depth, height, width
        names = [name for name, _ in net.named_parameters()]
        # encoder1 has no conv3 where feature_size is the number of input channels.
        stems = (
            "vit.patch_embedding.patch_embeddings.weight",
            "encoder1.layer.conv1.conv.weight",
            "encoder1.layer.conv3.conv.weight",
        )
        self.stems = tuple(name for name in stems if name in names)
        # MONAI builds a norm for cross-attention into every block, also where there is no cross-attention.
        self.idle = tuple(name for name in names if ".norm_cross_attn." in name)

    @property
    def bottleneck_channels(self) -> int:  # noqa: D102
        return int(self.net.hidden_size)

    def run_stage(self, name: str, x: Tensor) -> Tensor:  # noqa: D102
        vit = self.net.vit
        if name == "vit.patch_embedding":
            # Another crop with as many tokens would go through, and its voxels come out in the wrong places.
            self.check_crop("image", x.shape[2:])
            return self._cells(vit.patch_embedding(x))
        tokens = _tokens(x)
        for number in BLOCKS[name]:
            tokens = vit.blocks[number](tokens)
        return self._cells(tokens)

    def bottleneck(self, last: Tensor) -> Tensor:  # noqa: D102
        return self._cells(self.net.vit.norm(_tokens(last)))

    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:  # noqa: D102
        net = self.net
        hidden = [crop(encoded.stages[name], window, PATCH).contiguous() for name in self.stages[1:4]]
        x = crop(encoded.bottleneck, window, PATCH).contiguous()
        x = net.decoder5(x, net.encoder4(hidden[2]))
        x = net.decoder4(x, net.encoder3(hidden[1]))
        x = net.decoder3(x, net.encoder2(hidden[0]))
        x = net.decoder2(x, net.encoder1(crop(encoded.image, window, 1)))
        return net.out(x)

    def _cells(self, tokens: Tensor) -> Tensor:
        """See tokens ``(B, N, F)`` as cells ``(B, F, d, h, w)``; nothing is copied, here or on the way back."""
        return tokens.transpose(1, 2).unflatten(2, self.net.feat_size)


def _tokens(cells: Tensor) -> Tensor:
    return cells.flatten(2).transpose(1, 2)
