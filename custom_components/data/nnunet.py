"""nnU-Net's raw data: ``imagesTr/case_0000.nii.gz``, one file for each channel, and ``labelsTr/case.nii.gz``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from custom_components.atomic import read_json
from custom_components.data.descriptions import channel_names, listed_items
from custom_components.data.names import NIFTI_SUFFIXES, Item, files_of, first_image, stem_of

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
# Folders of images and of labels: nnU-Net's, FLARE 2022's and FLARE 2021's.
_FOLDERS = {"imagesTr": "labelsTr", "images": "labels", "TrainingImg": "TrainingMask"}


class RawData(NamedTuple):
    """The cases of a folder of nnU-Net raw data.

    Attributes:
        labelled: items ``{"image": path or one per channel, "label": path}``.
        unlabelled: items without a label.
        test_images: items of ``imagesTs``, with a label where ``labelsTs`` has one.
        lone_labels: labels without an image.
        unmatched: an image and a label none of which fits, for an error message; or None.
    """

    labelled: list[Item]
    unlabelled: list[Item]
    test_images: list[Item]
    lone_labels: list[str]
    unmatched: tuple[str, str] | None


def check_file_ending(description: Mapping[str, Any], source: str) -> None:
    """Check that ``file_ending`` of a ``dataset.json`` is one of NIfTI.

    Raises:
        ValueError: naming the ending.
    """
    ending = description.get("file_ending")
    if ending is not None and str(ending).lower() not in NIFTI_SUFFIXES:
        raise ValueError(
            f"{source} states file_ending {ending!r}; allowed: {', '.join(NIFTI_SUFFIXES)}."
            " Convert the files to NIfTI and state the new ending"
        )


def raw_data(files: Sequence[str], folder: Path) -> RawData | None:
    """Group the files of nnU-Net's folders by case, channels in order; the folders may lie at any depth.

    A folder ``imagesTr`` (or ``images``) is nnU-Net's if an image name ends in a channel number (``_0000``), and a
    label has that name without the number, or the ``dataset.json`` beside it names channels and has no list
    ``training``. Otherwise ``_0001`` may be a patient.

    Args:
        files: relative POSIX paths.
        folder: the folder that they are relative to.

    Returns:
        The cases; None if no folder is nnU-Net's.

    Raises:
        ValueError: for a case that lacks a channel, has one too many or twice, for an image without a number, and
            for data sets with different numbers of channels.
    """
    folders = sorted({path.parent for path in map(PurePosixPath, files) if path.parent.name in _FOLDERS})
    found = {images.as_posix(): raw for images in folders if (raw := _raw_data(files, images, folder))}
    if not found:
        return None
    counts = {
        root: len(files_of(item)) for root, raw in found.items() for item in (*raw.labelled, *raw.unlabelled)
    }
    if len(set(counts.values())) > 1:
        sizes = ", ".join(f"{root} has {count} channel(s)" for root, count in counts.items())
        raise ValueError(f"{folder} holds several nnU-Net data sets: {sizes}; give the folder of one of them")
    every = list(found.values())
    return RawData(
        labelled=[item for raw in every for item in raw.labelled],
        unlabelled=[item for raw in every for item in raw.unlabelled],
        test_images=[item for raw in every for item in raw.test_images],
        lone_labels=[file for raw in every for file in raw.lone_labels],
        unmatched=next((raw.unmatched for raw in every if raw.unmatched), None),
    )


def listed_one_by_one(description: Mapping[str, Any]) -> list[Item]:
    """Return the items of a ``dataset.json`` that names the files of each case under ``dataset``.

    Raises:
        ValueError: for an entry without images.
    """
    entries = []
    for case, entry in description["dataset"].items():
        if not isinstance(entry, dict) or not entry.get("images"):
            raise ValueError(f"dataset.json: case {case!r} has no 'images': {entry!r}")
        images = entry["images"] if isinstance(entry["images"], list) else [entry["images"]]
        label = {"label": entry["label"]} if entry.get("label") else {}
        entries.append({"image": images if len(images) > 1 else images[0], **label})
    return listed_items(entries, "dataset")


def _raw_data(files: Sequence[str], images_folder: PurePosixPath, folder: Path) -> RawData | None:
    root, training_labels = images_folder.parent, _FOLDERS[images_folder.name]
    path = folder / root / "dataset.json"
    description = read_json(path) if path.is_file() else {}
    inside = {
        name: [file for file in files if PurePosixPath(file).parent == root / name]
        for name in (images_folder.name, training_labels, "imagesTs", "labelsTs")
    }
    trained = inside[images_folder.name]
    tested = inside["imagesTs"] if images_folder.name == "imagesTr" else []
    images = [*trained, *tested]
    cases = {match["case"] for image in images if (match := _CHANNEL.fullmatch(stem_of(image)))}
    labels = {stem_of(label) for label in inside[training_labels]}
    stated = bool(channel_names(description)) and not isinstance(description.get("training"), list)
    numbered_labels = bool(labels & {stem_of(image) for image in images})  # then _0001 is a patient
    if not cases or not (cases & labels or (stated and not numbered_labels)):
        return None
    names = channel_names(description)
    count = len(names) or len({_numbered(image, folder)[1] for image in images})
    training = _with_labels(_grouped(trained, count, names, folder), inside[training_labels])
    test = _with_labels(_grouped(tested, count, names, folder), inside["labelsTs"] if tested else [])
    lone = training[2]
    unmatched = (trained[0], lone[0]) if lone and not training[0] else None
    return RawData(
        labelled=training[0],
        unlabelled=training[1],
        test_images=sorted([*test[0], *test[1]], key=first_image),
        lone_labels=[*lone, *test[2]],
        unmatched=unmatched,
    )


def with_channel_files(item: Item, folder: Path, channels: int) -> Item:
    """Return an item of nnU-Net's first version with the files that exist.

    Its ``dataset.json`` lists ``imagesTr/case.nii.gz``, and the files are ``imagesTr/case_0000.nii.gz`` and so on.

    Args:
        item: an item as listed.
        folder: the data folder.
        channels: number of channels, 1 or more.
    """
    image = item["image"]
    if not isinstance(image, str) or (folder / image).exists():
        return item
    ending = PurePosixPath(image).name[len(stem_of(image)) :]
    base = image[: len(image) - len(ending)]
    if not (folder / f"{base}_0000{ending}").exists():
        return item
    paths = [f"{base}_{channel:04d}{ending}" for channel in range(max(1, channels))]
    return {**item, "image": paths if len(paths) > 1 else paths[0]}


def _numbered(image: str, folder: Path) -> tuple[str, int]:
    match = _CHANNEL.fullmatch(stem_of(image))
    if not match:
        raise ValueError(f"{folder / image} has no channel number, others have; nnU-Net names it ..._0000.nii.gz")
    return match["case"], int(match["channel"])


def _grouped(images: Sequence[str], count: int, names: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """Return case -> its files in the order of the channels."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for image in images:
        case, channel = _numbered(image, folder)
        if channel in found[case]:
            raise ValueError(f"{folder}: {found[case][channel]} and {image} are one channel; keep one of them")
        found[case][channel] = image
    for case, files in found.items():
        there = ", ".join(f"{channel:04d}" for channel in sorted(files))
        missing = [channel for channel in range(count) if channel not in files]
        if missing:
            name = f" ({names[missing[0]]})" if names else ""
            raise ValueError(
                f"{folder}: case {case} lacks channel {missing[0]:04d}{name} of {count}; found {there} in"
                f" {PurePosixPath(next(iter(files.values()))).parent}"
            )
        if len(files) > count:
            raise ValueError(f"{folder}: case {case} has the channels {there}; dataset.json names {count}")
    return {case: [files[channel] for channel in sorted(files)] for case, files in found.items()}


def _with_labels(
    cases: Mapping[str, list[str]], labels: Sequence[str]
) -> tuple[list[Item], list[Item], list[str]]:
    """Return labelled items, unlabelled items, and labels without a case."""
    label_of: dict[str, str] = {}
    for label in labels:
        before = label_of.setdefault(stem_of(label), label)
        if before != label:
            raise ValueError(f"{before} and {label} are labels of one case; keep one of them")
    items: dict[str, Item] = {
        case: {"image": files if len(files) > 1 else files[0]} for case, files in cases.items()
    }
    labelled = [{**item, "label": label_of[case]} for case, item in items.items() if case in label_of]
    unlabelled = [item for case, item in items.items() if case not in label_of]
    return labelled, unlabelled, [label for case, label in label_of.items() if case not in cases]
