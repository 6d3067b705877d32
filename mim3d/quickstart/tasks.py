"""What the quick start runs on: phantoms, the hippocampus, or the user's own volumes, each with a data list."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib

from custom_components.data.sections import read_sections
from mim3d.catalog import BUNDLES, ROOT


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
        return hippocampus_task(folder)
    folder = linked(Path(arguments.dataset_dir), out / "data")
    if not (folder / "datalist.json").exists():
        split = ("--validation", 0.2, "--test", 0.2, "--unlabelled", "training+rest")
        command_line("datalist", folder, *split, "--seed", arguments.seed)
    return own_task(folder, out, arguments.spacing)


def hippocampus_task(folder: Path) -> Task:
    """MSD Task04, with the bundle and layer of its view."""
    return Task("hippocampus", folder, BUNDLES / "seg_msd_hippocampus", ["task_msd_hippocampus.yaml"])


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
