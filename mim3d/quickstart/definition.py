"""The study that the quick start runs, as a study file: small crops, few steps, two seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from custom_components.atomic import read_json, write_text
from mim3d.catalog import DEFAULT_VIEW, QUICK_PHANTOMS, TASKS
from mim3d.choice import Choice
from mim3d.phantoms import KINDS, split_counts
from mim3d.quickstart.data import Keys, download_hippocampus, list_cases, own_keys
from mim3d.study.definition import SCRATCH

NAME = "quickstart"  # of the study
FILE = f"{NAME}.yaml"
#: Optimizer steps of pretraining and of each segmentation training, and points on a validation curve.
PRETRAINING_STEPS, SEGMENTATION_STEPS, VALIDATIONS = 1200, 300, 10
#: Phantoms in each section: how many, and the fewest at a small budget.
PHANTOMS = {"training": (8, 4), "validation": (4, 1), "test": (8, 2), "unlabelled": (32, 4)}
SPACING = {"phantoms": [6.0, 6.0, 6.0], "own": [4.0, 4.0, 4.0]}  # mm
#: Crops in voxels. Networks with large tokens or a stride of 32 need more than the others.
ROI_SIZE = {"unetr": [48, 48, 48], "swin_unetr": [64, 64, 64]}
SMALL_ROI = [32, 32, 32]
HIPPOCAMPUS_ROI = [32, 48, 32]
#: Labelled cases are not flipped or rotated, because left and right matter.
_UPRIGHT: Keys = {"flip_prob": [0.0, 0.0, 0.0], "rotation_axes": None}


def define(arguments: argparse.Namespace, choice: Choice, out: Path) -> Keys:
    """Return the study; data are downloaded, and a data list is drawn, unless they are there.

    Args:
        arguments: those of ``mim3d quickstart``.
        choice: method and network.
        out: folder of all results.

    Raises:
        ValueError: for data that cannot be listed.
    """
    name = data_name(arguments)
    parts = {"phantoms": _phantoms, "hippocampus": _hippocampus, "own": _own}[name](arguments, choice, out)
    title, budget = choice.method.title, arguments.budget
    caution = " Synthetic volumes show that every step works; conclusions need real ones." * (name == "phantoms")
    study: Keys = {
        "about": f"Quick start on {name}: {choice.backbone} from scratch, and fine-tuned after {title}.{caution}",
        "task": TASKS["msd_hippocampus" if name == "hippocampus" else DEFAULT_VIEW].name,
        "small": True,
        "data": parts["data"],
        "grid": {
            "method": [SCRATCH, choice.name],
            "backbone": [choice.backbone],
            "labels": parts["labels"],
            "seed": [arguments.seed, arguments.seed + 1],
            "steps": [max(1, round(SEGMENTATION_STEPS * budget))],
        },
        "both": {"num_samples": 1, **parts["view"]},
        "pretraining": {"steps": max(1, round(PRETRAINING_STEPS * budget))},
        "segmentation": {"keys": {**_UPRIGHT, **parts["keys"]}},
        "validations": min(2 * VALIDATIONS, max(2, round(VALIDATIONS * budget))),
    }
    if choice.backbone == "unetr_patch8" and choice.name in ("mae", "simmim"):
        study["methods"] = {choice.name: {"patch_size": [8, 8, 8]}}  # one token, because crops are small
    return study


def data_name(arguments: argparse.Namespace) -> str:
    """Return what the quick start runs on: ``phantoms``, ``hippocampus`` or ``own``."""
    if arguments.data == "hippocampus":
        return "hippocampus"
    return "phantoms" if arguments.dataset_dir is None else "own"


def _phantoms(arguments: argparse.Namespace, choice: Choice, out: Path) -> Keys:
    share = min(1.0, arguments.budget)
    counts = {name: max(fewest, round(number * share)) for name, (number, fewest) in PHANTOMS.items()}
    if arguments.cases is not None:
        counts = split_counts(arguments.cases, dict.fromkeys(PHANTOMS))
    phantoms = {"kind": QUICK_PHANTOMS, "size": arguments.size, **counts, "seed": arguments.seed}
    labels = KINDS[QUICK_PHANTOMS].labels
    view = {"spacing": arguments.spacing or SPACING["phantoms"], "roi_size": _roi(choice)}
    return {
        "data": {"phantoms": phantoms},
        "labels": [max(1, counts["training"] // 2)],
        "view": view,
        "keys": {"label_names": [labels[value] for value in sorted(labels)]},
    }


def _hippocampus(arguments: argparse.Namespace, choice: Choice, out: Path) -> Keys:
    folder = (arguments.dataset_dir or download_hippocampus(out / "download")).resolve()
    spacing = {"spacing": arguments.spacing} if arguments.spacing else {}
    roi = ROI_SIZE.get(choice.backbone, HIPPOCAMPUS_ROI)
    data = _listed(folder, out, arguments.seed, training=20, validation=8, test=20)
    return {"data": data, "labels": [0.5], "view": {**spacing, "roi_size": roi}, "keys": {}}


def _own(arguments: argparse.Namespace, choice: Choice, out: Path) -> Keys:
    folder = arguments.dataset_dir.resolve()
    data = _listed(folder, out, arguments.seed, validation=0.2, test=0.2)
    own, keys = own_keys(folder, read_json(out / data["datalist"]))
    view = {"spacing": arguments.spacing or SPACING["own"], "roi_size": _roi(choice), **own}
    return {"data": data, "labels": ["all"], "view": view, "keys": keys}


def _listed(folder: Path, out: Path, seed: int, **sizes: Any) -> Keys:
    datalist = list_cases(folder, out, seed, **sizes)
    return {"dataset_dir": str(folder), "datalist": datalist.name if datalist.parent == out else str(datalist)}


def _roi(choice: Choice) -> list[int]:
    return ROI_SIZE.get(choice.backbone, SMALL_ROI)


def write_definition(study: Keys, out: Path) -> Path:
    """Write the study file, unless it is there already, and return its path.

    Raises:
        ValueError: if the folder holds the results of another one.
    """
    path = out / FILE
    if path.is_file() and (before := yaml.safe_load(path.read_text(encoding="utf-8"))) != study:
        key, old, new = first_difference(before, study)
        raise ValueError(
            f"{out} holds a quick start with {key} {old}, now it is {new}; repeat the command that began it to go "
            "on, give another --out, or --overwrite to begin anew"
        )
    write_text(path, yaml.safe_dump(study, sort_keys=False, width=115))
    return path


def first_difference(before: Keys, now: Keys) -> tuple[str, Any, Any]:
    """Return the path of the first key that differs, and both values."""
    for key in {**now, **before}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and old != new:
            inner, *values = first_difference(old, new)
            return f"{key} {inner}", values[0], values[1]
        if old != new:
            return key, old, new
    raise ValueError("both are equal")
