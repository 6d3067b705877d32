"""Sections of a data list: where they are read from, the check for leaks, and the held-out validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from custom_components.atomic import read_json
from custom_components.data.layouts import (
    Item,
    Layout,
    case_id,
    channel_names,
    decathlon_item,
    first_image,
    label_names,
    scan,
)
from custom_components.number_checks import is_number

DATALIST_NAME = "datalist.json"
# The order in which volumes are numbered; other sections follow by name.
SECTIONS = ("unlabelled", "training", "validation", "test")
Sections = dict[str, list[Item]]


class Listing(NamedTuple):
    """The content of a data list.

    Attributes:
        sections: items by section, with paths as listed.
        source: path of the file or folder that was read.
        channels: names of the image's channels, in order; empty if not stated.
        labels: number in label files -> name; empty if not stated.
    """

    sections: Sections
    source: str
    channels: list[str]
    labels: dict[int, str]


def read_list(
    folder: Path,
    datalist: str | os.PathLike[str] | None = None,
    split: str | os.PathLike[str] | None = None,
) -> Listing:
    """Read the list for ``folder``; see :class:`custom_components.data.DataList` for the arguments.

    Raises:
        ValueError: if both ``datalist`` and ``split`` are given, a file is missing or damaged, or there is no
            image.
    """
    if datalist and split:
        raise ValueError(f"both datalist ({datalist}) and split ({split}) are given: give one of them")
    listed = _find_list(folder, datalist)
    description = read_json(listed) if listed else {}
    if listed and not split:
        sections = _lists_in(description, listed)
        _offer_unlabelled(sections, sections.get("training", []))
        return Listing(sections, str(listed), channel_names(description), _numbered(label_names(description)))
    layout = scan(folder)
    sections, source = _sections_of(layout, folder, split)
    _offer_unlabelled(sections, [*layout.labelled, *layout.unlabelled])
    channels = channel_names(description) or list(layout.meta["channels"])
    return Listing(sections, source, channels, _numbered(label_names(description) or layout.meta["labels"]))


def read_sections(folder: Path) -> tuple[Sections, str]:
    """Return the sections of the list for ``folder`` and its source, see :func:`read_list`."""
    return read_list(folder)[:2]


def _sections_of(layout: Layout, folder: Path, split: str | os.PathLike[str] | None) -> tuple[Sections, str]:
    """Return the sections of a folder without a list file, and their source."""
    if split:
        path = _find(split, folder)
        return _apply_split([*layout.labelled, *layout.unlabelled], path), str(path)
    if layout.labelled and (folder / "dataset.json").is_file():
        test = {"test": layout.test_images} if layout.test_images else {}
        return {"training": layout.labelled, **test}, str(folder / "dataset.json")
    return {}, str(folder)


def _numbered(names: Mapping[str, str]) -> dict[int, str]:
    return {int(number): str(name) for number, name in names.items() if str(number).isdigit()}


def check_no_leak(sections: Mapping[str, Sequence[Item]], source: str = "the data list") -> None:
    """Raise if a case is in two sections, or twice in one.

    Images of ``training`` may also be ``unlabelled``, because pretraining on them leaks nothing. Images of
    ``validation`` and ``test`` may not. A case is identified by the path of its (first) image.

    Raises:
        ValueError: naming the case and both sections.
    """
    seen: dict[str, str] = {}
    for name in ordered(sections):
        for item in sections[name]:
            image = first_image(item)
            before = seen.get(image)
            if before is not None and (before, name) != ("unlabelled", "training"):
                where = f"twice in section {name!r}" if before == name else f"in sections {before!r} and {name!r}"
                raise ValueError(f"{source}: {image} is {where}; a case belongs to one section")
            seen[image] = name


def ordered(sections: Mapping[str, Sequence[Item]]) -> list[str]:
    """Return the sections' names in the order in which volumes are numbered."""
    known = [name for name in SECTIONS if name in sections]
    return known + sorted(set(sections) - set(SECTIONS))


def hold_out(sections: Sections, holdout: float | int, seed: int, source: str) -> None:
    """Move the held-out share of ``unlabelled`` into ``validation``, unless the list has a validation."""
    if sections.get("validation") or not sections.get("unlabelled"):
        return
    items = sorted(sections["unlabelled"], key=first_image)
    count = share(holdout, len(items), "holdout")
    if count >= len(items):
        raise ValueError(f"holdout={holdout} leaves none of the {len(items)} unlabelled images of {source}")
    chosen = set(np.random.RandomState(seed).permutation(len(items))[:count].tolist())
    held = {first_image(items[k]) for k in chosen}
    sections["validation"] = [item for k, item in enumerate(items) if k in chosen]
    # A held-out image may be a training case too. It then leaves training, or training would see validation
    # images.
    for name in ("unlabelled", "training"):
        if name in sections:
            sections[name] = [item for item in sections[name] if first_image(item) not in held]


def share(wanted: float | int | None, of: int, name: str) -> int:
    """Return a share (float in [0, 1]) or number (int) of ``of`` cases as a number; 0 for None.

    A share above 0 gives at least one case; the rounding is Python's ``round``.

    Raises:
        ValueError: outside these ranges, naming the argument.
    """
    if wanted is None:
        return 0
    if not is_number(wanted) or wanted < 0:
        raise ValueError(f"{name} is {wanted!r}; allowed: a share in [0, 1] or a number of cases")
    if isinstance(wanted, int):
        if wanted > of:
            raise ValueError(f"{name} asks for {wanted} cases, there are {of}")
        return wanted
    if wanted > 1:
        raise ValueError(
            f"{name} is {wanted!r}; a share lies in [0, 1], a number of cases is written without a dot"
        )
    return max(1, round(wanted * of)) if wanted > 0 and of else 0


def _offer_unlabelled(sections: Sections, cases: Sequence[Item]) -> None:
    """If ``unlabelled`` is not listed, set it to the images of ``cases`` without those of validation and test."""
    held = {first_image(item) for name in ("validation", "test") for item in sections.get(name, [])}
    # A dictionary by image: an image listed twice is reported for the section that lists it, not for this one.
    images = {first_image(item): {"image": item["image"]} for item in cases if first_image(item) not in held}
    sections.setdefault("unlabelled", list(images.values()))


def _lists_in(content: Mapping[str, Any], path: Path) -> Sections:
    sections: Sections = {}
    for name, entries in content.items():
        # Other lists in the file, such as the channels, hold no items.
        if not isinstance(entries, list) or (
            name not in SECTIONS and not all(isinstance(e, dict) for e in entries)
        ):
            continue
        sections[name] = [decathlon_item(entry) for entry in entries]
        for item in sections[name]:
            if not item.get("image"):
                raise ValueError(f"{path}: an item of section {name!r} has no 'image': {item}")
    return sections


def _apply_split(cases: Sequence[Item], path: Path) -> Sections:
    by_id = {case_id(item["image"]): item for item in cases}
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
