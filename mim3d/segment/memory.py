"""How much memory a case needs, from the headers of its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from custom_components.checks.memory import free_memory
from custom_components.data.nifti import read_header
from custom_components.machine import readable

_FLOAT = 4  # bytes
#: Bytes per voxel of the file while the mask is resampled to it: MONAI's grid has four float32 coordinates, held
#: about twice. Measured: 39 with a volume of 512 x 512 x 200 voxels, the program itself included.
_INVERSION = 42


def needed_bytes(
    files: Sequence[Path],
    spacing: Sequence[float],
    roi_size: Sequence[int],
    outputs: int,
    probabilities: bool = False,
) -> tuple[int, int]:
    """Estimate the bytes that a case needs at most, without the network and its windows.

    Args:
        files: one file, or one per channel.
        spacing: mm that the case is resampled to.
        roi_size: voxels of a window, to which smaller volumes are padded.
        outputs: channels that the network puts out.
        probabilities: whether the channels are resampled to the file's voxels, too.

    Returns:
        Bytes at the peak, and of those the ones of the stitched prediction, which may lie on a GPU.

    Raises:
        ValueError: for a file whose header cannot be read; names the file.
    """
    headers = [read_header(str(file)) for file in files]
    first, channels = headers[0], sum(header.channels for header in headers)
    stored = math.prod(first.spatial_shape)
    resampled = stored * math.prod(first.spacing) / math.prod(spacing)
    resampled = max(resampled, math.prod(roi_size))
    stitched = (outputs + 1) * _FLOAT * resampled  # and the map of weights
    reading = 2 * channels * _FLOAT * stored + channels * _FLOAT * resampled
    network = channels * _FLOAT * (stored + resampled) + 2 * stitched
    inversion = channels * _FLOAT * resampled + _INVERSION * stored
    if probabilities:  # logits and probabilities, then the resampled ones, which are copied to be written
        network = max(network, (channels + 3 * outputs) * _FLOAT * resampled)
        inversion += 2 * outputs * _FLOAT * (resampled + stored)
    return round(max(reading, network, inversion)), round(2 * stitched)


def check_memory(
    files: Sequence[Path],
    spacing: Sequence[float],
    roi_size: Sequence[int],
    outputs: int,
    stitch_device: torch.device,
    probabilities: bool = False,
) -> None:
    """Check that a case fits into the free memory before it is read.

    Raises:
        ValueError: with both sizes and what to do.
    """
    needed, stitched = needed_bytes(files, spacing, roi_size, outputs, probabilities)
    free = free_memory()
    if needed > free:
        raise ValueError(
            f"needs about {readable(needed)} of memory, {readable(free)} are free; use a machine with more memory"
        )
    if stitch_device.type == "cuda":
        free = torch.cuda.mem_get_info(stitch_device)[0]
        if stitched > free:
            sizes = f"needs about {readable(stitched)} on the GPU, {readable(free)} are free"
            raise ValueError(f"{sizes}; give --sw_output_device cpu")
