"""Data lists: which image belongs to which section, and the function by which the configs read them.

A list is a JSON file (default name ``datalist.json``, in the data folder)::

    {"name": "...", "seed": 0, "channels": ["CT"], "labels": {"0": "background", "1": "spleen"},
     "unlabelled": [{"image": "rel/path.nii.gz"}],
     "training": [{"image": "...", "label": "..."}], "validation": [...], "test": [...]}

Paths are relative to the data folder. ``image`` may be a list of files, one per channel.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from custom_components.data.layouts import (
    Item,
    channel_names,
    existing_folder,
    first_image,
    label_names,
    read_json,
    scan,
)
from custom_components.data.sections import Sections, check_no_leak, find_list, hold_out, ordered, read_sections


def load_datalist(
    dataset_dir: str | os.PathLike[str],
    section: str | Sequence[str],
    datalist: str | os.PathLike[str] | None = None,
    split: str | os.PathLike[str] | None = None,
    require_label: bool | None = None,
    holdout: float | int = 0,
    seed: int = 0,
    allow_missing: bool = False,
) -> list[Item]:
    """The items of one section, or of several, with absolute paths and a ``volume_id``.

    The list comes from the first of these: ``datalist``; ``split`` applied to the folder's cases;
    ``datalist.json`` in the folder; ``dataset.json`` of a decathlon task (``training``, ``test``); the folder
    itself. Where ``unlabelled`` is not named, it is the images of a list file's ``training``, and else of every
    case found in the folder (with a ``dataset.json``: its ``training``; never ``imagesTs``); those of
    ``validation`` and ``test`` are left out in any case.

    Args:
        dataset_dir: folder that the list's paths are relative to.
        section: a section's name, or several; an image in two of them comes once.
        datalist: path of a list file; relative to the current folder, or else to ``dataset_dir``.
        split: path of a JSON file ``{"training": [case ids], "validation": [case ids], ...}``. A case id is
            an image's file name without ``.nii``/``.nii.gz``; of several files, what their names share.
        require_label: True: an item without a label raises; False: labels are dropped (pretraining);
            None: items are returned as they are listed.
        holdout: where the list has no ``validation``, this share (float in [0, 1)) or number (int) of
            ``unlabelled`` becomes it: drawn with ``seed`` from the sorted images, and no longer unlabelled.
        seed: seed of ``holdout``.
        allow_missing: an empty ``dataset_dir`` gives an empty list (a bundle must build without data).

    Returns:
        Dictionaries with ``image`` (absolute path, or list of them), ``label`` where there is one, further
        keys as listed, and ``volume_id``: an integer, the image's place in the whole list (all sections in a
        fixed order), hence unique, and the same in every run, on every rank, for every section asked for.

    Raises:
        ValueError: for a missing folder or file, an empty folder, an unknown or empty section, a missing
            label, and a case that is in two sections.
    """
    if not str(dataset_dir) and allow_missing:
        return []
    folder = existing_folder(dataset_dir)
    sections, source = read_sections(folder, datalist, split)
    if holdout:
        hold_out(sections, holdout, seed, source)
    check_no_leak(sections, source)
    numbers = _volume_ids(sections)
    wanted = [section] if isinstance(section, str) else list(section)
    items: dict[int, Item] = {}
    for name in wanted:
        if not sections.get(name):
            there = {key: len(value) for key, value in sections.items() if value}
            raise ValueError(
                f"{source} has no cases in section {name!r}; found {there} (`python -m custom_components datalist"
                f" {folder} --overwrite` writes a list with training, validation and test)"
            )
        for item in sections[name]:
            items.setdefault(numbers[first_image(item)], item)
    return [_finish(item, folder, number, require_label, source) for number, item in items.items()]


def listed_channels(
    dataset_dir: str | os.PathLike[str], datalist: str | os.PathLike[str] | None = None
) -> list[str]:
    """The names of the image's channels, in order, as the list says that :func:`load_datalist` reads.

    Args:
        dataset_dir: the data folder; empty: nothing is known.
        datalist: path of a list file, as in :func:`load_datalist`.

    Returns:
        Names, e.g. ``["FLAIR", "T1", "T1ce", "T2"]``; empty where the list (or, without one, ``dataset.json`` or
        the folder's layout) does not say.

    Raises:
        ValueError: for a missing folder or file.
    """
    if not str(dataset_dir):
        return []
    folder = existing_folder(dataset_dir)
    path = find_list(folder, datalist)
    return channel_names(read_json(path)) if path else list(scan(folder).meta["channels"])


def listed_labels(
    dataset_dir: str | os.PathLike[str], datalist: str | os.PathLike[str] | None = None
) -> dict[int, str]:
    """What the label files' numbers mean, as the list says that :func:`load_datalist` reads.

    Args:
        dataset_dir: the data folder; empty: nothing is known.
        datalist: path of a list file, as in :func:`load_datalist`.

    Returns:
        Number -> name; empty where the list (or, without one, ``dataset.json``) does not say.

    Raises:
        ValueError: for a missing folder or file.
    """
    if not str(dataset_dir):
        return {}
    folder = existing_folder(dataset_dir)
    path = find_list(folder, datalist)
    names = label_names(read_json(path)) if path else scan(folder).meta["labels"]
    return {int(number): str(name) for number, name in names.items() if str(number).isdigit()}


def datalist_hash(items: Iterable[Item], dataset_dir: str | os.PathLike[str] = "") -> str:
    """Sha256 over the sorted names of images and labels, for a weights card.

    Args:
        items: dictionaries with ``image`` and perhaps ``label``.
        dataset_dir: folder the names are taken relative to, so that the hash is the same wherever it lies.

    Returns:
        64 hexadecimal digits.
    """
    names = []
    for item in items:
        parts = [path for key in ("image", "label") for path in _as_list(item.get(key))]
        if dataset_dir:
            parts = [os.path.relpath(p, dataset_dir) if os.path.isabs(p) else p for p in parts]
        names.append("\t".join(Path(part).as_posix() for part in parts))
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _volume_ids(sections: Sections) -> dict[str, int]:
    """Each image's number: its place among the distinct images of the whole list."""
    images = dict.fromkeys(first_image(item) for name in ordered(sections) for item in sections[name])
    return {image: number for number, image in enumerate(images)}


def _finish(item: Item, folder: Path, number: int, require_label: bool | None, source: str) -> Item:
    done = {key: value for key, value in item.items() if key != "label" or require_label is not False}
    if require_label and not done.get("label"):
        raise ValueError(f"{source}: {first_image(item)} has no label")
    for key in ("image", "label"):
        if key in done:
            paths = [str(folder / path) for path in _as_list(done[key])]
            for path in paths:
                if not os.path.isfile(path):
                    raise ValueError(f"{path} does not exist; {source} names it as {key}")
            done[key] = paths if isinstance(done[key], list) else paths[0]
    return {**done, "volume_id": number}


def _as_list(value: Any) -> list[str]:
    if not value:
        return []
    return [str(part) for part in value] if isinstance(value, (list, tuple)) else [str(value)]
