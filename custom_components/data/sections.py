"""Sections of a data list, and where they are read from: a list file, ``dataset.json``, a split, or the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from custom_components.atomic import read_json
from custom_components.data.descriptions import channel_names, label_names, listed_items
from custom_components.data.label_like import label_like_files
from custom_components.data.layouts import Layout, scan
from custom_components.data.leaks import SECTIONS, Sections
from custom_components.data.names import Item, case_id, files_of, first_image
from custom_components.data.subjects import Subjects

DATALIST_NAME = "datalist.json"
LOOKS_LIKE_LABELS = "images whose voxels look like a label map"


class Listing(NamedTuple):
    """The content of a data list.

    Attributes:
        sections: items by section, with paths as listed.
        source: path of the file or folder that was read.
        channels: names of the image's channels, in order; empty if not stated.
        labels: number in label files -> name; empty if not stated.
        subject_pattern: regular expression for the subject in a path; None: names decide.
        left_out: reason -> files of the folder that are in no section; empty for a list file.
        unmatched: an image and a label that do not fit by name, if the folder has labels but no labelled case.
    """

    sections: Sections
    source: str
    channels: list[str]
    labels: dict[int, str]
    subject_pattern: str | None = None
    left_out: Mapping[str, Sequence[str]] = {}
    unmatched: tuple[str, str] | None = None


def read_list(
    folder: Path,
    datalist: str | os.PathLike[str] | None = None,
    split: str | os.PathLike[str] | None = None,
    include_label_like: bool = False,
) -> Listing:
    """Read the list for ``folder``; see `custom_components.data.DataList` for the arguments.

    Raises:
        ValueError: if both ``datalist`` and ``split`` are given, a file is missing or damaged, or there is no
            image.
    """
    if datalist and split:
        raise ValueError(f"both datalist ({datalist}) and split ({split}) are given: give one of them")
    listed = _find_list(folder, datalist)
    description = read_json(listed) if listed else {}
    if listed and not split:
        return _listed(description, listed)
    layout = scan(folder, include_label_like)
    if not include_label_like:
        layout = without_label_like(layout, folder)
    pattern = _pattern(description, listed)
    sections, source = _sections_of(layout, folder, split)
    _offer_unlabelled(sections, [*layout.labelled, *layout.unlabelled], pattern)
    try:
        channels = channel_names(description) or list(layout.meta["channels"])
        labels = _numbered(label_names(description) or layout.meta["labels"])
    except ValueError as error:
        raise ValueError(f"{listed}: {error}") from None
    return Listing(sections, source, channels, labels, pattern, layout.left_out, layout.unmatched)


def without_label_like(layout: Layout, folder: Path, progress: bool = False) -> Layout:
    """Return a layout without the unlabelled images whose voxels look like a label map; they become left out.

    Args:
        layout: what `custom_components.data.layouts.scan` found.
        folder: the folder that paths are relative to.
        progress: show a bar on stderr.
    """
    there = [[str(folder / path) for path in files_of(item)] for item in layout.unlabelled]
    found = label_like_files([{"image": paths} for paths in there], progress)
    if not found:
        return layout
    kept: list[Item] = []
    left: list[str] = []
    for item, paths in zip(layout.unlabelled, there, strict=True):
        if found.keys() & set(paths):
            left.append(first_image(item))
        else:
            kept.append(item)
    return layout._replace(unlabelled=kept, left_out={**layout.left_out, LOOKS_LIKE_LABELS: left})


def _listed(description: Mapping[str, Any], path: Path) -> Listing:
    try:
        sections = _lists_in(description)
        channels, labels = channel_names(description), _numbered(label_names(description))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    pattern = _pattern(description, path)
    _offer_unlabelled(sections, sections.get("training", []), pattern)
    return Listing(sections, str(path), channels, labels, pattern)


def _pattern(description: Mapping[str, Any], path: Path | None) -> str | None:
    pattern = description.get("subject_pattern")
    if pattern is not None and not isinstance(pattern, str):
        raise ValueError(f"{path}: subject_pattern is {pattern!r}; allowed: a regular expression")
    return pattern


def _sections_of(layout: Layout, folder: Path, split: str | os.PathLike[str] | None) -> tuple[Sections, str]:
    """Return the sections of a folder without a list file, and their source."""
    if split:
        path = _find(split, folder)
        return _apply_split([*layout.labelled, *layout.unlabelled], path), str(path)
    if layout.labelled and (folder / "dataset.json").is_file():
        listed = set(layout.meta["validation"])
        sections = {
            "training": [item for item in layout.labelled if first_image(item) not in listed],
            "validation": [item for item in layout.labelled if first_image(item) in listed],
            "test": layout.test_images,
        }
        return {name: items for name, items in sections.items() if items}, str(folder / "dataset.json")
    return {}, str(folder)


def _numbered(names: Mapping[str, str]) -> dict[int, str]:
    return {int(number): str(name) for number, name in names.items() if str(number).isdigit()}


def _offer_unlabelled(sections: Sections, cases: Sequence[Item], pattern: str | None) -> None:
    """If ``unlabelled`` is not listed, set it to the images of ``cases``.

    Subjects of validation and test are left out. An image that is listed in both a held and another section is
    reported for those sections, not for this one.
    """
    if "unlabelled" in sections:
        return
    held_items = [item for name in ("validation", "test") for item in sections.get(name, [])]
    subjects = Subjects([*cases, *held_items], pattern)
    held = {subjects.of(item) for item in held_items}
    # A dictionary by image: an image listed twice is reported for the section that lists it, not for this one.
    images = {first_image(item): _unlabelled(item) for item in cases if subjects.of(item) not in held}
    sections["unlabelled"] = list(images.values())


def _unlabelled(item: Item) -> Item:
    return {key: item[key] for key in ("image", "subject") if key in item}


def _lists_in(content: Mapping[str, Any]) -> Sections:
    sections: Sections = {}
    for name, entries in content.items():
        # Other lists in the file, such as the channels, hold no items.
        if isinstance(entries, list) and (name in SECTIONS or all(isinstance(e, dict) for e in entries)):
            sections[name] = listed_items(entries, name)
    return sections


def _apply_split(cases: Sequence[Item], path: Path) -> Sections:
    by_id = {_split_id(item): item for item in cases}
    if len(by_id) < len(cases):
        raise ValueError(f"{path}: {len(cases) - len(by_id)} cases share a file name; a split needs distinct ones")
    sections: Sections = {}
    for name, ids in read_json(path).items():
        if not isinstance(ids, list):
            continue
        missing = [str(identifier) for identifier in ids if str(identifier) not in by_id]
        if missing:
            there = ", ".join(sorted(by_id)[:5])
            raise ValueError(
                f"{path}: section {name!r} names {len(missing)} cases that the folder lacks"
                f" ({', '.join(missing[:5])}); it has {len(by_id)}: {there}, ..."
            )
        sections[name] = [by_id[str(identifier)] for identifier in ids]
    return sections


def _split_id(item: Item) -> str:
    """Return a case's name in a split file; ``case`` for nnU-Net's ``case_0000`` with the label ``case``."""
    case = case_id(item["image"])
    label = case_id(item["label"]) if item.get("label") else case
    return label if case == f"{label}_0000" else case


def _find_list(folder: Path, datalist: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the list file: ``datalist``, else ``datalist.json`` in the folder, else None."""
    if datalist:
        return _find(datalist, folder)
    return folder / DATALIST_NAME if (folder / DATALIST_NAME).is_file() else None


def _find(path: str | os.PathLike[str], folder: Path) -> Path:
    """Return ``path`` in the current folder, else in the data folder."""
    for candidate in (Path(path), folder / path):
        if candidate.is_file():
            return candidate
    raise ValueError(f"{path} does not exist (looked in the current folder and in {folder})")
