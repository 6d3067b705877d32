"""Arms and cells: what a study compares, and every single training of it.

An arm is a way to train: from scratch, or a pretraining method with its keys. A cell is an arm with a label count,
a seed and a budget.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from mim3d.catalog import METHODS
from mim3d.study.definition import PLACES, SCRATCH, Keys, Study
from mim3d.study.mistakes import Mistakes


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        name: method, and what varies between the arms of the study.
        method: ``scratch`` or a key of ``METHODS``.
        backbone: key of ``NETWORKS``.
        pretraining: config keys of pretraining; empty for scratch.
        segmentation: config keys of the segmentation training, without those of the rate search.
        pretraining_steps: optimizer steps; None for scratch.
    """

    name: str
    method: str
    backbone: str
    pretraining: Keys
    segmentation: Keys
    pretraining_steps: int | None

    @property
    def from_scratch(self) -> bool:
        """Whether the arm has no pretraining."""
        return self.method == SCRATCH

    @property
    def identity(self) -> str:
        """What makes two arms the same."""
        parts = [self.method, self.backbone, self.pretraining, self.segmentation, self.pretraining_steps]
        return json.dumps(parts, sort_keys=True, default=str)


@dataclass(frozen=True)
class Cell:
    """One training that is scored on the test cases.

    Attributes:
        arm: the way to train.
        labels: number of labelled cases.
        seed: of the subset and of the run.
        steps: optimizer steps.
    """

    arm: Arm
    labels: int
    seed: int
    steps: int


def expand_arms(study: Study) -> list[Arm]:
    """Return the distinct arms of a study, those from scratch first.

    Keys of pretraining mean nothing to scratch, so combinations that differ in those only are one arm.

    Raises:
        StudyError: for a method and a network that do not go together, a missing number of pretraining steps, or
            an unknown reference.
    """
    mistakes = Mistakes(study.name)
    axes = {name: values for name, values in study.grid.items() if name not in ("labels", "seed", "steps")}
    axes.setdefault("variant", [None])
    axes.setdefault("pretraining_steps", [study.pretraining.get("steps")])
    arms: dict[str, Arm] = {}
    for values in itertools.product(*axes.values()):
        arm = _arm(study, dict(zip(axes, values, strict=True)), mistakes)
        if arm is not None:
            arms.setdefault(arm.identity, arm)
    ordered = sorted(arms.values(), key=lambda arm: not arm.from_scratch)
    if not mistakes.lines:
        names = dict.fromkeys([SCRATCH, *(arm.name for arm in ordered)])
        mistakes.choice(study.reference, "an arm to be the reference", names)
    if not mistakes.lines and len(ordered) > 1 and study.reference == SCRATCH:
        for arm in ordered:
            if reference_of(arm, ordered, study.reference) is None and not arm.from_scratch:
                mistakes.add(
                    f"arm {arm.name!r} has no training from scratch beside it; add scratch to grid method"
                )
    mistakes.stop()
    return ordered


def reference_of(arm: Arm, arms: list[Arm], reference: str) -> Arm | None:
    """Return the arm to compare with: scratch with the same network and segmentation keys, or the one named."""
    for other in arms:
        if reference == SCRATCH:
            if other.from_scratch and (other.backbone, other.segmentation) == (arm.backbone, arm.segmentation):
                return None if other == arm else other
        elif other.name == reference:
            return None if other == arm else other
    return None


def _arm(study: Study, point: dict[str, Any], mistakes: Mistakes) -> Arm | None:
    method, backbone = point.pop("method"), point.pop("backbone")
    scratch, steps, variant = method == SCRATCH, point.pop("pretraining_steps"), point.pop("variant")
    if not scratch and backbone not in METHODS[method].layers:
        allowed = ", ".join(METHODS[method].layers)
        mistakes.add(f"method {method} does not go with backbone {backbone}; it goes with: {allowed}")
        return None
    if not scratch and steps is None:
        mistakes.add("pretraining has no steps; give pretraining steps or grid pretraining_steps")
        return None
    places = study.variants.get(variant, {})
    keys: dict[str, Keys] = {place: dict(places.get(place, {})) for place in PLACES}
    for axis, value in point.items():
        place, _, key = axis.partition("#")
        keys[place][key] = value
    common = study.both | study.backbones.get(backbone, {})
    segmentation = common | study.segmentation["keys"] | keys["both"] | keys["segmentation"]
    pretraining = common | study.pretraining["keys"] | study.methods.get(method, {})
    pretraining = {} if scratch else pretraining | keys["both"] | keys["pretraining"]
    varied = _varied(study, point, scratch)
    shown = [] if variant is None or (scratch and not keys["segmentation"] and not keys["both"]) else [variant]
    if len(study.grid["backbone"]) > 1:
        shown.insert(0, backbone)
    if not scratch and len(study.grid.get("pretraining_steps", [])) > 1:
        shown.append(f"{steps} steps")
    name = " ".join([method, *shown, *varied])
    return Arm(name, method, backbone, pretraining, segmentation, None if scratch else steps)


def _varied(study: Study, point: dict[str, Any], scratch: bool) -> list[str]:
    """Return ``key=value`` of each axis with several values that the arm depends on."""
    shown = []
    for axis, value in point.items():
        place, _, key = axis.partition("#")
        if len(study.grid[axis]) > 1 and not (scratch and place == "pretraining"):
            text = json.dumps(value).replace(" ", "") if isinstance(value, (list, dict)) else str(value)
            shown.append(f"{key}={text}")
    return shown
