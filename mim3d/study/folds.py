"""The folds of a cross-validation as the data of a study: one list for each fold, and one seed for each list."""

from __future__ import annotations

from collections.abc import Sequence

from custom_components.data.names import first_image
from mim3d.study.data import StudyData


def in_folds(found: Sequence[StudyData]) -> StudyData:
    """Return the lists of `mim3d datalist --folds` as one: each case but those of test is validated once.

    Pretraining sees the images that are ``unlabelled`` in every list, and validates on those of the first.

    Args:
        found: the cases of each list, in the order of the seeds that train on them.

    Raises:
        ValueError: for fewer than two lists, and for lists that are not the folds of one split.
    """
    if len(found) < 2:
        raise ValueError(f"folds names {len(found)} lists; allowed: two or more")
    first = found[0]
    for data in found[1:]:
        if data.facts != first.facts or _images(data, "test") != _images(first, "test"):
            raise ValueError(
                f"folds: {data.source} has other test cases, channels or labels than {first.source}; allowed: "
                "lists that one call of mim3d datalist --folds wrote"
            )
    validated = [image for data in found for image in _images(data, "validation")]
    twice = sorted({image for image in validated if validated.count(image) > 1})
    if twice:
        raise ValueError(f"folds: {len(twice)} cases are in validation of several lists, first {twice[0]}")
    shared = set.intersection(*(set(_images(data, "unlabelled")) for data in found))
    unlabelled = [item for item in first.sections["unlabelled"] if first_image(item) in shared]
    folds = tuple(data.sections for data in found)
    source = f"{len(found)} folds, one for each seed: {', '.join(data.source for data in found)}"
    return StudyData(first.folder, {**first.sections, "unlabelled": unlabelled}, first.facts, source, folds)


def _images(data: StudyData, section: str) -> list[str]:
    return sorted(first_image(item) for item in data.sections[section])
