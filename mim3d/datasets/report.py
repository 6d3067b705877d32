"""What ``mim3d datalist`` prints and stores about a folder: sizes, subjects, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_components.atomic import read_json
from custom_components.data.descriptions import IGNORE, regions_of
from custom_components.data.leaks import Sections
from custom_components.data.names import first_image
from custom_components.data.pairs import PER_CLASS
from custom_components.data.sections import LOOKS_LIKE_LABELS
from custom_components.data.subjects import Subjects

_NOT_UNPACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".part", ".crdownload", ".aria2")
_EXAMPLES = 5  # files that a list names for each reason
_ADVICE = {
    PER_CLASS: ". For one label map per case, number the classes 1, 2, ... and write the sum of number x mask as"
    " label.nii.gz beside the image",
    LOOKS_LIKE_LABELS: " (--include_label_like keeps them)",
}


def counted(left_out: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a list stores; a dictionary, because a list would be read as a section."""
    return {reason: {"files": len(files), "first": list(files[:_EXAMPLES])} for reason, files in left_out.items()}


def report(
    path: Path,
    sections: Sections,
    subjects: Subjects,
    folder: Path,
    left_out: Mapping[str, Sequence[str]],
    labelled: int,
) -> None:
    """Print the sizes of the sections, what was left out or is missing, and what became of nnU-Net's regions.

    Args:
        path: of the list.
        sections: its items by section.
        subjects: the subject of each case.
        folder: the data folder.
        left_out: reason -> files.
        labelled: number of labelled cases in the folder.
    """
    print(f"{path}: " + ", ".join(f"{len(items)} {name}" for name, items in sections.items()))
    cases = {first_image(item): item for items in sections.values() for item in items}
    if (count := len(subjects.group(cases.values()))) < len(cases):
        print(
            f"{len(cases)} cases are of {count} subject{'s'[: count - 1]}; the volumes of a subject stay together"
        )
    for reason, files in left_out.items():
        print(f"left out {len(files)} {reason}, first {files[0]}{_ADVICE.get(reason, '')}")
    for file in not_unpacked(folder):
        print(f"warning: {file} is not unpacked, or its download is not finished")
    description = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    if isinstance(stated := description.get("numTraining"), int) and stated > labelled:
        print(f"warning: dataset.json states {stated} labelled cases; {labelled} are there")
    if description.get("validation"):
        print("dataset.json lists validation cases; this list draws its own among all labelled cases")
    for name, values in regions_of(description).items():
        print(f"dataset.json: {name} is the region of the label values {', '.join(map(str, values))}")
    if regions_of(description):
        print("labels: each value is named by the smallest region that holds it; a config's regions join values")
    if IGNORE in (description.get("labels") or {}):
        print(f"dataset.json: the label {IGNORE!r} is listed as a class; the losses here do not ignore it")


def not_unpacked(folder: Path) -> list[str]:
    """Return archives and unfinished downloads in a folder and its folders, as relative paths."""
    files = [*folder.glob("*"), *folder.glob("*/*")]
    found = [file for file in files if file.name.lower().endswith(_NOT_UNPACKED) and file.is_file()]
    return sorted(str(file.relative_to(folder)) for file in found)
