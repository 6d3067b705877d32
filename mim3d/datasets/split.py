"""Splits labelled cases by subject, and chooses the images for pretraining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from custom_components.data.brats import patient_of
from custom_components.data.layouts import Layout
from custom_components.data.leaks import Sections, share
from custom_components.data.names import Item, case_id, first_image
from custom_components.data.subjects import Subjects, path_of_case

TEST_IMAGES = "test images (imagesTs)"
HELD_SUBJECTS = "other volumes of subjects in validation or test"
_ROUNDING = 1e-6  # 0.7 + 0.1 + 0.2 is not exactly 1


class Fold(NamedTuple):
    """One fold of a cross-validation.

    Attributes:
        number: from 0.
        folds: number of folds, at least 2.
    """

    number: int
    folds: int


def split(
    cases: Sequence[Item],
    training: float | int | None,
    validation: float | int,
    test: float | int,
    seed: int,
    subjects: Subjects,
    pattern: str | None,
    fold: Fold | None = None,
) -> Sections:
    """Draw the labelled subjects of test, validation and training, in this order.

    Shares of test and validation are rounded. Training never takes more than remains, and all of it if the shares
    add up to 1.

    Args:
        cases: the labelled cases.
        training: share (float in [0, 1]) or number (int) of subjects; None: all that remain.
        validation: the same; not used with ``fold``.
        test: the same.
        seed: seed of the draw.
        subjects: the subject of each case.
        pattern: the pattern that subjects were found by, if any.
        fold: the fold whose subjects are validated; each subject outside test is in one fold. None: no folds.

    Returns:
        The cases by section, sorted by path; those in none of the three under ``rest``.

    Raises:
        ValueError: for sizes that do not fit.
    """
    by_subject = subjects.group(cases)
    names = sorted(by_subject, key=lambda subject: _place_in_order(subject, by_subject[subject], pattern))
    number = len(names)
    order = [names[k] for k in np.random.RandomState(seed).permutation(number)]
    # Without labelled cases every section is empty, and the default shares ask for none.
    tested = share(test, number, "test")
    if fold is None:
        validated = share(validation, number, "validation")
        held = order[tested : tested + validated]
    else:
        if fold.folds > number - tested:
            raise ValueError(f"folds is {fold.folds}; there are {number - tested} labelled subjects outside test")
        held = order[tested + fold.number :: fold.folds]
        validated = len(held)
    rest = [subject for subject in order[tested:] if subject not in held]
    left = number - tested - validated
    size = _training_size(training, (test, 0.0 if fold else validation), number, left)
    if min(left - size, left) < 0:
        asked = f"test {tested}, validation {validated}, training {size}"
        raise ValueError(f"the split asks for {asked}; there are {number} labelled subjects")
    drawn = {"test": order[:tested], "validation": held, "training": rest[:size], "rest": rest[size:]}
    return {
        name: sorted((item for subject in drawn[name] for item in by_subject[subject]), key=first_image)
        for name in ("training", "validation", "test", "rest")
    }


def _training_size(training: float | int | None, others: Sequence[float | int], number: int, left: int) -> int:
    """Return the number of training subjects, which may be more than the ``left`` ones; see :func:`split`.

    Args:
        training: as asked for.
        others: test and validation, as asked for.
        number: of all subjects.
        left: subjects outside test and validation.
    """
    if training is None:
        return left
    size = share(training, number, "training")
    asked = [training, *others]
    total = sum(part for part in asked if isinstance(part, float))
    if isinstance(training, int) or not number or total > 1 + _ROUNDING:
        return size
    only_shares = all(isinstance(part, float) or part == 0 for part in asked)
    # At least 1, so that a set that leaves nothing to train on is refused.
    return max(1, left if only_shares and total >= 1 - _ROUNDING else min(size, left))


def add_images(
    sections: Sections, also: Sequence[Item], layout: Layout, subjects: Subjects, include_test_images: bool
) -> dict[str, list[str]]:
    """Put images into ``unlabelled``, but for those of subjects in validation or test.

    Args:
        sections: items by section; changed in place.
        also: labelled cases whose images pretraining may see.
        layout: the folder's cases.
        subjects: the subject of each case.
        include_test_images: take the images of ``imagesTs``, too.

    Returns:
        What is left out: reason -> files.
    """
    held = {subjects.of(item) for name in ("validation", "test") for item in sections[name]}
    extra = [*layout.unlabelled, *(layout.test_images if include_test_images else [])]
    tested = [] if include_test_images else [first_image(item) for item in layout.test_images]
    others = [first_image(item) for item in extra if subjects.of(item) in held]
    images = [{"image": item["image"]} for item in (*extra, *also) if subjects.of(item) not in held]
    sections["unlabelled"] = sorted(images, key=first_image)
    return {reason: files for reason, files in ((TEST_IMAGES, tested), (HELD_SUBJECTS, others)) if files}


def stating_subjects(sections: Sections, subjects: Subjects) -> Sections:
    """Return sections whose items state their subject, where it has several volumes.

    If a reader of the list would find other subjects by names than ``subjects`` has, because it does not see what
    was left out, every item states its subject.
    """
    items = {first_image(item): item for section in sections.values() for item in section}
    own, read = ({i: s.of(item) for i, item in items.items()} for s in (subjects, Subjects(list(items.values()))))
    members = Counter(own.values())
    joint = set(zip(own.values(), read.values(), strict=True))
    everyone = not len(joint) == len(members) == len(set(read.values()))
    several = {subject for subject, count in members.items() if everyone or count > 1}
    return {
        name: [
            {**item, "subject": subjects.of(item)} if subjects.of(item) in several else item for item in section
        ]
        for name, section in sections.items()
    }


def _place_in_order(subject: str, items: Sequence[Item], pattern: str | None) -> str:
    """Return what subjects are sorted by before the draw, which must not change between versions."""
    if pattern is not None:
        return subject
    return min(patient_of(case_id(item["image"])) or path_of_case(item) for item in items)
