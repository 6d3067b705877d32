"""Data lists: which image belongs to which section, and the object through which configs read them.

A list is a JSON file (default name ``datalist.json``, in the data folder)::

    {"name": "...", "seed": 0, "channels": ["CT"], "labels": {"0": "background", "1": "spleen"},
     "unlabelled": [{"image": "rel/path.nii.gz"}],
     "training": [{"image": "...", "label": "..."}], "validation": [...], "test": [...]}

Paths are relative to the data folder. ``image`` may be a list of files, one per channel. An item's ``subject``
states whose image it is, and the list's ``subject_pattern`` finds it in paths; otherwise names decide, see
`custom_components.data.subjects`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from custom_components.data.leaks import check_no_leak, hold_out, ordered
from custom_components.data.names import Item, files_of, first_image
from custom_components.data.sections import DATALIST_NAME, Listing, read_list
from custom_components.data.walk import existing_folder, why_lost
from custom_components.distributed import rank

PathLike = str | os.PathLike[str]


class DataList:
    """The data list of a folder: its sections, channels and labels, read once, when first needed.

    The list comes from the first of these that exists: ``datalist``; ``split`` applied to the folder's cases;
    ``datalist.json`` in the folder; ``dataset.json`` of a decathlon task (``training``, ``test``); the folder
    itself. If no section ``unlabelled`` is listed, it holds the images of a list file's ``training``, or of every
    case found in the folder (with a ``dataset.json``: of its ``training``; never ``imagesTs``), without those of
    ``validation`` and ``test``.

    Args:
        dataset_dir: folder that the list's paths are relative to. Empty: every section is empty, because a bundle
            must build without data, and MONAI Label gives lists instead of a folder.
        datalist: path of a list file, relative to the current folder or else to ``dataset_dir``.
        split: path of a JSON file ``{"training": [case ids], "validation": [case ids], ...}``. A case id is an
            image's file name without ``.nii``/``.nii.gz``; for several files, the part their names share.
        require_label: True: an item without a label raises; False: labels are dropped (pretraining); None: items
            are returned as they are listed.
        holdout: if the list has no ``validation``, this share (float in [0, 1)) or number (int) of the subjects of
            ``unlabelled`` becomes it: drawn with ``seed`` from the sorted images, and removed from ``unlabelled``.
        seed: seed of ``holdout``.
        include_label_like: without a list file, files whose names or voxels look like label maps are left out of
            ``unlabelled``; True keeps them, but for the labels of cases.
    """

    def __init__(
        self,
        dataset_dir: PathLike,
        datalist: PathLike | None = None,
        split: PathLike | None = None,
        require_label: bool | None = None,
        holdout: float | int = 0,
        seed: int = 0,
        include_label_like: bool = False,
    ) -> None:
        self.dataset_dir, self.datalist, self.split = dataset_dir, datalist, split
        self.require_label, self.holdout, self.seed = require_label, holdout, seed
        self.include_label_like = include_label_like
        self._bad: set[str] = set()
        self._read: dict[tuple[str, ...], list[Item]] = {}

    @cached_property
    def _content(self) -> tuple[Listing, dict[str, Any]]:
        """The listing, and the label of each labelled image: the holdout moves images without their labels."""
        if not str(self.dataset_dir):
            return Listing({}, "", [], {}), {}
        folder = existing_folder(self.dataset_dir)
        listing = read_list(folder, self.datalist, self.split, self.include_label_like)
        labelled = [item for name in ("training", "validation") for item in listing.sections.get(name, [])]
        labels = {first_image(item): item["label"] for item in labelled if item.get("label")}
        if self.holdout:
            hold_out(listing.sections, self.holdout, self.seed, listing.source, listing.subject_pattern)
        check_no_leak(listing.sections, listing.source, folder, listing.subject_pattern)
        return listing, labels

    @property
    def _listing(self) -> Listing:
        return self._content[0]

    @cached_property
    def _volume_ids(self) -> dict[str, int]:
        """Each image's number: its position among the distinct images of the whole list."""
        sections = self._listing.sections
        images = dict.fromkeys(first_image(item) for name in ordered(sections) for item in sections[name])
        return {image: number for number, image in enumerate(images)}

    @property
    def source(self) -> str:
        """Path of the file or folder that the list was read from.

        Raises:
            ValueError: if the list cannot be read; the same holds for ``channels`` and ``labels``.
        """
        return self._listing.source

    @property
    def channels(self) -> list[str]:
        """Names of the image's channels, in order; empty if the list does not name them."""
        return self._listing.channels

    @property
    def labels(self) -> dict[int, str]:
        """Meaning of the numbers in label files; empty if the list does not state it."""
        return self._listing.labels

    @property
    def left_out(self) -> Mapping[str, Sequence[str]]:
        """Files of the folder that are in no section, by reason; empty for a list file."""
        return self._listing.left_out

    @property
    def sections(self) -> list[str]:
        """Names of the sections that hold cases."""
        return [name for name, items in self._listing.sections.items() if items]

    def items(self, section: str | Sequence[str]) -> list[Item]:
        """Return the items of one section, or of several, with absolute paths and a ``volume_id``.

        Args:
            section: a section's name, or several; an image in two of them comes once.

        Returns:
            Dictionaries with ``image`` (absolute path, or list of them), ``label`` if there is one, further keys
            as listed but ``subject``, and ``volume_id``: an integer, the image's position in the whole list (all
            sections in a fixed order). It is unique, and the same in every run, on every rank and for every
            section asked for.

        Raises:
            ValueError: for a missing folder or file, an empty folder, an unknown or empty section, a missing
                label, and a case that is in two sections.
        """
        return list(self._kept(section))

    def _kept(self, section: str | Sequence[str]) -> list[Item]:
        """Return `items`; they are read once, and again after `leave_out`."""
        names = (section,) if isinstance(section, str) else tuple(section)
        if names not in self._read:
            kept = [item for item in self.listed(names) if first_image(item) not in self._bad]
            for item in kept:
                self._check(item)
            self._read[names] = kept
        return self._read[names]

    def listed(self, section: str | Sequence[str]) -> list[Item]:
        """Return the same as `items`, also the cases that were left out, without looking at their files.

        Raises:
            ValueError: for a missing folder, an empty folder, an unknown or empty section, and a case that is in
                two sections.
        """
        if not str(self.dataset_dir):
            return []
        sections = self._listing.sections
        items: dict[int, Item] = {}
        for name in [section] if isinstance(section, str) else section:
            if not sections.get(name):
                raise ValueError(self._no_cases(name))
            for item in sections[name]:
                items.setdefault(self._volume_ids[first_image(item)], item)
        return [self._finish(item, number) for number, item in items.items()]

    def leave_out(self, images: Iterable[str]) -> None:
        """Leave cases out of all sections from now on; the others keep their ``volume_id``.

        Args:
            images: absolute path of each case's (first) image.
        """
        self._bad.update(images)
        self._read.clear()

    def _no_cases(self, section: str) -> str:
        found = {key: len(value) for key, value in self._listing.sections.items() if value}
        message = f"{self.source} has no cases in section {section!r}; found {found}"
        if self._listing.unmatched:
            image, label = self._listing.unmatched
            return f"{message}. No label fits an image by its name: an image is {image}, a label is {label}"
        return (
            f"{message}. List the cases by section in {os.path.join(self.dataset_dir, DATALIST_NAME)}"
            " (the command mim3d datalist of this bundle's repository writes it)"
        )

    def labelled(self, section: str) -> list[Item]:
        """Return the cases of a section that have a label, with it, whatever ``require_label`` is.

        Only labels that are listed in ``training`` and ``validation`` count, also for held-out cases.

        Args:
            section: a section's name.

        Returns:
            Items as of `items`; none if the section is empty or unknown.
        """
        kept = [item for item in self.listed_labelled(section) if first_image(item) not in self._bad]
        for item in kept:
            self._check(item)
        return kept

    def listed_labelled(self, section: str) -> list[Item]:
        """Return `labelled` with the cases that were left out, without looking at files."""
        listing, labels = self._content
        found = [(first_image(item), item) for item in listing.sections.get(section, [])]
        return [
            {**self._finish(item, self._volume_ids[image]), "label": self._absolute(labels[image])}
            for image, item in found
            if image in labels
        ]

    def _absolute(self, label: Any) -> Any:
        folder = existing_folder(self.dataset_dir)
        return [str(folder / part) for part in label] if isinstance(label, list) else str(folder / label)

    def section(self, section: str | Sequence[str]) -> Section:
        """Return the same as `items`, for use in a config, see `Section`."""
        return Section(self, section)

    def _finish(self, item: Item, number: int) -> Item:
        # Not every case states its subject, and the samples of a batch must have the same keys.
        unwanted = {"subject", "label"} if self.require_label is False else {"subject"}
        done = {key: value for key, value in item.items() if key not in unwanted}
        for key in ("image", "label"):
            if done.get(key):
                done[key] = self._absolute(done[key])
        return {**done, "volume_id": number}

    def _check(self, item: Item) -> None:
        """Raise ValueError for a missing label or file."""
        if self.require_label and not item.get("label"):
            raise ValueError(f"{self.source}: {first_image(item)} has no label")
        for key in ("image", "label"):
            for path in files_of(item, key):
                if lost := why_lost(path):
                    raise ValueError(f"{path} {lost}; {self.source} names it as {key}{self._all_lost()}")

    def _all_lost(self) -> str:
        """Return how many files of the list are missing, as an addition to a message; empty if it is one."""
        folder = existing_folder(self.dataset_dir)
        every = {
            str(folder / file)
            for items in self._listing.sections.values()
            for item in items
            for key in ("image", "label")
            for file in files_of(item, key)
        }
        lost = sum(bool(why_lost(file)) for file in every)
        return f" ({lost} of its {len(every)} files are missing: is the download complete?)" if lost > 1 else ""


class Section(Sequence[Item]):
    """Items of a data list, read when first needed; an error then ends the program with one line.

    A config is resolved before its checks run, so that the list must not be read earlier than that: a misspelled
    override is reported first. MONAI wraps every Exception that is raised while a config is resolved in a
    traceback; SystemExit passes.

    Args:
        data_list: the list.
        section: a section's name, or several.

    Raises:
        SystemExit: on reading, where `DataList.items` raises; with the message on rank 0.
    """

    def __init__(self, data_list: DataList, section: str | Sequence[str]) -> None:
        self.data_list, self.section = data_list, section

    @property
    def _items(self) -> list[Item]:
        return self._or_end(self.data_list._kept)

    def listed(self) -> list[Item]:
        """Return `DataList.listed`."""
        return self._or_end(self.data_list.listed)

    def _or_end(self, read: Callable[[str | Sequence[str]], list[Item]]) -> list[Item]:
        try:
            return read(self.section)
        except (ValueError, OSError) as error:
            raise SystemExit("error: " + " ".join(str(error).split()) if rank() == 0 else 1) from None

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]


def datalist_hash(items: Iterable[Item], dataset_dir: PathLike = "") -> str:
    """Return the sha256 over the sorted names of images and labels, for a weights card.

    Args:
        items: dictionaries with ``image`` and perhaps ``label``.
        dataset_dir: folder that absolute names are made relative to, so that the hash does not depend on its
            place.

    Returns:
        64 hexadecimal digits.
    """
    names = []
    for item in items:
        parts = [path for key in ("image", "label") for path in files_of(item, key)]
        if dataset_dir:
            parts = [os.path.relpath(p, dataset_dir) if os.path.isabs(p) else p for p in parts]
        names.append("\t".join(Path(part).as_posix() for part in parts))
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
