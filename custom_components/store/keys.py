"""Names of entries: which files, in which state, prepared how.

The name holds nothing that may differ between two runs on the same files: no ``volume_id``, no absolute path.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.transforms.croppad.dictionary import CropForegroundd
from monai.transforms.intensity.dictionary import ScaleIntensityRanged
from monai.transforms.spatial.dictionary import Spacingd
from monai.transforms.utility.dictionary import Identityd, MapLabelValued

from custom_components.data.names import Item, files_of
from custom_components.data.resampling import AxisSpacingd
from custom_components.store.chain import Chain
from custom_components.transfer.read import file_version

#: Raise it when the same files and the same view are prepared in another way than before.
VERSION = 1
#: Transforms whose result the view describes completely.
_DESCRIBED = (
    "LoadImaged",
    "AlignLabeld",
    "Identityd",
    "Orientationd",
    "AxisSpacingd",
    "Spacingd",
    "CropForegroundd",
    "MapLabelValued",
)


def sources_of(item: Item, key: str, dataset_dir: str) -> list[tuple[str, int, int]]:
    """Return path relative to the data folder, size and time of change (ns) of an item's files."""
    found = []
    for path in files_of(item, key):
        name, size, changed = file_version(path)
        relative = os.path.relpath(name, dataset_dir) if dataset_dir and os.path.isabs(name) else name
        found.append((relative.replace(os.sep, "/"), size, changed))
    return found


def entry_key(sources: Sequence[tuple[str, int, int]], view: Mapping[str, Any]) -> str:
    """Return the name of an entry, 32 hexadecimal digits.

    Args:
        sources: of the file or files.
        view: what is done with them.
    """
    content = json.dumps([VERSION, list(sources), view], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def steps_of(transforms: Sequence[Any], key: str) -> list[Any]:
    """Describe the transforms that prepare one key.

    Raises:
        ValueError: for a transform that is not described by its name and the view.
    """
    steps: list[Any] = []
    for transform in transforms:
        if key not in getattr(transform, "keys", (key,)) or isinstance(transform, Identityd):
            continue
        name = type(transform).__name__
        if name not in _DESCRIBED:
            raise ValueError(
                f"cache is store, which cannot tell two {name} apart; allowed before intensity:"
                f" {', '.join(_DESCRIBED)}; set cache to ram"
            )
        if isinstance(transform, MapLabelValued):
            pairs = zip(transform.mapper.orig_labels, transform.mapper.target_labels, strict=True)
            steps.append([name, [[float(old), float(new)] for old, new in pairs]])
        elif isinstance(transform, AxisSpacingd | Spacingd):
            steps.append([name, *_resampling(transform, key)])
        else:
            steps.append(name)
    return steps


def _resampling(transform: AxisSpacingd | Spacingd, key: str) -> list[Any]:
    """Describe the grid that a key is resampled to, how, and which part of it is left out."""
    place, foreground = transform.keys.index(key), []
    if isinstance(transform, AxisSpacingd):
        spacing, mode = transform.spacing[transform.modes[place]], transform.modes[place]
        if transform.is_foreground is not None:
            foreground = [f"where {transform.source_key} is {_criterion(transform.is_foreground)}"]
    else:
        spacing, mode = transform.spacing_transform, str(transform.mode[place])
    return [[float(length) for length in spacing.pixdim], mode, *foreground]


def _criterion(function: Any) -> str:
    """Describe a function that chooses voxels, by its name and the arguments that it already has.

    Raises:
        ValueError: for one that has no name.
    """
    given: list[str] = []
    if isinstance(function, functools.partial):
        given = [f"{value:g}" if isinstance(value, int | float) else repr(value) for value in function.args]
        given += [f"{name}={value!r}" for name, value in sorted(function.keywords.items())]
        function = function.func
    name = getattr(function, "__name__", "<unnamed>")
    if name.startswith("<"):
        raise ValueError(
            f"cache is store, which needs a criterion of foreground with a name, such as"
            f" $functools.partial(operator.lt, 0), found {name}; set cache to ram"
        )
    return f"{function.__module__}.{name}({', '.join(given)})"


def foreground_rule(chain: Chain) -> str:
    """Describe how volumes are cropped to their foreground.

    Raises:
        ValueError: for a transform that is not known, or one that pads or leaves a margin.
    """
    foreground, intensity = chain.foreground, chain.intensity
    if isinstance(foreground, Identityd):
        return "none"
    if not isinstance(foreground, CropForegroundd):
        raise ValueError(
            f"cache is store, which knows CropForegroundd and Identityd as foreground, found"
            f" {type(foreground).__name__}; set cache to ram"
        )
    cropper = foreground.cropper
    if cropper.select_fn is torch.isfinite:  # true of every voxel, because the reader lets no others pass
        return "none"
    if cropper.margin != 0 or cropper.k_divisible != 1:
        raise ValueError(
            f"cache is store, which needs a foreground without margin and k_divisible, found margin"
            f" {cropper.margin} and k_divisible {cropper.k_divisible}; set cache to ram"
        )
    rule = f"{_criterion(cropper.select_fn)} of channels {cropper.channel_indices or 'all'}"
    if not chain.foreground_is_scaled:
        return rule
    if isinstance(intensity, ScaleIntensityRanged):
        scaler = intensity.scaler  # only what becomes 0 decides, so windows with one lower end share a store
        rule += f" of values scaled from {scaler.a_min:g}"
        return rule if scaler.b_min == 0 else f"{rule} and {scaler.a_max:g} to {scaler.b_min} and {scaler.b_max}"
    score = intensity.normalizer
    return f"{rule} of z-scores (nonzero {score.nonzero}, given {score.subtrahend} and {score.divisor})"
