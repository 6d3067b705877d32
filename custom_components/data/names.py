"""Names of NIfTI files: suffix, case, and the words that mark a label map."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

Item = dict[str, Any]

NIFTI_SUFFIXES = (".nii.gz", ".nii")
# A file or folder whose name has one of these words holds label maps, in any case and with any number after it.
_LABEL_WORDS = (
    "label", "lbl", "seg", "segm", "segmentation", "mask", "msk", "dseg", "probseg", "gt", "groundtruth",
    "annotation", "roi", "aseg", "parcellation",
)  # fmt: skip
# Folders that hold label maps, or copies of images with label maps among them.
_LABEL_FOLDERS = (*_LABEL_WORDS, "instance", "contour")
#: Words that say that a file is an image, but not of whom.
IMAGE_WORDS = ("image", "img", "imaging", "volume", "vol", "scan", "ct", "mr", "mri")
#: Words that name a sequence, a contrast phase or a modality.
SEQUENCE_WORDS = (
    "t1", "t1w", "t1n", "t1c", "t1ce", "t1gd", "t1wce", "t1post", "t1km", "t2", "t2w", "t2f", "t2star", "t2starw",
    "t2flair", "flair", "pd", "pdw", "dwi", "adc", "swi", "asl", "mra", "tof", "stir", "dti", "bold", "cine",
    "arterial", "venous", "portal", "delayed", "native", "cta", "ctp", "cbct", "cect", "ncct", "cbf", "cbv",
    "tmax", "mtt", "pet", "spect", "fdg", "suv",
)  # fmt: skip
_SPLITS = "tr|ts|va|val|train|training|test|validation"


def _words(words: Sequence[str]) -> str:
    return "(?:" + "|".join(words) + ")s?"


_LABEL_WORD = re.compile(rf"{_words(_LABEL_WORDS)}(\d*)")
_IMAGE_WORD = re.compile(rf"{_words(IMAGE_WORDS)}(\d*)")
_GROUND_TRUTH = re.compile(r"ground[\s_.-]truth", re.IGNORECASE)
# "labelsTr", "masks_train", "GT", "labels2" and "labels_final"; "labelled" holds images.
_LABEL_FOLDER = re.compile(
    rf"labels?(?!led|ed)[\s_.-]?\w*|{_words(_LABEL_FOLDERS)}[\s_.-]?({_SPLITS})?\d*|TrainingMask|seg-lungs-LUNA16",
    re.IGNORECASE,
)
_IMAGE_FOLDER = re.compile(rf"{_words(IMAGE_WORDS)}[\s_.-]?({_SPLITS})?", re.IGNORECASE)
_SPLIT = re.compile(rf"(?<=[a-z])[\s_.-]?({_SPLITS})$")


def is_nifti(name: str) -> bool:
    """Return whether the file name ends in ``.nii`` or ``.nii.gz`` in any case, and does not start with a dot."""
    return name.lower().endswith(NIFTI_SUFFIXES) and not name.startswith(".")


def stem_of(path: str) -> str:
    """Return a file's name without folder and without ``.nii``/``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", PurePosixPath(path).name, flags=re.IGNORECASE)


def case_id(image: str | list[str]) -> str:
    """Return the name of a case: its file name without ``.nii``/``.nii.gz``.

    For several files it is the part that their names share, up to a ``_``, ``-`` or dot; if they share nothing,
    the name of the first file.
    """
    stems = [stem_of(name) for name in ([image] if isinstance(image, str) else image)]
    if len(set(stems)) == 1:
        return stems[0]
    shared = re.sub(r"[^_.-]*$", "", os.path.commonprefix(stems)).rstrip("_.-")
    return shared or stems[0]


def first_image(item: Item) -> str:
    """Return the item's image path; the first one if each channel is a file."""
    image = item["image"]
    return str(image if isinstance(image, str) else image[0])


def files_of(item: Item, key: str = "image") -> list[str]:
    """Return all paths of an item under one key; empty if it has none."""
    value = item.get(key)
    if not value:
        return []
    return [str(part) for part in value] if isinstance(value, (list, tuple)) else [str(value)]


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case; they are separated by ``_``, ``-``, dots or spaces."""
    return [word for word in re.split(r"[\s_.-]+", _GROUND_TRUTH.sub("gt", name).lower()) if word]


def without_label_words(words: Sequence[str]) -> list[str]:
    """Return words without those that mark a label map; a number after one (``label0001``) stays."""
    return _without(words, _LABEL_WORD)


def without_image_words(words: Sequence[str]) -> list[str]:
    """Return words without those that say what a file shows, not of whom: ``volume``, ``img0001``, ``T1w``."""
    return [word for word in _without(words, _IMAGE_WORD) if word not in SEQUENCE_WORDS]


def _without(words: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    kept = []
    for word in words:
        match = pattern.fullmatch(word)
        kept.append(match.group(1) if match else word)
    return [word for word in kept if word]


def is_label_name(path: str) -> bool:
    """Return whether a file is named like a label map: ``a_seg``, ``segmentation-0``, ``A_GT``, ``label0001``."""
    return any(_LABEL_WORD.fullmatch(word) for word in words_of(stem_of(path)))


def is_label_folder(name: str) -> bool:
    """Return whether a folder is named like one of label maps: ``labelsTr``, ``masks``, ``GT``, ``instances``."""
    return bool(_LABEL_FOLDER.fullmatch(_GROUND_TRUTH.sub("gt", name)))


def in_label_folder(path: str) -> bool:
    """Return whether one of the folders of a relative path is named like one of label maps."""
    return any(is_label_folder(part) for part in PurePosixPath(path).parts[:-1])


def is_image_folder(name: str) -> bool:
    """Return whether a folder's name says only that it holds images: ``imagesTr``, ``images``, ``CT``."""
    return bool(_IMAGE_FOLDER.fullmatch(name))


def split_of(folder: str) -> str:
    """Return the ending of a folder's name that names a part of the data set: ``tr`` of ``imagesTr``; or empty."""
    match = _SPLIT.search(folder.lower())
    return match.group(1) if match else ""
