"""A pretext network as an ordinary one, image in and image out, so that a sliding-window inferer can run it."""

from __future__ import annotations

from torch import Tensor, nn

from custom_components.masking import valid_patches

from .dense_mae import DenseMAE
from .mae import MAE
from .simmim import SimMIM


class ReconstructionWrapper(nn.Module):
    """Paints what a map says is hidden, for inference on whole volumes.

    Args:
        pretext: a masked method. Where its targets are normalised, each hidden unit is painted with its own mean
            and deviation, which only the image itself can give.
    """

    def __init__(self, pretext: MAE | SimMIM | DenseMAE) -> None:
        super().__init__()
        self.pretext = pretext

    def forward(self, stacked: Tensor) -> Tensor:
        """Map ``(B, C + 2, D, H, W)`` to ``(B, C, D, H, W)``.

        Args:
            stacked: the image's C channels; a map of hidden voxels, over 0.5 = hidden, the same within each masked
                unit where it is valid; a map of valid voxels. The network hides what the map says.
        """
        image, hidden, valid = stacked[:, :-2], stacked[:, -2:-1] > 0.5, stacked[:, -1:] > 0.5
        outputs = self.pretext(image, valid_patches(hidden, self.pretext.patch_size), valid)
        return outputs.get("painting", outputs["reconstruction"])
