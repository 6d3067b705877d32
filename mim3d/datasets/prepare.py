"""Writes the data list of a folder of NIfTI files: a seeded split by subject, with relative paths."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_components.atomic import write_text
from custom_components.data.layouts import Layout, scan
from custom_components.data.leaks import check_no_leak
from custom_components.data.names import Item, files_of, first_image
from custom_components.data.sections import DATALIST_NAME, without_label_like
from custom_components.data.subjects import Subjects
from custom_components.data.walk import existing_folder, why_lost
from mim3d.datasets.report import counted, report
from mim3d.datasets.sequences import join_sequences as joined
from mim3d.datasets.split import Fold, add_images, split, stating_subjects

UNLABELLED = ("rest", "training+rest")
#: Share of the labelled subjects that are validated, if nothing is asked for.
VALIDATION = 0.2
MISSING = "files that are missing or links to nothing (is the download complete?)"


def prepare_folds(
    dataset_dir: str | os.PathLike[str], folds: int, out: str | os.PathLike[str] | None = None, **options: Any
) -> list[Path]:
    """Write one list for each fold of a cross-validation: ``datalist_fold0.json`` and so on.

    Test is the same in each list, and each other subject is validated in exactly one of them.

    Args:
        dataset_dir: the folder.
        folds: number of folds, at least 2.
        out: name of the lists, to which ``_fold0`` and so on are added; default ``datalist.json`` in the folder.
        **options: those of :func:`prepare_datalist`, but ``validation``.

    Returns:
        The paths of the lists.

    Raises:
        ValueError: as :func:`prepare_datalist`; also for more folds than subjects.
    """
    path = Path(out) if out is not None else Path(dataset_dir) / DATALIST_NAME
    return [
        prepare_datalist(
            dataset_dir, path.with_stem(f"{path.stem}_fold{number}"), fold=Fold(number, folds), **options
        )
        for number in range(folds)
    ]


def prepare_datalist(
    dataset_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    training: float | int | None = None,
    validation: float | int = VALIDATION,
    test: float | int = 0,
    seed: int = 0,
    labels: Sequence[str] | dict[str, str] | None = None,
    channels: Sequence[str] | None = None,
    unlabelled: str = "training+rest",
    subject_pattern: str | None = None,
    include_test_images: bool = False,
    include_label_like: bool = False,
    images_only: bool = False,
    join_sequences: bool = False,
    overwrite: bool = False,
    fold: Fold | None = None,
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
        join_sequences: make one case with several channels of files that differ in their sequence only, see
            :func:`mim3d.datasets.sequences.join_sequences`.
        overwrite: replace an existing list with other content.
        fold: the fold of a cross-validation that becomes ``validation``; see :func:`prepare_folds`.

    Returns:
        The path of the list.

    Raises:
        ValueError: for a missing or empty folder, labels of which none fits an image, sizes that do not fit, an
            unknown option, a pattern that does not match, and an existing list with other content.
    """
    if unlabelled not in UNLABELLED:
        raise ValueError(f"unlabelled is {unlabelled!r}; allowed: {', '.join(UNLABELLED)}")
    folder = existing_folder(dataset_dir)
    layout = _layout(folder, include_label_like, images_only)
    layout = joined(layout, folder) if join_sequences else layout
    subjects = Subjects([*layout.labelled, *layout.unlabelled, *layout.test_images], subject_pattern)
    left_out = dict(layout.left_out)
    drawn = split(layout.labelled, training, validation, test, seed, subjects, subject_pattern, fold)
    rest = drawn.pop("rest")
    sections = {"unlabelled": [], **drawn}
    also = [*rest, *(sections["training"] if unlabelled == "training+rest" else [])]
    left_out |= add_images(sections, also, layout, subjects, include_test_images)
    if subject_pattern is None:
        sections = stating_subjects(sections, subjects)
    check_no_leak(sections, str(folder), folder, subject_pattern)
    path = Path(out) if out is not None else folder / DATALIST_NAME
    content = {
        "name": layout.meta["name"],
        "seed": seed,
        **({} if fold is None else fold._asdict()),
        "channels": list(channels if channels is not None else layout.meta["channels"]),
        "labels": _numbered(labels) if labels is not None else layout.meta["labels"],
        **({"subject_pattern": subject_pattern} if subject_pattern is not None else {}),
        **sections,
        **({"left_out": counted(left_out)} if left_out else {}),
    }
    _write(path, json.dumps(content, indent=1) + "\n", overwrite)
    report(path, sections, subjects, folder, left_out, len(layout.labelled))
    return path


def _layout(folder: Path, include_label_like: bool, images_only: bool) -> Layout:
    layout = _without_missing(scan(folder, include_label_like), folder)
    if layout.unmatched and not (layout.labelled or images_only):
        image, label = layout.unmatched
        raise ValueError(
            f"{folder} has labels, but none fits an image by its name: an image is {image}, a label is {label}."
            " Give a label the name of its image, or list the images alone with --images_only"
        )
    if images_only:
        bare = [{"image": item["image"]} for item in layout.labelled]
        layout = layout._replace(labelled=[], unlabelled=sorted([*layout.unlabelled, *bare], key=first_image))
    return layout if include_label_like else without_label_like(layout, folder, progress=True)


def _without_missing(layout: Layout, folder: Path) -> Layout:
    """Return a layout without cases that lack a file: ``dataset.json`` lists it, or it is a link to nothing."""

    def lost(item: Item) -> list[str]:
        return [file for key in ("image", "label") for file in files_of(item, key) if why_lost(folder / file)]

    groups = (layout.labelled, layout.unlabelled, layout.test_images)
    missing = [file for items in groups for item in items for file in lost(item)]
    if not missing:
        return layout
    labelled, unlabelled, test_images = ([item for item in items if not lost(item)] for items in groups)
    if not (labelled or unlabelled or test_images):
        raise ValueError(
            f"{folder}: all {sum(map(len, groups))} cases lack a file, the first is {missing[0]}; is the download"
            " complete and unpacked?"
        )
    left_out = {**layout.left_out, MISSING: missing}
    return layout._replace(labelled=labelled, unlabelled=unlabelled, test_images=test_images, left_out=left_out)


def _numbered(labels: Sequence[str] | dict[str, str]) -> dict[str, str]:
    return labels if isinstance(labels, dict) else {str(number): name for number, name in enumerate(labels)}


def _write(path: Path, text: str, overwrite: bool) -> None:
    """Write the list; raise ValueError if a list with other content exists and may not be replaced."""
    if path.is_file() and not overwrite:
        if path.read_text(encoding="utf-8") == text:
            return
        raise ValueError(f"{path} exists and lists something else; --overwrite replaces it")
    write_text(path, text)
