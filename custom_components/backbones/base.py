"""The contract between a MONAI segmentation network and whatever wants its features or a part of its output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

#: Called with a stage's name and its output; returns what the next stage shall see.
StageHook = Callable[[str, Tensor], Tensor]
#: Called with projected patches as cells ``(B, F, d, h, w)``; returns what takes their place, in the same shape.
TokenHook = Callable[[Tensor], Tensor]
#: One slice of voxels per axis, relative to the encoded crop; starts and stops are multiples of the stride.
Window = tuple[slice, slice, slice]


class Encoded(NamedTuple):
    """What one pass through the encoder leaves behind.

    Attributes:
        image: the encoder's input ``(B, C, D, H, W)``.
        stages: each stage's output by name, before any dropout; stage ``i`` has stride ``strides[i]``.
        bottleneck: ``(B, F, D / stride, H / stride, W / stride)``, after dropout where the last stage is dropped.
    """

    image: Tensor
    stages: dict[str, Tensor]
    bottleneck: Tensor


class Backbone(ABC):
    """Reads a MONAI network's own modules in its own order; owns no parameter and changes none.

    With ``drop=None`` and ``window=None``, ``decode(encode(x))`` is the network's ``forward`` bit for bit.

    Attributes:
        net: the network, the very object that segmentation uses.
        stages: names of the encoder's stages, first to last.
        strides: voxels per cell of each stage's output, along every axis.
        encoder_prefixes: state-dict prefixes of everything that ``encode`` runs.
        output_layer: state-dict name of the last layer, which a change of task replaces.
        input_convs: state-dict names of the convolution weights whose second axis is the input channels.
        crop_size: the only crop the network takes; ``None``: any multiple of the stride.
        position_keys: state-dict names of what the network learns about each cell of such a crop.
        idle: names of parameters that the network holds and never reads.
        takes_tokens: whether the first stage projects patches, which ``encode`` can then replace.
    """

    net: nn.Module
    stages: tuple[str, ...]
    strides: tuple[int, ...]
    encoder_prefixes: tuple[str, ...]
    output_layer: str
    input_convs: tuple[str, ...]
    crop_size: tuple[int, int, int] | None = None
    position_keys: tuple[str, ...] = ()
    unused_parameters: tuple[str, ...] = ()
    takes_tokens: bool = False
    #: Bottleneck cells a window must hold at least: a norm over a single cell has no spread.
    min_cells: int = 1

    @property
    def stride(self) -> int:
        """Voxels per bottleneck cell along each axis; crops and windows are multiples of it."""
        return self.strides[-1]

    @property
    def in_channels(self) -> int:
        """Image channels the network takes."""
        return int(self.net.get_parameter(self.input_convs[0]).shape[1])

    @property
    def out_channels(self) -> int:
        """Channels the network's last layer writes."""
        layer = self.net.get_submodule(self.output_layer)
        return int(next(p for p in layer.parameters() if p.ndim == 5).shape[0])

    @property
    def token_channels(self) -> int:
        """Features of a projected patch, where the backbone `takes_tokens`."""
        return int(self.net.get_parameter(self.input_convs[0]).shape[0])

    @property
    @abstractmethod
    def bottleneck_channels(self) -> int:
        """Features of a bottleneck cell."""

    @abstractmethod
    def run_stage(self, name: str, x: Tensor) -> Tensor:
        """Run one named stage on its predecessor's output."""

    @abstractmethod
    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:
        """Decode the whole crop, or only a window of it.

        Everything the decoder reads is cropped first, so that its cost falls with the window. Near the window's
        border the result differs from a full decoding by the decoder's receptive field, and norm layers with
        spatial statistics (instance, group) see the window's statistics instead of the crop's.

        Returns:
            The network's output ``(B, out_channels, *window)``.
        """

    def bottleneck(self, last: Tensor) -> Tensor:
        """Turn the last stage's (dropped) output into bottleneck features."""
        return last

    def embed(self, image: Tensor, replace: TokenHook) -> Tensor:
        """Run the first stage with ``replace`` acting on its projected patches."""
        raise ValueError(
            f"{type(self.net).__name__} has no tokens that replace could act on; "
            "allowed: a transformer (UNETR, UNETRPatch8, SwinUNETR), or no replace"
        )

    def encode(self, image: Tensor, drop: StageHook | None = None, replace: TokenHook | None = None) -> Encoded:
        """Run every stage on ``(B, C, D, H, W)``.

        Args:
            image: a crop that the network takes.
            drop: acts on the way from each stage to the next.
            replace: acts on the projected patches, before positions are added and before any dropout, where the
                backbone `takes_tokens`.

        Raises:
            ValueError: for ``replace`` without tokens, or where it changes their shape.
        """
        outputs: dict[str, Tensor] = {}
        x = image
        for name in self.stages:
            first = not outputs
            x = self.embed(x, replace) if first and replace is not None else self.run_stage(name, x)
            outputs[name] = x
            if drop is not None:
                x = drop(name, x)
        return Encoded(image, outputs, self.bottleneck(x))

    def encode_second_view(self, encoded: Encoded, drop: StageHook, first: str) -> Tensor:
        """Bottleneck of a second dropout view of the same image.

        Stages up to and including ``first``, the first one whose output is dropped, are the same in both views
        and are taken from ``encoded``; no skip or decoder block runs.
        """
        start = self.stages.index(first)
        x = drop(first, encoded.stages[first])
        for name in self.stages[start + 1 :]:
            x = drop(name, self.run_stage(name, x))
        return self.bottleneck(x)

    def check_size(self, name: str, size: Sequence[int]) -> None:
        """Raise ``ValueError`` unless every side of ``size`` is a positive multiple of the stride."""
        if any(side <= 0 or side % self.stride for side in size):
            raise ValueError(
                f"{name} {tuple(size)} does not fit {type(self.net).__name__}: "
                f"each side must be a positive multiple of {self.stride}"
            )

    def check_crop(self, name: str, size: Sequence[int]) -> None:
        """Raise ``ValueError`` unless the network takes crops of ``size``; regions and windows may be smaller."""
        if self.crop_size is None:
            self.check_size(name, size)
        elif tuple(size) != self.crop_size:
            raise ValueError(
                f"{name} {tuple(size)} does not fit {type(self.net).__name__}: "
                f"its position embeddings take crops of {self.crop_size} only (img_size)"
            )

    def encoder_keys(self) -> list[str]:
        """State-dict keys of the encoder, less `idle` ones."""
        keys = self.net.state_dict()
        return [key for key in keys if key.startswith(self.encoder_prefixes) and key not in self.unused_parameters]


def crop(features: Tensor, window: Window | None, stride: int) -> Tensor:
    """Cut a voxel window out of features with ``stride`` voxels per cell."""
    if window is None:
        return features
    cells = tuple(slice(side.start // stride, side.stop // stride) for side in window)
    return features[(slice(None), slice(None), *cells)]
