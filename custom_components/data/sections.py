"""The sections of a data list: where they are read from, how they are kept apart, how one is drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from custom_components.data.layouts import Item, case_id, decathlon_item, first_image, read_json, scan

DATALIST_NAME = "datalist.json"
# The order in which volumes are numbered; other sections follow by name.
SECTIONS = ("unlabelled", "training", "validation", "test")
Sections = dict[str, list[Item]]


def read_sections(
    folder: Path,
    datalist: str | os.PathLike[str] | None = None,
    split: str | os.PathLike[str] | None = None,
) -> tuple[Sections, str]:
    """All sections of the list for ``folder``, paths as listed, and the name of where they were read.

    Raises:
        ValueError: see :func:`load_datalist`.
    """
    if datalist and split:
        raise ValueError(f"both datalist ({datalist}) and split ({split}) are given: give one of them")
    listed = None if split else find_list(folder, datalist)
    if listed:
        sections = _lists_in(read_json(listed), listed)
        _offer_unlabelled(sections, sections.get("training", []))
        return sections, str(listed)
    layout = scan(folder)
    cases = [*layout.labelled, *layout.unlabelled]
    if split:
        path = _find(split, folder)
        sections, source = _apply_split(cases, path), str(path)
    elif layout.labelled and (folder / "dataset.json").is_file():
        sections, source = {"training": layout.labelled}, str(folder / "dataset.json")
        if layout.test_images:
            sections["test"] = layout.test_images
    else:
        sections, source = {}, str(folder)
    _offer_unlabelled(sections, cases)
    return sections, source


def check_no_leak(sections: Mapping[str, Sequence[Item]], source: str = "the data list") -> None:
    """Refuse a list in which a case is in two sections, or twice in one.

    Images of ``training`` may also be ``unlabelled``: pretraining on them gives nothing away. Those of
    ``validation`` and ``test`` may not. Cases are told apart by the path of their (first) image.

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
    """The sections' names in the order in which volumes are numbered."""
    known = [name for name in SECTIONS if name in sections]
    return known + sorted(set(sections) - set(SECTIONS))


def hold_out(sections: Sections, holdout: float | int, seed: int, source: str) -> None:
    """Move the held-out share of ``unlabelled`` into ``validation``, unless the list names a validation."""
    if sections.get("validation") or not sections.get("unlabelled"):
        return
    items = sorted(sections["unlabelled"], key=first_image)
    count = share(holdout, len(items), "holdout")
    if count >= len(items):
        raise ValueError(f"holdout={holdout} leaves none of the {len(items)} unlabelled images of {source}")
    chosen = set(np.random.RandomState(seed).permutation(len(items))[:count].tolist())
    held = {first_image(items[k]) for k in chosen}
    sections["validation"] = [item for k, item in enumerate(items) if k in chosen]
    # A held-out image may be a training case too: it then leaves training, or validation would know it.
    for name in ("unlabelled", "training"):
        if name in sections:
            sections[name] = [item for item in sections[name] if first_image(item) not in held]


def share(wanted: float | int | None, of: int, name: str) -> int:
    """A share (float in [0, 1]) or number (int) of ``of`` cases as a number; None means none.

    A share above 0 is at least one case; the rounding is Python's ``round``.

    Raises:
        ValueError: outside these ranges, naming the argument.
    """
    if wanted is None:
        return 0
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or wanted < 0:
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
    """Where ``unlabelled`` is not listed, it is the images of ``cases`` but those of validation and test."""
    held = {first_image(item) for name in ("validation", "test") for item in sections.get(name, [])}
    # By image: one that is listed twice is reported where it is listed.
    images = {first_image(item): {"image": item["image"]} for item in cases if first_image(item) not in held}
    sections.setdefault("unlabelled", list(images.values()))


def _lists_in(content: Mapping[str, Any], path: Path) -> Sections:
    sections: Sections = {}
    for name, entries in content.items():
        # Other lists in the file (channels) hold no items.
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


def find_list(folder: Path, datalist: str | os.PathLike[str] | None = None) -> Path | None:
    """The list file: ``datalist``, else ``datalist.json`` in the folder, else None.

    Raises:
        ValueError: if ``datalist`` is not there.
    """
    if datalist:
        return _find(datalist, folder)
    return folder / DATALIST_NAME if (folder / DATALIST_NAME).is_file() else None


def _find(path: str | os.PathLike[str], folder: Path) -> Path:
    """``path`` from the current folder, else from the data folder."""
    for candidate in (Path(path), folder / path):
        if candidate.is_file():
            return candidate
    raise ValueError(f"{path} does not exist (looked in the current folder and in {folder})")
