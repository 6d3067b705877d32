"""Which label map belongs to which image, by the names of files and folders.

``imagesTr/a`` and ``labelsTr/a``, ``images/a`` and ``masks/a_mask``, ``volume-0`` and ``segmentation-0`` (LiTS),
``case_0/imaging`` and ``case_0/segmentation`` (KiTS), ``p/p`` and ``p/p_gt``, ``sub-01/anat/sub-01_T1w`` and
``derivatives/sub-01/anat/sub-01_dseg`` (BIDS), ``subset0/<UID>`` and ``seg-lungs-LUNA16/<UID>``. A name that fits
twice makes no pair: a wrong label is worse than none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from custom_components.data.names import (
    in_label_folder,
    is_image_folder,
    is_label_folder,
    split_of,
    stem_of,
    without_image_words,
    without_label_words,
    words_of,
)

#: Why a label map has no image.
PER_CLASS = "label maps of one class or object each, in a folder beside the image"
FURTHER = "further label maps of images that have one"
SEVERAL_LABELS = "label maps of which several fit one image"
SEVERAL_IMAGES = "label maps that fit several images"
NO_IMAGE = "label maps without an image of that name"
_DATA_TYPES = ("anat", "dwi", "func", "perf", "fmap", "pet")
# BIDS entities that a label map has and its image lacks.
_LABEL_ENTITY = re.compile(r"(label|seg|desc|atlas|res|den|rater)-[^_]+", re.IGNORECASE)
_UID = re.compile(r"\d+(\.\d+){5,}")
Key = tuple[str, ...]


class Pairs(NamedTuple):
    """The result of pairing.

    Attributes:
        label_of: image -> label.
        left: reason -> labels without an image.
        unmatched: an image and a label of a folder of labels none of which fits, for an error message; or None.
    """

    label_of: dict[str, str]
    left: dict[str, list[str]]
    unmatched: tuple[str, str] | None


def pair(images: Sequence[str], labels: Sequence[str]) -> Pairs:
    """Pair label maps with images.

    Args:
        images: relative POSIX paths.
        labels: relative POSIX paths.

    Returns:
        The pairs, and why the other labels have no image.
    """
    label_of: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for keys in (_exact, case_key, _alone(images, labels), _by_uid):
        taken = set(label_of.values())
        free = [image for image in images if image not in label_of]
        fits = _fits(free, [label for label in labels if label not in taken], keys)
        rivals: dict[str, list[str]] = defaultdict(list)
        for label, found in fits.items():
            if len(found) > 1:
                reasons.setdefault(label, SEVERAL_IMAGES)
            else:
                rivals[found[0]].append(label)
        for image, found in rivals.items():
            chosen = found if len(found) == 1 else [label for label in found if _in_folder_of_labels(label)]
            if len(chosen) == 1:
                label_of[image] = chosen[0]
            for label in found:
                reasons.setdefault(label, SEVERAL_LABELS)
    taken = set(label_of.values())
    left: dict[str, list[str]] = defaultdict(list)
    with_label = {PurePosixPath(image).parent: image in label_of for image in images}
    for label in labels:
        if label not in taken:
            left[reasons.get(label) or _reason(label, with_label)].append(label)
    return Pairs(label_of, dict(left), None if label_of else _unmatched(images, left.get(NO_IMAGE, [])))


def _reason(label: str, with_label: Mapping[PurePosixPath, bool]) -> str:
    """Return why a label without any candidate has no image; folders of images say whether they have a label."""
    beside = PurePosixPath(label).parent.parent
    if not in_label_folder(label) or beside not in with_label:
        return NO_IMAGE
    return FURTHER if with_label[beside] else PER_CLASS


def is_derivative(path: str) -> bool:
    """Return whether a path lies in a folder ``derivatives`` (BIDS): processed copies and label maps."""
    return any(part.lower() == "derivatives" for part in PurePosixPath(path).parts[:-1])


def _fits(
    images: Iterable[str], labels: Iterable[str], keys: Callable[[str, bool], Key | None]
) -> dict[str, list[str]]:
    """Return label -> the images with its key, for labels that fit at least one."""
    by_key: dict[Key, list[str]] = defaultdict(list)
    for image in images:
        key = keys(image, False)
        if key is not None:
            by_key[key].append(image)
    fits = {label: by_key.get(key, []) for label in labels if (key := keys(label, True)) is not None}
    return {label: found for label, found in fits.items() if found}


def _exact(path: str, is_label: bool) -> Key | None:
    """The place and all words, but those that mark a label."""
    words = words_of(stem_of(path))
    return (*_place(path), "/", *(_label_words(path) if is_label else words))


def case_key(path: str, is_label: bool) -> Key | None:
    """Return the place and the words that name the case: what an image and its label share.

    Args:
        path: relative POSIX path.
        is_label: whether it is a label map.
    """
    words = _label_words(path) if is_label else words_of(stem_of(path))
    return (*_place(path), "/", *without_image_words(words))


def _by_uid(path: str, is_label: bool) -> Key | None:
    """The name alone, wherever the file lies, where it is a DICOM UID (LUNA16)."""
    stem = stem_of(path)
    return (stem,) if _UID.fullmatch(stem) else None


def _alone(images: Sequence[str], labels: Sequence[str]) -> Callable[[str, bool], Key | None]:
    """The folder, where one image that only says what it shows (``ct``) lies beside one label map."""
    count: dict[tuple[str, bool], int] = defaultdict(int)
    for is_label, files in ((False, images), (True, labels)):
        for file in files:
            count[PurePosixPath(file).parent.as_posix(), is_label] += 1

    def keys(path: str, is_label: bool) -> Key | None:
        folder = PurePosixPath(path).parent
        where = folder.as_posix()
        if count[where, False] != 1 or count[where, True] != 1:
            return None
        own = without_image_words(words_of(stem_of(path)))
        return (where,) if is_label or own in ([], without_image_words(words_of(folder.name))) else None

    return keys


def _label_words(path: str) -> list[str]:
    stem = stem_of(path)
    if stem.lower().startswith("sub-"):
        stem = "_".join(part for part in stem.split("_") if not _LABEL_ENTITY.fullmatch(part))
    return without_label_words(words_of(stem))


def _place(path: str) -> Key:
    """Return the folders of a path that an image and its label share."""
    folders = list(PurePosixPath(path).parts[:-1])
    bids = any(part.lower().startswith("sub-") for part in folders)
    if is_derivative(path):
        start = [part.lower() for part in folders].index("derivatives")
        # The name of a pipeline may follow; the subject's folder comes after it.
        subject = next(
            (k for k, part in enumerate(folders) if k > start and part.lower().startswith("sub-")), start + 1
        )
        folders[start:subject] = []
    place = []
    for part in folders:
        if is_label_folder(part) or is_image_folder(part):
            place += [split_of(part)] if split_of(part) else []
        elif not (bids and part.lower() in _DATA_TYPES):
            place.append(part)
    return tuple(place)


def _in_folder_of_labels(label: str) -> bool:
    """A folder ``labels`` goes before other label maps of the same name, such as ``masks``."""
    return any(part.lower().startswith("label") for part in PurePosixPath(label).parts[:-1])


def _unmatched(images: Sequence[str], labels: Sequence[str]) -> tuple[str, str] | None:
    own = [label for label in labels if in_label_folder(label) and not is_derivative(label)]
    if not images or not own:
        return None
    image = next((image for image in images if _place(image) == _place(own[0])), images[0])
    return image, own[0]
