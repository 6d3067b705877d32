"""``network_data_format`` of ``metadata.json``. Imports nothing heavy, because `mim3d render` uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

#: Keys of an inference config that `network_data_format` takes.
VIEW_KEYS = ("channels", "roi_size", "label_names", "output_names")


def as_json(content: Any) -> bytes:
    """Indented JSON, keys in the order given."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def network_data_format(
    channels: Sequence[str],
    roi_size: Sequence[int],
    label_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Describe the network's input and output.

    Args:
        channels: names of the image's channels.
        roi_size: voxels along each axis of a window.
        label_names: of the values of the label map; None, as in pretraining: the network outputs an image.
        output_names: of the network's output channels; None: ``label_names``. For overlapping regions they differ
            from the values of the label map; then ``channel_def`` names the values.
    """
    ct = "CT" in channels[0].upper()
    shared = {"spatial_shape": list(roi_size), "dtype": "float32", "is_patch_data": True}
    image = {
        "type": "image",
        "format": "hounsfield" if ct else "magnitude",
        "modality": "CT" if ct else "MR",
        "num_channels": len(channels),
        "value_range": [0, 1] if ct else [-5, 20],  # HU mapped to [0, 1]; z-score
        "channel_def": _numbered(channels),
        **shared,
    }
    if label_names is None:
        pred = {**image, "format": "image", "value_range": []}
    else:
        pred = {
            "type": "image",
            "format": "segmentation",
            "num_channels": len(output_names or label_names),
            "value_range": [0, len(label_names) - 1],
            "channel_def": _numbered(label_names),
            **shared,
        }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def with_network_format(metadata: Mapping[str, Any], view: Mapping[str, Any]) -> bytes:
    """Content of ``metadata.json``.

    Args:
        metadata: every other key.
        view: values of `VIEW_KEYS`, as far as the inference config has them.
    """
    return as_json({**metadata, "network_data_format": network_data_format(**view)})


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}
