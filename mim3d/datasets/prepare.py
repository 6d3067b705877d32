"""Writes the data list of a folder of NIfTI files: a seeded split by subject, with relative paths."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from custom_components.atomic import write_text
from custom_components.data.brats import patient_of
from custom_components.data.layouts import Item, case_id, existing_folder, first_image, scan
from custom_components.data.sections import DATALIST_NAME, Sections, check_no_leak, share

UNLABELLED = ("rest", "training+rest")


def prepare_datalist(
    dataset_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    training: float | int | None = None,
    validation: float | int = 0.2,
    test: float | int = 0,
    seed: int = 0,
    labels: Sequence[str] | dict[str, str] | None = None,
    channels: Sequence[str] | None = None,
    unlabelled: str = "training+rest",
    subject_pattern: str | None = None,
    include_test_images: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write ``datalist.json`` for a decathlon task, BraTS cases, images beside labels, or images alone.

    The labelled subjects are sorted by name and shuffled by ``seed``. The first ones become ``test``, the next
    ``validation``, the next ``training``. So fewer training cases are a part of more, and both are evaluated on
    the same cases. Images without a label are always ``unlabelled``.

    Args:
        dataset_dir: the folder; see :func:`custom_components.data.layouts.scan` for what is recognised.
        out: file to write; default ``datalist.json`` in the folder.
        training: share (float in [0, 1]) or number (int) of labelled subjects; None: all that remain. A share
        above
            0 is at least one subject.
        validation: the same.
        test: the same.
        seed: seed of the split.
        labels: class names in the order of their numbers, background first, or number -> name; None: those of
            ``dataset.json``.
        channels: channel names in order; None: those of ``dataset.json``, or of BraTS.
        unlabelled: which labelled cases also go to ``unlabelled`` with their images: ``"rest"`` (those in no
            section) or ``"training+rest"``. Cases of validation and test never do.
        subject_pattern: regular expression that is searched in the case's relative path; its first group is the
            subject, whose cases stay together. None: every case is a subject, except that names of BraTS since
            2023 (``BraTS-GLI-00000-001``) name the patient.
        include_test_images: list a decathlon's ``imagesTs``, which has no labels, as unlabelled. Pretraining on
        them
            would spoil the challenge's test.
        overwrite: replace an existing list with other content.

    Returns:
        The path of the list.

    Raises:
        ValueError: for a missing or empty folder, sizes that do not fit, an unknown option, a pattern that does
        not
            match, and an existing list with other content.
    """
    if unlabelled not in UNLABELLED:
        raise ValueError(f"unlabelled is {unlabelled!r}; allowed: {', '.join(UNLABELLED)}")
    folder = existing_folder(dataset_dir)
    layout = scan(folder)
    sections = _split(layout.labelled, training, validation, test, seed, subject_pattern)
    rest = sections.pop("rest")
    pretraining = [*rest, *(sections["training"] if unlabelled == "training+rest" else [])]
    extra = [*layout.unlabelled, *(layout.test_images if include_test_images else [])]
    images = [{"image": item["image"]} for item in [*extra, *pretraining]]
    sections = {"unlabelled": sorted(images, key=first_image), **sections}
    check_no_leak(sections, str(folder))
    if labels is not None and not isinstance(labels, dict):
        labels = {str(number): name for number, name in enumerate(labels)}
    content = {
        "name": layout.meta["name"],
        "seed": seed,
        "channels": list(channels if channels is not None else layout.meta["channels"]),
        "labels": layout.meta["labels"] if labels is None else labels,
        **sections,
    }
    path = Path(out) if out is not None else folder / DATALIST_NAME
    _write(path, json.dumps(content, indent=1) + "\n", overwrite)
    print(f"{path}: " + ", ".join(f"{len(items)} {name}" for name, items in sections.items()))
    return path


def subject_id(item: Item, pattern: str | None) -> str:
    """Return the subject of a case.

    With a pattern it is the first group in the path of the (first) image. Without one it is the patient in a BraTS
    name, or else the path without its suffix.

    Raises:
        ValueError: if the pattern does not match, or has no group.
    """
    image = first_image(item)
    if pattern is None:
        return patient_of(case_id(item["image"])) or f"{Path(image).parent.as_posix()}/{case_id(image)}"
    match = re.search(pattern, image)
    if match is None or not match.groups():
        found = "does not match" if match is None else "has no group in"
        raise ValueError(f"subject_pattern {pattern!r} {found} {image}")
    return match.group(1)


def _split(
    cases: Sequence[Item],
    training: float | int | None,
    validation: float | int,
    test: float | int,
    seed: int,
    pattern: str | None,
) -> Sections:
    by_subject: dict[str, list[Item]] = {}
    for item in cases:
        by_subject.setdefault(subject_id(item, pattern), []).append(item)
    subjects = sorted(by_subject)
    number = len(subjects)
    # Without labelled cases every section is empty, and the default shares ask for none.
    sizes = {name: share(size, number, name) for name, size in (("test", test), ("validation", validation))}
    left = number - sizes["test"] - sizes["validation"]
    sizes["training"] = left if training is None else share(training, number, "training")
    if min(left - sizes["training"], left) < 0:
        asked = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"the split asks for {asked}; there are {number} labelled subjects")
    order = iter(np.random.RandomState(seed).permutation(number))
    drawn = {name: [subjects[next(order)] for _ in range(size)] for name, size in sizes.items()}
    drawn["rest"] = [subjects[k] for k in order]
    return {
        name: sorted((item for subject in drawn[name] for item in by_subject[subject]), key=first_image)
        for name in ("training", "validation", "test", "rest")
    }


def _write(path: Path, text: str, overwrite: bool) -> None:
    """Write the list; raise ValueError if a list with other content exists and may not be replaced."""
    if path.is_file() and not overwrite:
        if path.read_text(encoding="utf-8") == text:
            return
        raise ValueError(f"{path} exists and lists something else; --overwrite replaces it")
    write_text(path, text)
