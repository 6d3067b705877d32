"""Writes the data list of a folder of NIfTI files: a seeded split by subject, with relative paths."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from custom_components.atomic import read_json, write_text
from custom_components.data.brats import patient_of
from custom_components.data.descriptions import IGNORE, regions_of
from custom_components.data.layouts import Item, Layout, case_id, existing_folder, first_image, scan
from custom_components.data.leaks import Sections, check_no_leak, share
from custom_components.data.pairs import PER_CLASS
from custom_components.data.sections import DATALIST_NAME, LOOKS_LIKE_LABELS, without_label_like
from custom_components.data.subjects import Subjects, path_of_case

UNLABELLED = ("rest", "training+rest")
TEST_IMAGES = "test images (imagesTs)"
HELD_SUBJECTS = "other volumes of subjects in validation or test"
_EXAMPLES = 5  # files that a list names for each reason
_ADVICE = {
    PER_CLASS: ". For one label map per case, number the classes 1, 2, ... and write the sum of number x mask as"
    " label.nii.gz beside the image",
    LOOKS_LIKE_LABELS: " (--include_label_like keeps them)",
}


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
    include_label_like: bool = False,
    images_only: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write ``datalist.json`` for a decathlon task, BraTS cases, nnU-Net data, images beside labels, or images.

    The labelled subjects are sorted by name and shuffled by ``seed``. The first ones become ``test``, the next
    ``validation``, the next ``training``. So fewer training cases are a part of more, and both are evaluated on
    the same cases. Images without a label are ``unlabelled``, but for those of subjects in validation or test.

    What the folder holds and the list does not is printed, and stored under ``left_out``: reason -> number of
    files and the first ones. A case whose subject has several volumes states it under ``subject``.

    Args:
        dataset_dir: the folder; see :func:`custom_components.data.layouts.scan` for what is recognised.
        out: file to write; default ``datalist.json`` in the folder.
        training: share (float in [0, 1]) or number (int) of labelled subjects; None: all that remain. A share
            above 0 is at least one subject.
        validation: the same.
        test: the same.
        seed: seed of the split.
        labels: class names in the order of their numbers, background first, or number -> name; None: those of
            ``dataset.json``.
        channels: channel names in order; None: those of ``dataset.json``, or of BraTS.
        unlabelled: which labelled cases also go to ``unlabelled`` with their images: ``"rest"`` (those in no
            section) or ``"training+rest"``. Cases of validation and test never do.
        subject_pattern: regular expression that is searched in the case's relative path; its first group is the
            subject, whose cases stay together. None: names decide, see `custom_components.data.subjects`.
        include_test_images: list ``imagesTs`` as unlabelled. Pretraining on them would spoil a challenge's test.
        include_label_like: keep files among the images whose names or voxels look like label maps.
        images_only: list images alone, although labels lie beside them.
        overwrite: replace an existing list with other content.

    Returns:
        The path of the list.

    Raises:
        ValueError: for a missing or empty folder, labels of which none fits an image, sizes that do not fit, an
            unknown option, a pattern that does not match, and an existing list with other content.
    """
    if unlabelled not in UNLABELLED:
        raise ValueError(f"unlabelled is {unlabelled!r}; allowed: {', '.join(UNLABELLED)}")
    folder = existing_folder(dataset_dir)
    layout = scan(folder, include_label_like)
    if layout.unmatched and not (layout.labelled or images_only):
        raise ValueError(_unmatched(folder, layout))
    if images_only:
        bare = [{"image": item["image"]} for item in layout.labelled]
        layout = layout._replace(labelled=[], unlabelled=sorted([*layout.unlabelled, *bare], key=first_image))
    if not include_label_like:
        layout = without_label_like(layout, folder, progress=True)
    subjects = Subjects([*layout.labelled, *layout.unlabelled, *layout.test_images], subject_pattern)
    sections = _split(layout.labelled, training, validation, test, seed, subjects, subject_pattern)
    left_out = dict(layout.left_out)
    rest = sections.pop("rest")
    sections = {
        "unlabelled": [*rest, *(sections["training"] if unlabelled == "training+rest" else [])],
        **sections,
    }
    _add_images(sections, layout, subjects, left_out, include_test_images)
    check_no_leak(sections, str(folder), folder, subject_pattern)
    path = Path(out) if out is not None else folder / DATALIST_NAME
    content = {
        "name": layout.meta["name"],
        "seed": seed,
        "channels": list(channels if channels is not None else layout.meta["channels"]),
        "labels": _numbered(labels) if labels is not None else layout.meta["labels"],
        **({"subject_pattern": subject_pattern} if subject_pattern is not None else {}),
        **_stating_subjects(sections, subjects if subject_pattern is None else None),
        **({"left_out": _counted(left_out)} if left_out else {}),
    }
    _write(path, json.dumps(content, indent=1) + "\n", overwrite)
    _report(path, sections, subjects, folder, left_out)
    return path


def _unmatched(folder: Path, layout: Layout) -> str:
    image, label = layout.unmatched or ("", "")
    return (
        f"{folder} has labels, but none fits an image by its name: an image is {image}, a label is {label}."
        " Give a label the name of its image, or list the images alone with --images_only"
    )


def _add_images(
    sections: Sections, layout: Layout, subjects: Subjects, left_out: dict[str, list[str]], include_test: bool
) -> None:
    """Add images without a label to ``unlabelled``, but for subjects that are held; say what is left out."""
    held = {subjects.of(item) for name in ("validation", "test") for item in sections[name]}
    if layout.test_images and not include_test:
        left_out[TEST_IMAGES] = [first_image(item) for item in layout.test_images]
    extra = [*layout.unlabelled, *(layout.test_images if include_test else [])]
    if others := [first_image(item) for item in extra if subjects.of(item) in held]:
        left_out[HELD_SUBJECTS] = others
    extra += sections["unlabelled"]
    images = [{"image": item["image"]} for item in extra if subjects.of(item) not in held]
    sections["unlabelled"] = sorted(images, key=first_image)


def _stating_subjects(sections: Sections, subjects: Subjects | None) -> Sections:
    """Return sections whose items state a subject that has several volumes; unchanged without ``subjects``."""
    if subjects is None:
        return sections
    members: dict[str, set[str]] = {}
    for items in sections.values():
        for item in items:
            members.setdefault(subjects.of(item), set()).add(first_image(item))
    several = {subject for subject, images in members.items() if len(images) > 1}
    return {
        name: [
            {**item, "subject": subject} if (subject := subjects.of(item)) in several else item for item in items
        ]
        for name, items in sections.items()
    }


def _numbered(labels: Sequence[str] | dict[str, str]) -> dict[str, str]:
    return labels if isinstance(labels, dict) else {str(number): name for number, name in enumerate(labels)}


def _counted(left_out: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a list stores; a dictionary, because a list would be read as a section."""
    return {reason: {"files": len(files), "first": list(files[:_EXAMPLES])} for reason, files in left_out.items()}


def _report(
    path: Path, sections: Sections, subjects: Subjects, folder: Path, left_out: Mapping[str, Sequence[str]]
) -> None:
    """Print the sizes of the sections, what was left out and why, and what was done with nnU-Net's regions."""
    print(f"{path}: " + ", ".join(f"{len(items)} {name}" for name, items in sections.items()))
    cases = {first_image(item): item for items in sections.values() for item in items}
    if (count := len(subjects.group(cases.values()))) < len(cases):
        print(
            f"{len(cases)} cases are of {count} subject{'s'[: count - 1]}; the volumes of a subject stay together"
        )
    for reason, files in left_out.items():
        print(f"left out {len(files)} {reason}, first {files[0]}{_ADVICE.get(reason, '')}")
    description = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    for name, values in regions_of(description).items():
        print(f"dataset.json: {name} is the region of the label values {', '.join(map(str, values))}")
    if regions_of(description):
        print("labels: each value is named by the smallest region that holds it; a config's regions join values")
    if IGNORE in (description.get("labels") or {}):
        print(f"dataset.json: the label {IGNORE!r} is listed as a class; the losses here do not ignore it")


def _split(
    cases: Sequence[Item],
    training: float | int | None,
    validation: float | int,
    test: float | int,
    seed: int,
    subjects: Subjects,
    pattern: str | None,
) -> Sections:
    by_subject = subjects.group(cases)
    names = sorted(by_subject, key=lambda subject: _place_in_order(subject, by_subject[subject], pattern))
    number = len(names)
    # Without labelled cases every section is empty, and the default shares ask for none.
    sizes = {name: share(size, number, name) for name, size in (("test", test), ("validation", validation))}
    left = number - sizes["test"] - sizes["validation"]
    sizes["training"] = left if training is None else share(training, number, "training")
    if min(left - sizes["training"], left) < 0:
        asked = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"the split asks for {asked}; there are {number} labelled subjects")
    order = iter(np.random.RandomState(seed).permutation(number))
    drawn = {name: [names[next(order)] for _ in range(size)] for name, size in sizes.items()}
    drawn["rest"] = [names[k] for k in order]
    return {
        name: sorted((item for subject in drawn[name] for item in by_subject[subject]), key=first_image)
        for name in ("training", "validation", "test", "rest")
    }


def _place_in_order(subject: str, items: Sequence[Item], pattern: str | None) -> str:
    """Return what subjects are sorted by before the draw, which must not change between versions."""
    if pattern is not None:
        return subject
    return min(patient_of(case_id(item["image"])) or path_of_case(item) for item in items)


def _write(path: Path, text: str, overwrite: bool) -> None:
    """Write the list; raise ValueError if a list with other content exists and may not be replaced."""
    if path.is_file() and not overwrite:
        if path.read_text(encoding="utf-8") == text:
            return
        raise ValueError(f"{path} exists and lists something else; --overwrite replaces it")
    write_text(path, text)
