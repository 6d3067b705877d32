"""What the guards of training check of files: lists, headers, cache, weights to start from, and the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from custom_components.checks.memory import (
    check_disk,
    check_memory,
    estimate_cache_bytes,
    free_memory,
    readable,
)
from custom_components.checks.volumes import check_images
from custom_components.data.channels import check_channel_names
from custom_components.data.layouts import Item, first_image
from custom_components.data.lists import datalist_hash, listed_channels
from custom_components.distributed import rank
from custom_components.transfer import check_pretrained, read_card

Items = Sequence[Item] | Callable[[], Sequence[Item]]
# Weights, the same with heads, best of each, and the training state with two moments per weight.
_WEIGHT_COPIES_ON_DISK = 8


def read_items(items: Items | None) -> list[Item]:
    """A list of cases, read where ``items`` is what reads it; None is empty."""
    return list(items() if callable(items) else items or [])


def check_not_empty(items: Sequence[Item], dataset_dir: str) -> None:
    """Refuse an empty list.

    Raises:
        ValueError: naming the folder.
    """
    if not items:
        raise ValueError(f"no images: dataset_dir is {dataset_dir!r}; name a folder of .nii or .nii.gz files")


def check_listed_channels(channels: Sequence[str] | None, dataset_dir: str, datalist: str | None) -> None:
    """Refuse a data list whose channels are named otherwise, or in another order, than the config's.

    Nothing is compared where the config names none (None), or there is no folder (MONAI Label gives lists).

    Raises:
        ValueError: naming both lists.
    """
    if channels is not None and dataset_dir:
        source = str(datalist or dataset_dir)
        check_channel_names(listed_channels(dataset_dir, datalist), channels, source)


def check_files(
    train: Sequence[Item],
    validation: Sequence[Item],
    channels: int,
    spacing: Sequence[float] | None,
    cache_rate: float,
    cache_copies: int,
    dataset_dir: str,
) -> str:
    """Check images, overlap of the two lists, and cache; return the line to print.

    Raises:
        ValueError: naming what is wrong.
    """
    check_not_empty(train, dataset_dir)
    both = {first_image(item) for item in train} & {first_image(item) for item in validation}
    if both:
        raise ValueError(f"{sorted(both)[0]} is in both training and validation ({len(both)} such cases)")
    headers = check_images([*train, *validation], channels, progress=rank() == 0)
    cache = estimate_cache_bytes([*train, *validation], spacing, channels, cache_rate, cache_copies, headers)
    check_memory(cache)
    return (
        f"checked: {len(train)} images, {len(validation)} for validation, {channels} channel(s);"
        f" cache {readable(cache)} of {readable(free_memory())} free;"
        f" data list {datalist_hash([*train, *validation], dataset_dir)[:12]}"
    )


def check_weights_and_disk(
    network: nn.Module,
    pretrained: str | None,
    input_layer: str,
    ckpt_dir: str | None,
    channels: Sequence[str] | None = None,
) -> None:
    """Check that weights to start from fit, channels in the same order, and that those to come have room.

    Raises:
        ValueError: naming the file or the folder.
    """
    if pretrained:
        check_pretrained(network, pretrained, input_layer=input_layer)
        learned = (read_card(pretrained) or {}).get("view", {}).get("channels", [])
        if channels is not None and len(learned) == len(channels):
            check_channel_names(learned, channels, f"the card of {pretrained}")
    if ckpt_dir is not None:
        size = sum(p.numel() * p.element_size() for p in network.parameters())
        check_disk(ckpt_dir, size * _WEIGHT_COPIES_ON_DISK)
