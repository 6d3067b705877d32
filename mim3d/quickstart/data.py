"""The data of the quick start: phantoms, the hippocampus, or the user's own volumes, each with a data list."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_components.atomic import write_json
from custom_components.data.nifti import read_header
from custom_components.data.sections import DATALIST_NAME, read_list
from mim3d.catalog import DEFAULT_VIEW, TASKS, Task
from mim3d.datasets.prepare import prepare_datalist
from mim3d.phantoms import write_phantoms

#: How many phantoms each section gets without --cases.
PHANTOMS = {"training": 6, "validation": 3, "test": 6, "unlabelled": 18}
OWN_SPACING = [4.0, 4.0, 4.0]  # mm


@dataclass
class DataSet:
    """A folder with a data list, and the task whose segmentation bundle and view fit it.

    Attributes:
        name: ``phantoms``, ``hippocampus`` or ``own``.
        dataset_dir: the folder.
        task: the task.
        own_layer: a config layer written for the user's own data.
        spacing: voxel size in mm at which volumes are read; None: that of the configs.
    """

    name: str
    dataset_dir: Path
    task: Task = TASKS[DEFAULT_VIEW]
    own_layer: Path | None = None
    spacing: list[float] | None = None

    def items(self, section: str) -> list[dict[str, Any]]:
        """Return the cases of a section of the data list; an absent section has none."""
        return read_list(self.dataset_dir).sections.get(section, [])


def prepare(arguments: argparse.Namespace, out: Path) -> DataSet:
    """Write, find or download the data, and write a data list unless there is one.

    Args:
        arguments: those of ``mim3d quickstart``.
        out: folder of all results; data goes to ``out/data``.

    Raises:
        ValueError: for a folder that does not exist, and for data that cannot be listed.
    """
    print("=== data", flush=True)
    if arguments.data == "phantoms" and arguments.dataset_dir is None:
        sections: dict[str, Any] = PHANTOMS if arguments.cases is None else {"cases": arguments.cases}
        write_phantoms(out / "data", seed=arguments.seed, size=arguments.size, **sections)
        return DataSet("phantoms", out / "data", spacing=arguments.spacing)
    if arguments.data == "hippocampus":
        folder = linked(arguments.dataset_dir or download_hippocampus(out / "download"), out / "data")
        _list(folder, arguments.seed, training=12, validation=8, test=40)
        return DataSet("hippocampus", folder, TASKS["msd_hippocampus"], spacing=arguments.spacing)
    folder = linked(arguments.dataset_dir, out / "data")
    _list(folder, arguments.seed, validation=0.2, test=0.2)
    return own_data(folder, out, arguments.spacing or OWN_SPACING)


def _list(folder: Path, seed: int, **sizes: Any) -> None:
    if not (folder / DATALIST_NAME).exists():
        prepare_datalist(folder, seed=seed, **sizes)


def download_hippocampus(folder: Path) -> Path:
    """Download the decathlon's Task04 and return its folder."""
    from monai.apps.datasets import DecathlonDataset

    folder.mkdir(parents=True, exist_ok=True)
    DecathlonDataset(str(folder), "Task04_Hippocampus", section="training", download=True, cache_num=0)
    return folder / "Task04_Hippocampus"


def linked(source: Path, folder: Path) -> Path:
    """Make a folder of links to the content of ``source``, so that the list is not written into the user's folder.

    Raises:
        ValueError: if ``source`` is not a folder.
    """
    if not source.is_dir():
        raise ValueError(f"--dataset_dir {source} is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        (folder / entry.name).symlink_to(entry.resolve())
    return folder


def own_data(folder: Path, out: Path, spacing: list[float]) -> DataSet:
    """Write a config layer for the user's own data, and return the data set with it.

    Classes and channels are those of the data list. A first channel named CT gets the bundle's HU window, any
    other a z-score.

    Args:
        folder: folder with a data list.
        out: folder to write ``own.json`` to.
        spacing: voxel size in mm at which volumes are read.

    Raises:
        ValueError: if the list does not name the labels 0, 1, ... without a gap.
    """
    content = json.loads((folder / DATALIST_NAME).read_text(encoding="utf-8"))
    labels = {int(value): name for value, name in (content.get("labels") or {}).items()}
    if sorted(labels) != list(range(len(labels))) or len(labels) < 2:
        raise ValueError(f"the data list names the labels {labels}; allowed: 0 (background), 1, ... without a gap")
    data = DataSet("own", folder, own_layer=out / "own.json", spacing=spacing)
    channels = list(content.get("channels") or [f"channel {i}" for i in range(channel_count(data))])
    layer: dict[str, Any] = {
        "channels": channels,
        "label_names": [labels[value] for value in sorted(labels)],
    }
    if "CT" not in channels[0].upper():
        layer["intensity"] = {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True}
        layer["foreground"] = {"_target_": "Identityd", "keys": "image"}
        keys = ("channels", "orientation", "spacing", "roi_size")
        layer["view"] = {**{key: f"@{key}" for key in keys}, "intensity": "z-score of all voxels per channel"}
    write_json(out / "own.json", layer)
    return data


def channel_count(data: DataSet) -> int:
    """Return how many channels the first listed image has: one per 3D file, the last axis of a 4D file.

    Raises:
        ValueError: for a file that cannot be read as a 3D or 4D volume.
    """
    listed = [item["image"] for section in ("training", "unlabelled") for item in data.items(section)]
    image: str | list[str] = listed[0] if listed else []
    names = [image] if isinstance(image, str) else image
    return sum(read_header(str(data.dataset_dir / name)).channels for name in names) or 1


def held_out_section(data: DataSet) -> str:
    """Return the section to compare the segmentation runs on: ``test`` if it has labels, else ``validation``.

    Raises:
        ValueError: if a section that a later step needs has no case, or a case without a label.
    """
    sections = {name: data.items(name) for name in ("unlabelled", "training", "validation", "test")}
    found = ", ".join(f"{len(items)} {name}" for name, items in sections.items())
    # The compared weights are chosen on the validation cases, so test cases do not replace them.
    missing = [name for name in ("unlabelled", "training", "validation") if not sections[name]]
    if missing:
        raise ValueError(f"the data list has no cases in {', '.join(missing)}; found {found}")
    for name in ("training", "validation"):
        bare = [item["image"] for item in sections[name] if not item.get("label")]
        if bare:
            raise ValueError(f"the data list has {len(bare)} {name} cases without a label, first {bare[0]}")
    return "test" if sections["test"] and all(item.get("label") for item in sections["test"]) else "validation"
