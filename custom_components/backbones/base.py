"""The interface between a segmentation network and code that needs its features or a window of its output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

#: Called with a stage's name and its output; returns the input of the next stage.
StageHook = Callable[[str, Tensor], Tensor]
#: Called with projected tokens ``(B, F, d, h, w)``; returns tokens of the same shape to use instead.
TokenHook = Callable[[Tensor], Tensor]
#: One slice of voxels per axis, relative to the encoded crop; starts and stops are multiples of the stride.
Window = tuple[slice, slice, slice]


class Encoded(NamedTuple):
    """The result of one pass through the encoder.

    Attributes:
        image: the encoder's input ``(B, C, D, H, W)``.
        stages: the output of each stage by name, before any dropout; stage ``i`` has stride ``strides[i]``.
        bottleneck: ``(B, F, D / stride, H / stride, W / stride)``, after dropout if the last stage is dropped.
    """

    image: Tensor
    stages: dict[str, Tensor]
    bottleneck: Tensor


class Backbone(ABC):
    """Runs a network's own modules in its own order; has no parameters and changes none.

    With ``drop=None`` and ``window=None``, ``decode(encode(x))`` equals the network's ``forward`` bit for bit.

    Attributes:
        net: the network, the very object that segmentation uses.
        stages: names of the encoder's stages, first to last.
        strides: voxels per cell of each stage's output, along every axis.
        encoder_prefixes: state-dict prefixes of everything that ``encode`` runs.
        output_layer: state-dict name of the last layer, which a change of task replaces.
        input_convs: state-dict names of the convolution weights whose second axis is the input channels.
        crop_size: the only crop that the network takes; None: any multiple of the stride.
        position_keys: state-dict names of position embeddings, which belong to one crop size.
        unused_parameters: names of parameters that the network holds but never uses.
        takes_tokens: whether the first stage projects tokens, which ``encode`` can then replace.
        min_cells: smallest number of bottleneck cells in a window: a norm over a single cell has no spread.
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
    min_cells: int = 1

    @property
    def stride(self) -> int:
        """Voxels per bottleneck cell along each axis; crops and windows are multiples of it."""
        return self.strides[-1]

    @property
    def in_channels(self) -> int:
        """Image channels that the network takes."""
        return int(self.net.get_parameter(self.input_convs[0]).shape[1])

    @property
    def out_channels(self) -> int:
        """Channels of the network's output."""
        layer = self.net.get_submodule(self.output_layer)
        return int(next(p for p in layer.parameters() if p.ndim == 5).shape[0])

    @property
    def token_channels(self) -> int:
        """Features of a projected token, if the backbone `takes_tokens`."""
        return int(self.net.get_parameter(self.input_convs[0]).shape[0])

    @property
    @abstractmethod
    def bottleneck_channels(self) -> int:
        """Features of a bottleneck cell."""

    @abstractmethod
    def run_stage(self, name: str, x: Tensor) -> Tensor:
        """Run one named stage on the output of the stage before."""

    @abstractmethod
    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:
        """Decode the whole crop, or only a window of it.

        Everything that the decoder reads is cropped first, so its cost falls with the window. Near the window's
        border, up to the decoder's receptive field, the result differs from the same window of a full decoding.
        Norm layers with spatial statistics (instance, group) use the statistics of the window.

        Returns:
            The network's output ``(B, out_channels, *window)``.
        """

    def bottleneck(self, last: Tensor) -> Tensor:
        """Turn the (dropped) output of the last stage into bottleneck features."""
        return last

    def embed(self, image: Tensor, replace: TokenHook) -> Tensor:
        """Run the first stage, with ``replace`` applied to its projected tokens."""
        raise ValueError(
            f"{type(self.net).__name__} has no tokens to replace; "
            "allowed: a transformer (UNETR, UNETRPatch8, SwinUNETR), or no replace"
        )

    def encode(self, image: Tensor, drop: StageHook | None = None, replace: TokenHook | None = None) -> Encoded:
        """Run every stage on ``(B, C, D, H, W)``.

        Args:
            image: a crop of a size that the network takes.
            drop: applied between each stage and the next.
            replace: applied to the projected tokens, before positions and dropout; needs `takes_tokens`.

        Raises:
            ValueError: if ``replace`` is given to a network without tokens, or changes their shape.
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
        """Return the bottleneck of a second dropout view of the same image.

        Both views share the stages up to ``first``, the first one whose output is dropped; they are taken from
        ``encoded``. No skip or decoder block runs.
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
        """Return the state-dict keys of the encoder, without unused parameters."""
        keys = self.net.state_dict()
        return [key for key in keys if key.startswith(self.encoder_prefixes) and key not in self.unused_parameters]

    def encoder_depths(self) -> dict[str, int]:
        """Return each encoder parameter's depth: 0 for the first stage, one more for each stage that follows.

        What runs before the first stage has its depth, what runs after the last one has the last one's.
        """
        parameters = [name for name, _ in self.net.named_parameters() if name.startswith(self.encoder_prefixes)]
        return {name: self.depth_of(name) for name in parameters}

    def depth_of(self, name: str) -> int:
        """Return the depth of one encoder parameter, see `encoder_depths`."""
        found = [depth for depth, stage in enumerate(self.stages) if name.startswith(stage + ".")]
        return found[0] if found else 0

    def crop_stages(self, encoded: Encoded, window: Window | None) -> list[Tensor]:
        """Cut a window out of the output of every stage but the last."""
        pairs = zip(self.stages[:-1], self.strides, strict=False)
        return [crop(encoded.stages[name], window, stride) for name, stride in pairs]


def crop(features: Tensor, window: Window | None, stride: int) -> Tensor:
    """Cut a window, in voxels, out of features with ``stride`` voxels per cell."""
    if window is None:
        return features
    cells = tuple(slice(side.start // stride, side.stop // stride) for side in window)
    return features[(slice(None), slice(None), *cells)]
