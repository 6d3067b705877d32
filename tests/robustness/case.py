"""One fuzzed case: damage a copy of the valid set, go through all stages, and judge how they ended."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from custom_components.atomic import PARTIAL
from tests.robustness import judge
from tests.robustness.damage import DAMAGES, FILES, LIST, WEIGHTS, Damage, draw
from tests.robustness.dataset import CLASSES, LABELLED, UNLABELLED, Whole, save, write_dataset
from tests.robustness.reference import Volume, label_meaning, meaning
from tests.robustness.stages import End, evaluate, infer, pretrain, run_stage, train, write_list


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        damage: name of the damage.
        text: what was done.
        lines: how each stage ended.
        problems: what is wrong; empty if the case passed.
    """

    damage: str
    text: str
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def prepare(folder: Path, epochs: int = 12) -> Whole:
    """Write the valid set, train weights on it, and segment it."""
    data = folder / "whole"
    write_dataset(data)
    shutil.copytree(data, folder / "training")
    write_list(folder / "training")
    train(folder / "training", folder, epochs=epochs, val_interval=epochs, learning_rate=3e-3)
    weights = folder / "models" / "model.pt"
    masks = {name: mask_of(data / name, weights, folder / "masks") for name in (*LABELLED, *UNLABELLED)}
    if not all(len(np.unique(mask)) == CLASSES for mask in masks.values()):
        raise RuntimeError("the weights find too few classes to tell masks apart; train for more epochs")
    return Whole(data, weights, masks)


def mask_of(image: Path, weights: Path, out: Path) -> np.ndarray:
    """Return the mask of a whole file."""
    infer(image, weights, out)
    return np.asanyarray(nib.load(out / mask_name(image)).dataobj)


def mask_name(image: Path) -> str:
    """Return the name of an image's mask."""
    name = image.name
    end = ".nii.gz" if name.lower().endswith(".nii.gz") else ".nii"
    return f"{name[: -len(end)]}_seg.nii.gz"


def run_case(name: str | None, rng: np.random.Generator, whole: Whole, folder: Path) -> Outcome:
    """Damage a copy of the set in an empty folder, run all stages, and judge them.

    Args:
        name: of the damage; None: drawn.
        rng: source of everything that is drawn.
        whole: the undamaged set.
        folder: an empty folder.
    """
    chosen = draw(rng) if name is None else name
    _, when, make = DAMAGES[chosen]
    data, weights = folder / "data", folder / "weights" / "model.pt"
    shutil.copytree(whole.folder, data)
    weights.parent.mkdir()
    for file in (whole.weights, whole.weights.with_name("model.card.json")):
        shutil.copy(file, weights.parent)
    if when == WEIGHTS and rng.random() < 0.5:
        weights.with_name("model.card.json").unlink()  # as MONAI Label leaves them
    damage = make(rng, data) if when == FILES else None
    before = judge.snapshot(data)
    listed = run_stage("list", lambda: write_list(data))
    ends = [listed]
    if when == LIST:
        damage = make(rng, data / "datalist.json")
    if when == WEIGHTS:
        damage = make(rng, weights)
    assert damage is not None
    outcome = Outcome(chosen, damage.text)
    if not listed.refusal and not listed.trace:
        ends += _runs(data, weights, folder, when, when != WEIGHTS and rng.random() < 0.25)
    if when != LIST:
        ends.append(run_stage("inference", lambda: infer(data / _folder_of(damage), weights, folder / "masks")))
    outcome.lines = [f"{end.stage}: {end.refusal or ('traceback' if end.trace else 'done')}" for end in ends]
    outcome.problems = _judge(damage, ends, whole, folder, when)
    after = judge.snapshot(data)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    outcome.problems += [f"{key} was changed, made or lost" for key in changed]
    outcome.problems += [f"left behind: {path.name}" for path in folder.rglob(f"{PARTIAL}*")]
    return outcome


def _folder_of(damage: Damage) -> str:
    """Return the folder to segment: the one that holds what was damaged."""
    return (
        "imagesUn" if any(name.startswith(("u0", "u1", "copy", "again")) for name in damage.names) else "imagesTr"
    )


def _runs(data: Path, weights: Path, folder: Path, when: str, with_pretraining: bool) -> list[End]:
    """Train, unless only the weights are damaged, and evaluate, unless training refused."""
    ends = []
    if with_pretraining:
        ends.append(run_stage("pretraining", lambda: pretrain(data, folder)))
    if when != WEIGHTS:
        ends.append(run_stage("training", lambda: train(data, folder)))
    if not any(end.refusal or end.trace for end in ends if end.stage == "training"):
        ends.append(run_stage("evaluation", lambda: evaluate(data, weights, folder)))
    return ends


def _judge(damage: Damage, ends: list[End], whole: Whole, folder: Path, when: str) -> list[str]:
    data, done = folder / "data", {end.stage: not (end.refusal or end.trace) for end in ends}
    problems = judge.judge_ends(ends, damage)
    if done["list"] and when != LIST:
        problems += judge.judge_list(data, damage)
    if done.get("training"):
        problems += judge.judge_weights(folder / "models" / "model.pt")
    if when != LIST:
        problems += _judge_masks(damage, whole, folder, done["inference"])
    if done["list"] and when != LIST:
        problems += _judge_cases(whole, folder, done)
    return problems


def _expected(image: Path, volume: Volume, whole: Whole, folder: Path) -> tuple[np.ndarray, bool] | None:
    """Return the mask that an image must get, and whether exactly; None if it cannot be known."""
    relative = f"{image.parent.name}/{image.name}"
    pristine = whole.folder / relative
    if pristine.is_file() and pristine.read_bytes() == image.read_bytes():
        return whole.masks[relative], True
    plain = folder / "plain" / relative.replace("/", "_").split(".")[0] / "plain.nii"
    save(plain, volume.voxels, volume.affine)
    masks: list[np.ndarray] = []
    end = run_stage("reference", lambda: masks.append(mask_of(plain, whole.weights, plain.parent / "masks")))
    return None if end.refusal or end.trace else (masks[0], False)


def _judge_masks(damage: Damage, whole: Whole, folder: Path, done: bool) -> list[str]:
    """Compare the masks of all images in the segmented folder."""
    problems = []
    images = sorted((folder / "data" / _folder_of(damage)).rglob("*"))
    for image in images:
        if not image.is_file() or not image.name.lower().endswith((".nii", ".nii.gz")) or image.name[0] == ".":
            continue
        if judge.named_like_label(image.name):  # left alone
            continue
        written = folder / "masks" / mask_name(image)
        if not written.is_file():  # the name that keeps case.nii and case.nii.gz apart
            written = folder / "masks" / f"{image.name}_seg.nii.gz"
        volume = meaning(image)
        if volume is None:
            if written.is_file() and done:
                problems.append(f"inference: a mask of {image.name}, which must be refused")
        elif done or written.is_file():
            expected = _expected(image, volume, whole, folder)
            if expected is not None and image.parent.name in ("imagesTr", "imagesUn"):
                problems += judge.judge_mask(image, written, volume, *expected)
    return problems


def _judge_cases(whole: Whole, folder: Path, done: dict[str, bool]) -> list[str]:
    """Compare what training and evaluation accepted with what the files mean."""
    data, problems = folder / "data", []
    sections = json.loads((data / "datalist.json").read_text())
    if done.get("pretraining"):
        bad = [item["image"] for item in sections["unlabelled"] if meaning(data / item["image"]) is None]
        problems += [f"pretraining: accepted {name}, which must be refused" for name in bad]
    for section, stages in (("training", ("training",)), ("validation", ("training", "evaluation"))):
        for item in sections[section]:
            volume = meaning(data / item["image"])
            label = label_meaning(data / item["label"], volume, CLASSES)
            for stage in stages:
                if done.get(stage) and label is None:
                    bad = item["image"] if volume is None else item["label"]
                    problems.append(f"{stage}: accepted {bad}, which must be refused")
            if section == "validation" and done.get("evaluation") and volume is not None and label is not None:
                expected = _expected(data / item["image"], volume, whole, folder)
                if expected is not None and expected[0].shape == label.shape:
                    problems += judge.judge_dice(folder / "eval" / "cases.csv", expected[0], label)
    return problems
