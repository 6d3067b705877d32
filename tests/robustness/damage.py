"""The table of damages: each changes one thing in a valid data set, and says which end of a run is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.robustness.dataset import LABELLED, UNLABELLED, label_of

#: When a damage is done: to the files before they are listed, to the list, or to the weights.
FILES, LIST, WEIGHTS = "files", "list", "weights"


@dataclass(frozen=True)
class Damage:
    """What was done, and what may follow.

    Attributes:
        text: what was done.
        names: parts of file names; a refusal must contain one of them.
        end: ``right``: everything works; ``refused``: something must refuse it; ``either``: both, where what the
            files mean decides.
        warned: the run must at least name the file.
    """

    text: str
    names: tuple[str, ...]
    end: str = "either"
    warned: bool = False


Make = Callable[[np.random.Generator, Path], Damage]
#: Name -> (kind, time, function); the function changes a data folder, a list or a weights file.
DAMAGES: dict[str, tuple[str, str, Make]] = {}


def damage(kind: str, when: str = FILES) -> Callable[[Make], Make]:
    """Register a function as a damage of a kind."""

    def register(make: Make) -> Make:
        DAMAGES[make.__name__] = (kind, when, make)
        return make

    return register


def draw(rng: np.random.Generator) -> str:
    """Return the name of a damage; kinds are equally likely."""
    kinds = sorted({kind for kind, _, _ in DAMAGES.values()})
    kind = kinds[rng.integers(len(kinds))]
    names = sorted(name for name, (own, _, _) in DAMAGES.items() if own == kind)
    return names[rng.integers(len(names))]


def any_image(rng: np.random.Generator) -> str:
    """Return the name of an image."""
    return str(rng.choice([*LABELLED, *UNLABELLED]))


def any_file(rng: np.random.Generator) -> str:
    """Return the name of an image or of a label map."""
    return str(rng.choice([*LABELLED, *UNLABELLED, *map(label_of, LABELLED)]))


def any_label(rng: np.random.Generator) -> str:
    """Return the name of a label map."""
    return str(rng.choice([label_of(name) for name in LABELLED]))


def stem(name: str) -> str:
    """Return the last part of a path without its suffix."""
    return Path(name).name.split(".")[0]
