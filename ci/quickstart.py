"""The main job, small: data, pretraining, fine-tuning against scratch, evaluation, segmentation, report.

Every step is ``python -m monai.bundle run`` on the shipped configs with their smoke layers; this file only
strings them together. ``ci/quickstart.sh`` installs what it needs and calls it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
from report import write_report

from custom_components.data.sections import read_sections

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "bundles"
PRETRAIN = BUNDLES / "pretrain_hybridmim"
#: Optimizer steps, at least, of pretraining and of each of the two segmentation runs.
STEPS = (160, 240)
VALIDATIONS = 6  # points on a Dice curve
#: Lies in every folder this script made; --overwrite deletes no other.
MARKER = ".quickstart"


@dataclass
class Task:
    """What is run on: a folder with a data list, its segmentation bundle, and the layers that fit it."""

    name: str
    dataset_dir: Path
    segment: Path = BUNDLES / "seg_btcv"
    pretraining_layers: list[str] = field(default_factory=list)
    own_layer: Path | None = None

    def items(self, section: str) -> list[dict[str, Any]]:
        """One section of the folder's list, as the configs read it; empty where there is none."""
        return read_sections(self.dataset_dir)[0].get(section, [])


def config_files(bundle: Path, task: Task, first: str = "train.yaml", *last: str) -> str:
    """The ``--config_file`` of a bundle: train.yaml, its smoke layer, the task's layers, further ones."""
    names = [first, "smoke.yaml", *(task.pretraining_layers if bundle == PRETRAIN else [])]
    files = [str(bundle / "configs" / name) for name in names]
    files += [str(task.own_layer)] if task.own_layer else []
    return str(files + [str(bundle / "configs" / name) for name in last])


def run_bundle(what: str, config_file: str, **overrides: Any) -> float:
    """One ``monai.bundle run``; returns its seconds. A failed step ends everything."""
    print(f"\n=== {what}", flush=True)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", config_file]
    for key, value in overrides.items():
        command += [f"--{key}", str(value)]
    start = time.perf_counter()
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}).returncode
    if code:
        raise SystemExit(f"error: {what} failed with exit status {code}; its message is above")
    return time.perf_counter() - start


def command_line(*arguments: Any) -> None:
    """One ``python -m custom_components`` command."""
    if subprocess.run([sys.executable, "-m", "custom_components", *map(str, arguments)], cwd=ROOT).returncode:
        raise SystemExit(f"error: {arguments[0]} failed; its message is above")


def prepare(arguments: argparse.Namespace, out: Path) -> Task:
    """Write, find or download the data and make sure it has a data list."""
    print("=== data", flush=True)
    if arguments.data == "phantoms" and arguments.dataset_dir is None:
        folder = out / "data"
        sections = ("--training", 6, "--validation", 3, "--test", 6, "--unlabelled", 18)
        command_line("phantoms", "--out", folder, "--seed", arguments.seed, *sections)
        return Task("phantoms", folder)
    if arguments.data == "hippocampus":
        folder = linked(hippocampus_folder(arguments, out), out / "data")
        if not (folder / "datalist.json").exists():
            sections = ("--training", 12, "--validation", 8, "--test", 40)
            command_line("datalist", folder, *sections, "--seed", arguments.seed)
        return Task("hippocampus", folder, BUNDLES / "seg_msd_hippocampus", ["task_msd_hippocampus.yaml"])
    folder = linked(Path(arguments.dataset_dir), out / "data")
    if not (folder / "datalist.json").exists():
        split = ("--validation", 0.2, "--test", 0.2, "--unlabelled", "training+rest")
        command_line("datalist", folder, *split, "--seed", arguments.seed)
    return own_task(folder, out, arguments.spacing)


def hippocampus_folder(arguments: argparse.Namespace, out: Path) -> Path:
    """The given folder of MSD Task04, or a download of it."""
    if arguments.dataset_dir is not None:
        return Path(arguments.dataset_dir)
    from monai.apps import DecathlonDataset

    download = out / "download"
    download.mkdir(parents=True, exist_ok=True)
    DecathlonDataset(str(download), "Task04_Hippocampus", section="training", download=True, cache_num=0)
    return download / "Task04_Hippocampus"


def linked(source: Path, folder: Path) -> Path:
    """A folder of links to ``source``'s content, for the list to be written in: the user's is left alone."""
    if not source.is_dir():
        raise SystemExit(f"error: --dataset_dir {source} is no folder")
    folder.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        (folder / entry.name).symlink_to(entry.resolve())
    return folder


def own_task(folder: Path, out: Path, spacing: list[float]) -> Task:
    """A layer for the user's own data: classes and channels from its list, HU window for CT, else z-score."""
    content = json.loads((folder / "datalist.json").read_text())
    labels = {int(number): name for number, name in (content.get("labels") or {}).items()}
    if sorted(labels) != list(range(len(labels))) or len(labels) < 2:
        raise SystemExit(f"error: the data list names the labels {labels}; 0 (background), 1, ... are needed")
    channels = content.get("channels") or channel_count(Task("own", folder))
    channels = [f"channel {i}" for i in range(channels)] if isinstance(channels, int) else list(channels)
    layer: dict[str, Any] = {
        "channels": channels,
        "spacing": spacing,
        "label_names": [labels[number] for number in sorted(labels)],
    }
    if "CT" not in channels[0].upper():
        layer["intensity"] = {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True}
        layer["foreground"] = {"_target_": "Identityd", "keys": "image"}
        keys = ("channels", "orientation", "spacing", "roi_size")
        layer["view"] = {**{key: f"@{key}" for key in keys}, "intensity": "z-score of all voxels per channel"}
    path = out / "own.json"
    path.write_text(json.dumps(layer, indent=2))
    return Task("own", folder, own_layer=path)


def channel_count(task: Task) -> int:
    """Channels of the list's first image: one per 3D file, the last axis of a 4D one."""
    count = 0
    image = next((item["image"] for section in ("training", "unlabelled") for item in task.items(section)), [])
    for name in [image] if isinstance(image, str) else image:
        shape = nib.load(task.dataset_dir / name).shape
        if len(shape) not in (3, 4):
            raise SystemExit(f"error: {name} has shape {shape}; 3D, or 4D with the channels last, is needed")
        count += shape[3] if len(shape) == 4 else 1
    return count or 1


def held_out_section(task: Task) -> str:
    """Where the runs are compared: ``test`` where it has labels, else ``validation``; a short list is refused.

    Raises:
        SystemExit: when a section that a later step needs has no case, or one without a label.
    """
    sections = {name: task.items(name) for name in ("unlabelled", "training", "validation", "test")}
    found = ", ".join(f"{len(items)} {name}" for name, items in sections.items())
    missing = [name for name in ("unlabelled", "training", "validation") if not sections[name]]
    if missing:
        # The weights that are compared are chosen on the validation cases, so test cases do not replace them.
        raise SystemExit(f"error: the data list has no cases in {', '.join(missing)}; found {found}")
    for name in ("training", "validation"):
        bare = [item["image"] for item in sections[name] if not item.get("label")]
        if bare:
            raise SystemExit(f"error: the data list has {len(bare)} {name} cases without a label, first {bare[0]}")
    return "test" if sections["test"] and all(item.get("label") for item in sections["test"]) else "validation"


def epochs_for(steps: int, volumes: int, batch: int) -> int:
    """Epochs that give at least ``steps`` optimizer steps."""
    return max(VALIDATIONS, -(-steps // max(1, volumes // batch)))


def start_folder(out: Path, overwrite: bool, dataset_dir: str | None) -> None:
    """Make an empty ``out`` with the marker in it; what another program left there is never deleted."""
    if out.exists() and not out.is_dir():
        raise SystemExit(f"error: {out} is a file; give another --out")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise SystemExit(f"error: {out} is not empty; give another --out, or --overwrite to replace it")
        if not (out / MARKER).is_file():
            raise SystemExit(f"error: {out} was not made by the quick start (no {MARKER} in it): not overwritten")
        if dataset_dir is not None and Path(dataset_dir).resolve().is_relative_to(out):
            raise SystemExit(f"error: --dataset_dir {dataset_dir} lies in {out}, which --overwrite would delete")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("made by ci/quickstart.py, whose --overwrite deletes this folder\n")


def main() -> None:
    """Run every step."""
    arguments = parse()
    out = Path(arguments.out).resolve()
    start_folder(out, arguments.overwrite, arguments.dataset_dir)
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    task = prepare(arguments, out)
    held_out = held_out_section(task)
    seconds["data"] = time.perf_counter() - start
    steps = [max(1, int(number * arguments.budget)) for number in STEPS]
    common = {"dataset_dir": task.dataset_dir, "seed": arguments.seed}

    # Validation volumes are never trained on, so pretraining may be validated on their images too.
    epochs = epochs_for(steps[0], len(task.items("unlabelled")), 2)
    place = {"bundle_root": PRETRAIN, "ckpt_dir": out / "pretrain", "output_dir": out / "pretrain"}
    schedule = {"epochs": epochs, "val_interval": max(1, epochs // VALIDATIONS)}
    seconds["pretraining"] = run_bundle(
        "pretraining (HybridMIM)", config_files(PRETRAIN, task), **common, **place, **schedule
    )
    run_bundle("pretext scores", config_files(PRETRAIN, task, "train.yaml", "evaluate.yaml"), **common, **place)

    epochs = epochs_for(steps[1], len(task.items("training")), 2)
    schedule = {"epochs": epochs, "val_interval": max(1, epochs // VALIDATIONS)}
    for run, pretrained in (("scratch", None), ("finetuned", out / "pretrain" / "model.pt")):
        place = {"bundle_root": task.segment, "ckpt_dir": out / run, "output_dir": out / run}
        weights = {} if pretrained is None else {"pretrained": pretrained}
        seconds[run] = run_bundle(
            f"segmentation, {run}", config_files(task.segment, task), **common, **place, **weights, **schedule
        )
        files = config_files(task.segment, task, "train.yaml", "evaluate.yaml")
        run_bundle(f"evaluation, {run}", files, **common, **place, evaluate_section=held_out)
    case = task.items(held_out)[0]
    if isinstance(case["image"], str):  # inference.yaml reads one file per volume
        segment(task, case, out)
    seconds["all"] = time.perf_counter() - start
    report = write_report(out, task.name, task.dataset_dir, case, arguments.seed, seconds)
    print(f"\nreport: {report}")


def segment(task: Task, case: dict[str, Any], out: Path) -> None:
    """Segment one volume that no run has trained on, with the fine-tuned weights."""
    run_bundle(
        "inference on a new volume",
        config_files(task.segment, task, "inference.yaml"),
        bundle_root=task.segment,
        dataset_dir=task.dataset_dir / case["image"],
        weights=out / "finetuned" / "model.pt",
        output_dir=out / "segmentation",
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("phantoms", "hippocampus"), default="phantoms")
    parser.add_argument("--dataset_dir", help="your data: decathlon layout, or images beside labels")
    parser.add_argument("--out", default=str(ROOT / "runs" / "quickstart"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spacing", type=float, nargs=3, default=[4.0, 4.0, 4.0], help="mm, for your own data")
    parser.add_argument("--budget", type=float, default=1.0, help="multiplies the training steps")
    parser.add_argument("--overwrite", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
