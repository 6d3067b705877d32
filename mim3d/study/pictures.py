"""Pictures of the test cases that gained and lost most: label, reference and arm side by side."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from monai.bundle.config_parser import ConfigParser

from custom_components.atomic import write_atomically
from custom_components.checks.overrides import unknown_keys
from custom_components.data.names import case_id, first_image
from mim3d.report.volumes import draw_volumes
from mim3d.study.comparison import Comparison
from mim3d.study.configs import RunConfig, loaded
from mim3d.study.plan import Plan
from mim3d.study.results import Result, Results
from mim3d.study.runs import Run, digest_of, folder_name


@dataclass(frozen=True)
class Shown:
    """A test case to show.

    Attributes:
        case: its name.
        why: for the caption.
        runs: title -> inference with the weights of that side.
        item: its entry in the data list.
        config: of the arm's segmentation training.
    """

    case: str
    why: str
    runs: dict[str, Run]
    item: dict[str, Any]
    config: RunConfig


def shown_cases(results: Results, comparisons: list[Comparison], ranks: dict[str, float]) -> list[Shown]:
    """Return the cases with the largest gain and the largest loss of the arm with the best mean rank.

    They are those of the middle label count, the largest budget and the first seed. Cases of several files are
    left out, because inference.yaml reads one file.
    """
    arms = sorted({one.arm.name for one in comparisons}, key=lambda name: (ranks.get(name, 0.0), name))
    own = [one for one in comparisons if one.arm.name == arms[0]] if arms else []
    if not own:
        return []
    counts = sorted({one.labels for one in own})
    one = max((o for o in own if o.labels == counts[len(counts) // 2]), key=lambda o: o.budget)
    mine, other = results.pairs(one.arm, one.reference, one.labels, one.budget)[0]
    gains = {case: mine.case_dice[case] - other.case_dice[case] for case in one.cases if case in mine.case_dice}
    ordered = sorted(gains, key=lambda case: gains[case])
    found: list[Shown] = []
    for case, word in ((ordered[-1], "best"), (ordered[0], "worst")):
        item = find_item(results.plan, case)
        if item is None or not isinstance(item["image"], str):
            continue
        if case in [one.case for one in found]:
            continue  # there is one test case
        scores = f"{other.case_dice[case]:.3f} {one.reference.name}, {mine.case_dice[case]:.3f} {one.arm.name}"
        sides = {one.reference.name: other, one.arm.name: mine}
        runs = {name: inference(results.plan, result, item["image"]) for name, result in sides.items()}
        text = f"{case}, the {word} for {one.arm.name} with {one.labels} labelled cases: Dice {scores}"
        found.append(Shown(case, text, runs, item, mine.training.config))
    return found


def find_item(plan: Plan, case: str) -> dict[str, Any] | None:
    """Return the test case with a name as evaluation reports it: its file name, with folders where needed."""
    for item in plan.data.sections["test"]:
        path = PurePath(first_image(item))
        name = "/".join((*path.parent.parts, case_id(item["image"])))
        if f"/{name}".endswith(f"/{case}"):
            return dict(item)
    return None


def inference(plan: Plan, result: Result, image: str) -> Run:
    """Return the segmentation of one volume with the weights of a result."""
    first, *layers = result.training.config.files
    files = (str(Path(first).with_name("inference.yaml")), *layers)
    config = RunConfig(result.training.config.bundle, files, result.training.config.keys)
    # Keys of training only; a nested key is also unknown if its first part is.
    unknown, parts = {key for key, _ in unknown_keys(config.files, config.keys)}, loaded(files)
    keys = {
        key: value
        for key, value in config.keys.items()
        if key not in unknown and re.split("#|::", key)[0] in parts
    }
    config = dataclasses.replace(config, keys=keys)
    digest = digest_of(config.content, result.training.digest, image)
    folder = result.training.folder / "pictures" / folder_name(PurePath(image).name, digest)
    places = {
        "dataset_dir": (plan.data.folder or Path()) / image,
        "weights": result.training.folder / "model.pt",
        "output_dir": folder / "segmentation",
    }
    title = f"segmentation of {PurePath(image).name} by {result.cell.arm.name}"
    return Run("picture", title, config, places, folder, digest, 0, 1, (result.training.digest,))


def masks_of(run: Run) -> list[Path]:
    """Return the segmentations that an inference wrote; none if it is not done."""
    return [] if run.done is None else sorted((run.folder / "segmentation").rglob("*.nii.gz"))


def classes_of(config: RunConfig) -> tuple[list[str], Callable[[np.ndarray], np.ndarray]]:
    """Return the names of a training's classes from 1 on, and what brings the values of a label file to them."""
    parser = ConfigParser(loaded(config.files))
    # A study always has a folder; what it is does not matter here.
    parser.update({**config.keys, "dataset_dir": "DATA"})
    mapping = parser.get_parsed_content("label_mapping")
    names = list(parser.get_parsed_content("label_names"))[1:]
    return names, lambda label: np.asarray(mapping({"label": label[None]})["label"])[0]


def draw_case(plan: Plan, shown: Shown, target: Path) -> bool:
    """Draw a case if all its segmentations are done."""
    masks = {}
    for name, run in shown.runs.items():
        if not (found := masks_of(run)):
            return False
        masks[name] = found[0]
    folder = plan.data.folder or Path()
    files = folder / shown.item["image"], folder / shown.item["label"]
    names, convert = classes_of(shown.config)
    write_atomically(target, lambda path: draw_volumes(path, *files, masks, names, shown.case, convert))
    return True
