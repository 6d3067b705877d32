"""Judging a fuzzed run: the right result, or one line that names the file; nothing lost or left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from tests.robustness.damage import Damage
from tests.robustness.dataset import LABELLED, UNLABELLED, label_of
from tests.robustness.reference import Volume, meaning
from tests.robustness.stages import End

SECTIONS = ("training", "validation", "test", "unlabelled")
_DICE = 2e-3  # rounding in the table, and one voxel of a border


def snapshot(folder: Path) -> dict[str, str]:
    """Return path -> hash of each file, or the target of each link; a data list is left out."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*files, *(name for name in folders if Path(root, name).is_symlink())]:
            path = Path(root, name)
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = f"-> {os.readlink(path)}"
            elif key != "datalist.json":
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def judge_ends(ends: list[End], damage: Damage) -> list[str]:
    """Every stage ended well or with a line that names what was damaged, as the damage says."""
    problems = []
    for end in ends:
        if end.trace:
            problems.append(f"{end.stage}: traceback of {end.trace.strip().splitlines()[-1][:300]}")
        elif end.refusal and len(end.refusal.splitlines()) > 1:
            problems.append(f"{end.stage}: more than one line: {end.refusal[:300]!r}")
        elif end.refusal and not any(name in end.refusal for name in damage.names):
            problems.append(
                f"{end.stage}: the line does not name {' or '.join(damage.names)}: {end.refusal[:300]}"
            )
        elif end.refusal and damage.end == "right":
            problems.append(f"{end.stage}: refuses what is right: {end.refusal[:300]}")
    refused = [end for end in ends if end.refusal or end.trace]
    if damage.end == "refused" and not refused:
        problems.append("accepted by every stage; must be refused")
    if damage.warned and not refused and not any(n in end.output for end in ends for n in damage.names):
        problems.append("no stage names it")
    return problems


def judge_list(data: Path, damage: Damage) -> list[str]:
    """Whole cases are listed with their own labels, no file comes twice, and no section sees another's files."""
    content = json.loads((data / "datalist.json").read_text())
    sections = {name: content.get(name, []) for name in SECTIONS}
    problems = []
    touched = {
        name for name in (*LABELLED, *UNLABELLED) if any(Path(name).name.startswith(n) for n in damage.names)
    }
    pairs = {item["image"]: item["label"] for name in SECTIONS[:3] for item in sections[name]}
    for image in set(LABELLED) - touched:
        if (data / image).is_file() and pairs.get(image) != label_of(image):
            problems.append(f"list: {image} has the label {pairs.get(image)}")
    images = [item["image"] for item in sections["unlabelled"]]
    for image in set(UNLABELLED) - touched:
        if image not in images:
            problems.append(f"list: {image} is not among the unlabelled images")
    real = {name: [os.path.realpath(data / item["image"]) for item in sections[name]] for name in SECTIONS}
    for name, paths in real.items():
        problems += [f"list: {name} lists a file twice" for _ in range(len(paths) - len(set(paths)))][:1]
        others = {path for other in SECTIONS[1:3] if other != name for path in real[other]}
        problems += [f"list: {name} shares {Path(path).name} with another section" for path in set(paths) & others]
    labels = {os.path.realpath(data / label) for label in pairs.values()}
    problems += [f"list: {p} is a label map" for p in images if os.path.realpath(data / p) in labels]
    return problems + [f"list: {name} is a label map" for name in set(filter(named_like_label, images))]


def named_like_label(name: str) -> bool:
    """Return whether a damage gave this name to a copy of a label map."""
    return any(end in name for end in ("_seg.", "_mask.", "_label.", "_gt."))


def judge_weights(path: Path) -> list[str]:
    """Trained weights are there, and finite."""
    if not path.is_file():
        return [f"training: no {path.name}"]
    state = torch.load(path, weights_only=True)
    wrong = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    return [f"training: {len(wrong)} tensors of {path.name} are not finite"] if wrong else []


def judge_mask(image: Path, written: Path, volume: Volume, expected: np.ndarray, exact: bool) -> list[str]:
    """A mask has its image's grid, and the values that the whole file's mask has."""
    if not written.is_file():
        return [f"inference: no mask of {image.name}"]
    mask = nib.load(written)
    values = np.asanyarray(mask.dataobj)
    original = nib.load(image).shape[:3] if image.is_file() else ()
    if values.shape != volume.voxels.shape:
        return [f"inference: the mask of {image.name} has shape {values.shape}, the image {original}"]
    own = meaning(written)
    scale = max(1.0, float(np.abs(volume.affine).max()))
    if own is None or np.abs(own.affine - volume.affine).max() > 1e-4 * scale:
        return [f"inference: the mask of {image.name} has another affine than the image"]
    wrong = float(np.mean(values != expected))
    if wrong > (0 if exact else 2e-3):
        return [f"inference: {wrong:.2%} of the mask of {image.name} differ from the whole file's mask"]
    return []


def judge_dice(table: Path, mask: np.ndarray, label: np.ndarray) -> list[str]:
    """The scores of the one evaluated case are those of its mask and its label."""
    with table.open(encoding="utf-8", newline="") as file:
        found = {row["class"]: float(row["dice"] or "nan") for row in csv.DictReader(file)}
    problems = []
    for value, name in enumerate(("anterior", "posterior"), start=1):
        ours, theirs = mask == value, label == value
        expected = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) if theirs.any() else float("nan")
        if not np.isclose(found.get(name, float("nan")), expected, atol=_DICE, equal_nan=True):
            problems.append(f"evaluation: Dice of {name} is {found.get(name)}, expected {expected:.4f}")
    return problems
