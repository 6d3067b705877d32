"""The data of the quick start: the hippocampus or the user's own volumes, their list, and their config keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom_components.data.nifti import read_header
from custom_components.data.sections import DATALIST_NAME
from mim3d.datasets.prepare import prepare_datalist

Keys = dict[str, Any]


def download_hippocampus(folder: Path) -> Path:
    """Download the decathlon's Task04, unless it is there, and return its folder."""
    from monai.apps.datasets import DecathlonDataset

    folder.mkdir(parents=True, exist_ok=True)
    DecathlonDataset(str(folder), "Task04_Hippocampus", section="training", download=True, cache_num=0)
    return folder / "Task04_Hippocampus"


def list_cases(folder: Path, out: Path, seed: int, **sizes: Any) -> Path:
    """Return the data list of a folder: its own, or one that is drawn once and kept in ``out``.

    Args:
        folder: the data; nothing is written into it.
        out: folder of the results.
        seed: of the drawn list.
        **sizes: of its sections, as for `prepare_datalist`.

    Raises:
        ValueError: for a folder that does not exist or cannot be listed.
    """
    if (folder / DATALIST_NAME).is_file():
        return folder / DATALIST_NAME
    if not (out / DATALIST_NAME).is_file():
        prepare_datalist(folder, out / DATALIST_NAME, seed=seed, **sizes)
    return out / DATALIST_NAME


def own_keys(folder: Path, content: Keys) -> tuple[Keys, Keys]:
    """Return the config keys that describe the user's own data: of every training, and of segmentation alone.

    Classes and channels are those of the data list. A first channel named CT gets the bundle's HU window, any
    other a z-score.

    Args:
        folder: the data.
        content: of the data list.

    Raises:
        ValueError: if the list does not name the labels 0, 1, ... without a gap.
    """
    labels = {int(value): name for value, name in (content.get("labels") or {}).items()}
    if sorted(labels) != list(range(len(labels))) or len(labels) < 2:
        raise ValueError(f"the data list names the labels {labels}; allowed: 0 (background), 1, ... without a gap")
    channels = list(content.get("channels") or [f"channel {i}" for i in range(channel_count(folder, content))])
    view: Keys = {"channels": channels}
    if "CT" not in channels[0].upper():
        view["intensity"] = {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True}
        view["foreground"] = {"_target_": "Identityd", "keys": "image"}
        keys = ("channels", "orientation", "spacing", "roi_size")
        view["view"] = {**{key: f"@{key}" for key in keys}, "intensity": "z-score of all voxels per channel"}
    return view, {"label_names": [labels[value] for value in sorted(labels)]}


def channel_count(folder: Path, content: Keys) -> int:
    """Return how many channels the first listed image has: one per 3D file, the last axis of a 4D file.

    Args:
        folder: the data.
        content: of the data list.

    Raises:
        ValueError: for a file that cannot be read as a 3D or 4D volume.
    """
    listed = [item["image"] for section in ("training", "unlabelled") for item in content.get(section, [])]
    image: str | list[str] = listed[0] if listed else []
    names = [image] if isinstance(image, str) else image
    return sum(read_header(str(folder / name)).channels for name in names) or 1
