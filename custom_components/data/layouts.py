"""Recognising the layout of a folder of NIfTI files: decathlon, BraTS, nnU-Net, images with labels, or images.

Everything here works on names; no volume is opened. Paths in the results are POSIX paths relative to the folder,
so that a list made on one machine works on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from custom_components.atomic import read_json
from custom_components.data.brats import brats_cases
from custom_components.data.channels import BRATS_CHANNELS
from custom_components.data.descriptions import channel_names, label_names, listed_items
from custom_components.data.names import (
    Item,
    files_of,
    first_image,
    in_label_folder,
    is_image_folder,
    is_label_name,
    is_nifti,
    split_of,
)
from custom_components.data.nnunet import (
    check_file_ending,
    listed_one_by_one,
    raw_data,
    with_channel_files,
)
from custom_components.data.pairs import NO_IMAGE, is_derivative, pair
from custom_components.data.walk import nifti_files, other_paths

_DERIVATIVES = "files in derivatives (processed copies)"
_LINKS = "other paths to a file that is listed"
_BESIDE_BRATS = "files beside the BraTS cases"


class Layout(NamedTuple):
    """The cases of a folder, each list sorted by path.

    Attributes:
        labelled: items ``{"image": path, "label": path}``; ``image`` is a list if each channel is a file.
        unlabelled: items ``{"image": path}`` of images without a label.
        test_images: items of ``imagesTs``, the test images of a challenge, with ``label`` where there is one.
        meta: ``name``, ``labels`` (number -> name) and ``channels`` (names in order) of ``dataset.json``; empty if
            unknown. BraTS folders have the BraTS channels. ``validation`` holds the images that ``dataset.json``
            lists as validation cases, as AMOS does.
        left_out: reason -> files that are in no item.
        unmatched: an image and a label, if there is a folder of labels none of which fits an image; else None.
    """

    labelled: list[Item]
    unlabelled: list[Item]
    test_images: list[Item]
    meta: dict[str, Any]
    left_out: dict[str, list[str]] = {}
    unmatched: tuple[str, str] | None = None


def scan(folder: Path, include_label_like: bool = False) -> Layout:
    """Recognise the layout of ``folder`` and list its cases.

    The first of these that applies is used:

    1. ``dataset.json`` with a list ``training`` (decathlon, nnU-Net's first version).
    2. BraTS cases at any depth, see `custom_components.data.brats.brats_cases`.
    3. nnU-Net's raw data, see `custom_components.data.nnunet.raw_data`.
    4. Images, and label maps recognised by the name of file or folder. A label map that fits exactly one image
       makes a labelled case, see `custom_components.data.pairs`; other label maps are left out.

    One real file is listed once, whatever links lead to it.

    Args:
        folder: the data folder.
        include_label_like: take files that are named like label maps for images, unless they are the label of a
            case; also those in ``derivatives``.

    Raises:
        ValueError: if there is no NIfTI image, ``dataset.json`` is damaged or states a file ending other than
            NIfTI's, or a case of BraTS or nnU-Net lacks a channel.
    """
    description = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    try:
        layout = _scan(folder, description, include_label_like)
    except ValueError as error:
        raise ValueError(_naming(folder, str(error))) from None
    layout = _once(_visible(layout), folder)
    if not (layout.labelled or layout.unlabelled or layout.test_images):
        left = f" ({left_out_text(layout.left_out)})" if layout.left_out else ""
        raise ValueError(f"no .nii or .nii.gz under {folder}{' that is an image' if left else ''}{left}")
    return layout


def left_out_text(left_out: Mapping[str, Sequence[str]]) -> str:
    """Return what was left out, and why, in one line with counts and a first file for each reason."""
    parts = [f"{len(files)} {reason}, first {files[0]}" for reason, files in left_out.items()]
    return "left out: " + "; ".join(parts) if parts else ""


def _naming(folder: Path, message: str) -> str:
    return message if str(folder) in message else f"{folder}: {message}"


def _scan(folder: Path, description: Mapping[str, Any], include_label_like: bool) -> Layout:
    meta = {
        "name": description.get("name") or folder.name,
        "labels": label_names(description),
        "channels": channel_names(description),
        "validation": [],
    }
    check_file_ending(description, str(folder / "dataset.json"))
    if isinstance(description.get("training"), list):
        return _decathlon(folder, description, meta)
    if isinstance(description.get("dataset"), dict):
        return Layout(*_by_label(listed_one_by_one(description)), [], meta)
    files = nifti_files(folder)
    if cases := brats_cases(files, folder.name):
        meta["channels"] = list(BRATS_CHANNELS)
        used = {file for item in cases for key in ("image", "label") for file in files_of(item, key)}
        beside = [file for file in files if file not in used]
        return Layout(*_by_label(cases), [], meta, {_BESIDE_BRATS: beside} if beside else {})
    if raw := raw_data(files, folder):
        items = (*raw.labelled, *raw.unlabelled, *raw.test_images)
        used = {file for item in items for key in ("image", "label") for file in files_of(item, key)}
        rest = [file for file in files if file not in used and file not in raw.lone_labels]
        other = _images_and_labels(rest, meta, include_label_like)
        return other._replace(
            labelled=[*raw.labelled, *other.labelled],
            unlabelled=[*raw.unlabelled, *other.unlabelled],
            test_images=[*raw.test_images, *other.test_images],
            left_out={**other.left_out, **({NO_IMAGE: raw.lone_labels} if raw.lone_labels else {})},
            unmatched=raw.unmatched,
        )
    return _images_and_labels(files, meta, include_label_like)


def _decathlon(folder: Path, description: Mapping[str, Any], meta: dict[str, Any]) -> Layout:
    channels = len(meta["channels"])
    training, validation, test = (
        [with_channel_files(item, folder, channels) for item in listed_items(description.get(name) or [], name)]
        for name in ("training", "validation", "test")
    )
    meta = {**meta, "validation": [first_image(item) for item in validation]}
    labelled, unlabelled = _by_label(training)
    validated, hidden = _by_label(validation)  # without labels, they are a challenge's as test images are
    return Layout([*labelled, *validated], unlabelled, [*test, *hidden], meta)


def _by_label(items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
    items = list(items)
    return [item for item in items if item.get("label")], [item for item in items if not item.get("label")]


def _images_and_labels(files: Sequence[str], meta: dict[str, Any], include_label_like: bool) -> Layout:
    """Sort files into images and label maps by their names, and pair them."""
    labels = [file for file in files if is_label_name(file) or in_label_folder(file)]
    named = set(labels)
    derived = [file for file in files if is_derivative(file) and file not in named]
    images = [file for file in files if file not in named and not is_derivative(file)]
    pairs = pair(images, labels)
    left = dict(pairs.left)
    if include_label_like:
        images += [*derived, *(file for unpaired in left.values() for file in unpaired)]
        left, derived = {}, []
    if derived:
        left[_DERIVATIVES] = derived
    items = [_item(image, pairs.label_of) for image in images]
    test = [item for item in items if _is_test_image(first_image(item))]
    labelled, unlabelled = _by_label(item for item in items if not _is_test_image(first_image(item)))
    unmatched = None if include_label_like else pairs.unmatched
    return Layout(labelled, unlabelled, test, meta, left, unmatched)


def _item(image: str, label_of: Mapping[str, str]) -> Item:
    return {"image": image, "label": label_of[image]} if image in label_of else {"image": image}


def _is_test_image(path: str) -> bool:
    return any(is_image_folder(part) and split_of(part) == "ts" for part in PurePosixPath(path).parts[:-1])


def _visible(layout: Layout) -> Layout:
    """Sort items, without the ``._name`` files that macOS leaves in archives (some lists name them)."""

    def shown(items: Sequence[Item]) -> list[Item]:
        return sorted((i for i in items if is_nifti(PurePosixPath(first_image(i)).name)), key=first_image)

    return layout._replace(
        labelled=shown(layout.labelled), unlabelled=shown(layout.unlabelled), test_images=shown(layout.test_images)
    )


def _once(layout: Layout, folder: Path) -> Layout:
    """Leave out items whose image is a file that an earlier item has, by another path; labelled items go first."""
    groups = (layout.labelled, layout.test_images, layout.unlabelled)
    # Labels first of all: a link to a label map may have the name of an image.
    files = [file for item in layout.labelled for file in files_of(item, "label")]
    again = other_paths([*files, *(file for items in groups for item in items for file in files_of(item))], folder)
    again = {file: before for file, before in again.items() if file not in files}
    if not again:
        return layout
    kept = [[item for item in items if not any(file in again for file in files_of(item))] for items in groups]
    return layout._replace(
        labelled=kept[0],
        test_images=kept[1],
        unlabelled=kept[2],
        left_out={**layout.left_out, _LINKS: sorted(again)},
    )
