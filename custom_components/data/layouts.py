"""Recognising the layout of a folder of NIfTI files: decathlon, BraTS cases, images with labels, or images.

Everything here works on names; no volume is opened. Paths in the results are POSIX paths relative to the folder,
so that a list made on one machine works on another.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from custom_components.atomic import read_json
from custom_components.data.brats import brats_cases
from custom_components.data.channels import BRATS_CHANNELS

Item = dict[str, Any]

NIFTI_SUFFIXES = (".nii.gz", ".nii")
# Label files beside their images ("case_seg.nii.gz", "case_labels.nii.gz", "label0001.nii.gz") are skipped: a
# network would pretrain on a label map in the list without any error.
_LABEL_NAME = re.compile(r"(^|[_.-])(labels?|seg|segmentation|masks?)$|^labels?[_-]?\d+$", re.IGNORECASE)
# Keys that name the channels: our lists, the decathlon, nnU-Net.
_CHANNEL_KEYS = ("channels", "modality", "channel_names")
# (images folder, labels folder); the first pair that exists is used.
_FOLDER_PAIRS = (("imagesTr", "labelsTr"), ("images", "labels"), ("img", "label"))
# Label names for an image name: the same, as in BTCV (img0001, label0001), or with a suffix.
_LABEL_FROM_IMAGE = (
    lambda name: name,
    lambda name: re.sub("^(img|image)", "label", name),
    lambda name: f"{name}_seg",
    lambda name: f"{name}_label",
    lambda name: f"{name}_labels",
)


class Layout(NamedTuple):
    """The cases of a folder, each list sorted by path.

    Attributes:
        labelled: items ``{"image": path, "label": path}``; ``image`` is a list if each channel is a file.
        unlabelled: items ``{"image": path}`` of images without a label.
        test_images: items ``{"image": path}`` of a decathlon ``imagesTs``, the test images of a challenge.
        meta: ``name``, ``labels`` (number -> name) and ``channels`` (names in order) of ``dataset.json``; empty if
            unknown. BraTS folders have the BraTS channels.
    """

    labelled: list[Item]
    unlabelled: list[Item]
    test_images: list[Item]
    meta: dict[str, Any]


def is_nifti(name: str) -> bool:
    """Return whether the file name ends in ``.nii`` or ``.nii.gz`` and does not start with a dot."""
    return name.lower().endswith(NIFTI_SUFFIXES) and not name.startswith(".")


def case_id(image: str | list[str]) -> str:
    """Return the name of a case: its file name without ``.nii``/``.nii.gz``.

    For several files it is the part that their names share, up to a ``_``, ``-`` or dot; if they share nothing,
    the name of the first file.
    """
    names = [image] if isinstance(image, str) else image
    stems = [re.sub(r"\.nii(\.gz)?$", "", PurePosixPath(name).name, flags=re.IGNORECASE) for name in names]
    if len(set(stems)) == 1:
        return stems[0]
    shared = re.sub(r"[^_.-]*$", "", os.path.commonprefix(stems)).rstrip("_.-")
    return shared or stems[0]


def first_image(item: Item) -> str:
    """Return the item's image path; the first one if each channel is a file."""
    image = item["image"]
    return str(image if isinstance(image, str) else image[0])


def nifti_files(folder: Path, skip_labels: bool = True) -> list[str]:
    """Return every NIfTI file under ``folder``, recursively, as sorted POSIX paths relative to it.

    Args:
        folder: where to look; names that start with a dot are skipped.
        skip_labels: also skip folders whose name starts with ``label``, a decathlon's ``imagesTs``, and files that
            are named like label maps.
    """
    found: list[str] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (skip_labels and (name.lower().startswith("label") or name == "imagesTs"))
        )
        for name in names:
            if is_nifti(name) and not (skip_labels and _LABEL_NAME.search(case_id(name))):
                found.append((Path(parent) / name).relative_to(folder).as_posix())
    return sorted(found)


def existing_folder(dataset_dir: str | os.PathLike[str]) -> Path:
    """Return ``dataset_dir`` as an absolute path.

    Raises:
        ValueError: if it is empty, or not a folder.
    """
    if not str(dataset_dir):
        raise ValueError("dataset_dir is empty: give the folder that holds the NIfTI files")
    folder = Path(os.path.abspath(dataset_dir))
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"dataset_dir {folder} {found}: give the folder that holds the NIfTI files")
    return folder


def decathlon_item(entry: Any) -> Item:
    """Return one entry of ``dataset.json`` (``{"image": "./a", "label": "./b"}`` or ``"./a"``) as an item."""
    item = {"image": entry} if isinstance(entry, str) else dict(entry)
    for key in ("image", "label"):
        if isinstance(item.get(key), str):
            item[key] = PurePosixPath(item[key]).as_posix()
        elif isinstance(item.get(key), list):
            item[key] = [PurePosixPath(part).as_posix() for part in item[key]]
    return item


def scan(folder: Path) -> Layout:
    """Recognise the layout of ``folder`` and list its cases.

    The first of these that applies is used:

    1. ``dataset.json`` with a list ``training``.
    2. BraTS cases at any depth, see `custom_components.data.brats.brats_cases`.
    3. ``imagesTr`` and ``labelsTr``, ``images`` and ``labels``, or ``img`` and ``label``. A label has the name of
    its
       image, or ``label0001`` for ``img0001``, or the name with ``_seg``, ``_label`` or ``_labels``. Images in
       other subfolders are unlabelled.
    4. Every NIfTI file under the folder, as unlabelled.

    Raises:
        ValueError: if there is no NIfTI file, ``dataset.json`` is not JSON, or a BraTS case lacks a sequence.
    """
    description = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    meta = _meta(folder, description)
    if isinstance(description.get("training"), list):
        listed = [decathlon_item(entry) for entry in description["training"]]
        test = [decathlon_item(entry) for entry in description.get("test") or []]
        labelled = [item for item in listed if "label" in item]
        layout = Layout(labelled, [item for item in listed if "label" not in item], test, meta)
    elif cases := brats_cases(nifti_files(folder, skip_labels=False), folder.name):
        labelled = [item for item in cases if "label" in item]
        unlabelled = [item for item in cases if "label" not in item]
        meta["channels"] = list(BRATS_CHANNELS)
        layout = Layout(labelled, unlabelled, [], meta)
    else:
        layout = _folders(folder, meta)
    shown = Layout(_visible(layout.labelled), _visible(layout.unlabelled), _visible(layout.test_images), meta)
    if not (shown.labelled or shown.unlabelled or shown.test_images):
        raise ValueError(f"no .nii or .nii.gz under {folder}")
    return shown


def _folders(folder: Path, meta: dict[str, Any]) -> Layout:
    for images, labels in _FOLDER_PAIRS:
        if not (folder / images).is_dir():
            continue
        label_of = {_stem(name): f"{labels}/{name}" for name in _files_in(folder / labels)}
        labelled: list[Item] = []
        unlabelled: list[Item] = []
        for name in _files_in(folder / images):
            item = {"image": f"{images}/{name}"}
            where, stem = _stem(name)
            names = [(where, rename(stem)) for rename in _LABEL_FROM_IMAGE]
            label = next((label_of[candidate] for candidate in names if candidate in label_of), None)
            if label is None:
                unlabelled.append(item)
            else:
                labelled.append({**item, "label": label})
        test: list[Item] = [{"image": f"imagesTs/{name}"} for name in _files_in(folder / "imagesTs")]
        # Volumes outside these folders are unlabelled data for pretraining.
        beside = {first_image(item) for item in (*labelled, *unlabelled)}
        unlabelled += [{"image": name} for name in nifti_files(folder) if name not in beside]
        return Layout(labelled, unlabelled, test, meta)
    return Layout([], [{"image": name} for name in nifti_files(folder)], [], meta)


def _stem(name: str) -> tuple[str, str]:
    """Return folder and case id: cases in different subfolders may have the same file name."""
    return PurePosixPath(name).parent.as_posix(), case_id(name)


def _files_in(folder: Path) -> list[str]:
    return nifti_files(folder, skip_labels=False) if folder.is_dir() else []


def _visible(items: list[Item]) -> list[Item]:
    """Sort items, without the ``._name`` files that macOS leaves in archives (some lists name them)."""
    return sorted((i for i in items if is_nifti(PurePosixPath(first_image(i)).name)), key=first_image)


def _meta(folder: Path, description: dict[str, Any]) -> dict[str, Any]:
    name, labels = description.get("name") or folder.name, label_names(description)
    return {"name": name, "labels": labels, "channels": channel_names(description)}


def label_names(description: dict[str, Any]) -> dict[str, str]:
    """Return the class names of a data list or ``dataset.json`` by number; empty if it has none."""
    labels = description.get("labels") or {}
    if labels and all(isinstance(value, int) for value in labels.values()):  # nnU-Net writes {"spleen": 1}
        return {str(value): name for name, value in labels.items()}
    return dict(labels)


def channel_names(description: dict[str, Any]) -> list[str]:
    """Return the channel names of a data list or ``dataset.json`` in order; empty if it has none."""
    found: Any = next((description[key] for key in _CHANNEL_KEYS if description.get(key)), [])
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found, key=int)]
    return [str(name) for name in found] if isinstance(found, list) else [str(found)]
