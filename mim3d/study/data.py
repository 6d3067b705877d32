"""The cases of a study: fixed test and validation cases, and nested subsets of the training cases."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from custom_components.atomic import write_text
from custom_components.data.names import Item, first_image
from mim3d.study.definition import Keys

SECTIONS = ("unlabelled", "training", "validation", "test")


@dataclass(frozen=True)
class StudyData:
    """Cases by section, with paths relative to a folder.

    Attributes:
        folder: the data; None in a plan without data.
        sections: as in a data list.
        facts: ``channels`` and ``labels`` of the data list.
        source: where the sections come from, for people.
        folds: the sections of each fold, which the seed of its number trains; empty: all seeds have the same.
    """

    folder: Path | None
    sections: dict[str, list[Item]]
    facts: Keys
    source: str
    folds: tuple[dict[str, list[Item]], ...] = ()

    @property
    def name(self) -> str:
        """The folder's name, without its path: reports are passed on."""
        return "none" if self.folder is None else self.folder.name

    @property
    def pool(self) -> int:
        """Number of training cases; of the smallest fold, if there are folds."""
        return min(len(sections["training"]) for sections in self.folds or [self.sections])

    def of_seed(self, seed: int) -> dict[str, list[Item]]:
        """Return the sections that a seed trains, validates and tests on."""
        return self.folds[seed] if self.folds else self.sections

    def count(self, label: int | float | str) -> int:
        """Return how many training cases a label count, a share or ``all`` stands for."""
        if label == "all":
            return self.pool
        return max(1, round(label * self.pool)) if isinstance(label, float) else int(label)

    def subset(self, labels: int, seed: int) -> list[Item]:
        """Return the training cases of a cell: the first ``labels`` of an order drawn with ``seed``.

        With one seed, a smaller subset is part of every larger one.
        """
        pool = sorted(self.of_seed(seed)["training"], key=first_image)
        order = np.random.RandomState(seed).permutation(len(pool))
        return [pool[number] for number in sorted(order[:labels])]

    def segmentation_list(self, labels: int, seed: int) -> str:
        """Return the data list of a cell as text."""
        sections = {name: self.of_seed(seed)[name] for name in ("validation", "test")}
        return self._text({"training": self.subset(labels, seed), **sections})

    def pretraining_list(self) -> str:
        """Return the data list of pretraining as text: images only, and no test case.

        Without labels nothing in pretraining can learn from more labelled cases than a cell has.
        """
        images = {
            name: [{"image": item["image"]} for item in self.sections[name]]
            for name in ("unlabelled", "validation")
        }
        return self._text(images)

    def _text(self, sections: dict[str, list[Item]]) -> str:
        return json.dumps({**self.facts, **sections}, indent=1) + "\n"


def list_hash(text: str) -> str:
    """Return the sha256 of a data list's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_list(folder: Path, name: str, text: str) -> Path:
    """Write a data list into a folder, unless it is there already, and return its path."""
    path = folder / f"{name}.json"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
