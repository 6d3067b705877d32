"""Check: does the network take these crops, and write these channels?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from custom_components.backbones import adapt
from custom_components.masking.grid import Size, to_3tuple


class NetworkShape:
    """Crop size and channels must be those of the network.

    Args:
        network: the MONAI network.
        roi_size: voxels along each axis of a crop or sliding window.
        channels: names of the image's channels.
        output_names: names of the output channels of a segmentation network; None: not checked.
    """

    def __init__(
        self,
        network: nn.Module,
        roi_size: Size,
        channels: Sequence[str],
        output_names: Sequence[str] | None = None,
    ) -> None:
        self.network, self.roi_size, self.channels, self.output_names = network, roi_size, channels, output_names

    def __call__(self) -> None:
        """Raise ValueError naming both sizes or both numbers, and for a network that backbones does not know."""
        backbone = adapt(self.network)
        backbone.check_crop("roi_size", to_3tuple(self.roi_size, "roi_size"))
        if backbone.in_channels != len(self.channels):
            raise ValueError(
                f"the network takes {backbone.in_channels} channels; channels names {len(self.channels)}:"
                f" {', '.join(self.channels)}"
            )
        if self.output_names is not None and backbone.out_channels != len(self.output_names):
            raise ValueError(
                f"the network has {backbone.out_channels} output channels; output_names has"
                f" {len(self.output_names)}: {', '.join(self.output_names)}"
            )
