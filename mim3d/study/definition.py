"""A study as its file describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mim3d.catalog import Task

SCRATCH = "scratch"
#: Axes of a grid with a meaning of their own; others are ``<place>#<config key>``.
AXES = ("method", "backbone", "labels", "seed", "steps", "pretraining_steps", "variant")
PLACES = ("pretraining", "segmentation", "both")
KEYS = (
    "base", "about", "task", "small", "data", "grid", "variants", "both", "backbones", "methods", "pretraining",
    "segmentation", "rates", "validations", "levels", "reference",
)  # fmt: skip
Keys = dict[str, Any]


@dataclass(frozen=True)
class Rates:
    """The search of the learning rate, on validation cases only.

    Attributes:
        scratch: candidates for training from scratch: each a set of config keys.
        finetuned: candidates for fine-tuning.
        seeds: seeds on which candidates are compared; None: the first of the grid.
        labels: label count on which candidates are compared; None: each label count has its own search.
    """

    scratch: list[Keys] = field(default_factory=lambda: [{}])
    finetuned: list[Keys] = field(default_factory=lambda: [{}])
    seeds: list[int] | None = None
    labels: int | float | str | None = None


@dataclass(frozen=True)
class Study:
    """A study as its file describes it; see docs/studies.md for the keys.

    Attributes:
        name: of the file, without suffix; of the data set and the study, if it is applied to another data set.
        folder: of the file, or of that of the data set; layers and lists are looked for here.
        task: the segmentation task.
        small: whether smoke layers and narrow networks are used, for a CPU.
        data: where cases come from.
        grid: axis -> values.
        variants: name -> place -> config keys.
        both: config keys of every training; ``backbones`` and ``methods``: of those of a network, of a method.
        pretraining: config keys, ``layers``, ``steps`` and ``per_seed``.
        segmentation: config keys and ``layers``.
        rates: the search of the learning rate.
        validations: points on a validation curve.
        levels: Dice levels for which the steps to reach them are reported.
        reference: name of the arm that the others are compared with.
        about: one sentence for the report.
    """

    name: str
    folder: Path
    task: Task
    small: bool
    data: Keys
    grid: dict[str, list[Any]]
    variants: dict[str, dict[str, Keys]]
    both: Keys
    backbones: dict[str, Keys]
    methods: dict[str, Keys]
    pretraining: Keys
    segmentation: Keys
    rates: Rates
    validations: int
    levels: list[float]
    reference: str
    about: str
