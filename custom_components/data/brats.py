"""The folders of the BraTS challenges: one folder per case, with one file per sequence and a segmentation.

``BraTS20_Training_001/BraTS20_Training_001_flair.nii`` (2020; the same names in 2018 and 2019),
``BraTS2021_00000/BraTS2021_00000_flair.nii.gz`` (2021), ``BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz``
(2023). Everything here works on names; no volume is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from custom_components.data.channels import BRATS_CHANNELS, sequence_of

_CHANNEL = {sequence_of(name): name for name in BRATS_CHANNELS}
_FILE_NAMES = {"FLAIR": "flair, t2f", "T1": "t1, t1n", "T1ce": "t1ce, t1c", "T2": "t2, t2w"}
# Since 2023 the scans of a patient share the patient's number: BraTS-GLI-00000-001.
_PATIENT = re.compile(r"^(BraTS-[A-Z]+-\d+)-\d+$", re.IGNORECASE)
#: Source of label files -> their values of necrotic and non-enhancing tumour core, edema, enhancing tumour.
LABEL_SOURCES = {
    "brats2020": (1, 2, 4),
    "brats2021": (1, 2, 4),
    "brats2023": (1, 2, 3),
    "msd_task01": (2, 1, 3),
}
_STRAY_LABEL = re.compile(r".*_segm?\.nii(\.gz)?$", re.IGNORECASE)
Files = dict[str, list[str]]


def brats_cases(files: Iterable[str], root: str) -> list[dict[str, Any]]:
    """Return the BraTS cases among files: ``{"image": [FLAIR, T1, T1ce, T2]}``, with ``label`` if there is one.

    A case is a folder whose files are named after the folder and a sequence. A folder named BraTS... must have one
    file of each of the four sequences. Folders with other names (of a hospital, say) are cases too, but only if
    all of them are complete; otherwise the volumes are taken to be single images. Other files beside the cases are
    ignored: they lack these channels, or they are stacked copies of the same cases.

    Args:
        files: relative POSIX paths.
        root: name of the folder that contains them; it may itself be a case.

    Returns:
        Items in the order of the files; empty if this is not a BraTS folder.

    Raises:
        ValueError: for a folder named BraTS... that lacks a sequence or has two files for one.
    """
    folders: dict[PurePosixPath, list[str]] = {}
    for file in files:
        folders.setdefault(PurePosixPath(file).parent, []).append(file)
    cases = [(folder.name or root, _by_channel(folder.name or root, inside)) for folder, inside in folders.items()]
    cases = [(case, found) for case, found in cases if found.keys() & set(BRATS_CHANNELS)]
    faults = {case: fault for case, found in cases if (fault := _fault(case, found))}
    for case, fault in faults.items():
        if case.lower().startswith("brats"):
            raise ValueError(fault)
    return [] if faults else [_item(found) for _, found in cases]


def patient_of(case: str) -> str | None:
    """Return the patient of a case named as in BraTS 2023 and later (``BraTS-GLI-00000-001``), else None."""
    match = _PATIENT.match(case)
    return match.group(1) if match else None


def _by_channel(case: str, files: Iterable[str]) -> Files:
    """Group a folder's files by channel name, ``label`` or ``other``."""
    found: Files = {}
    for file in files:
        name = PurePosixPath(file).name
        match = re.fullmatch(re.escape(case) + r"[_-](\w+)\.nii(\.gz)?", name, re.IGNORECASE)
        suffix = match.group(1).lower() if match else ""
        part = "label" if suffix == "seg" else _CHANNEL.get(sequence_of(suffix), "other")
        found.setdefault(part, []).append(file)
    # BraTS20_Training_355 is distributed with a label named W39_1998.09.19_Segm.nii.
    stray = [file for file in found.get("other", []) if _STRAY_LABEL.match(PurePosixPath(file).name)]
    # A name that starts like the case's may be somebody's prediction, not a label.
    stray = [file for file in stray if not PurePosixPath(file).name.lower().startswith(case.lower())]
    return found if "label" in found or not stray else {**found, "label": stray}


def _fault(case: str, found: Files) -> str:
    """Return why these files are not one case; empty if they are."""
    for name in BRATS_CHANNELS:
        if name not in found:
            there = ", ".join(PurePosixPath(file).name for files in found.values() for file in files)
            return f"case {case} has no {name} (a file named {case} and one of {_FILE_NAMES[name]}); found {there}"
    for name in (*BRATS_CHANNELS, "label"):
        if len(found.get(name, [])) > 1:
            return f"case {case} has several files for {name}: {', '.join(found[name])}; keep one of them"
    return ""


def _item(found: Files) -> dict[str, Any]:
    item: dict[str, Any] = {"image": [found[name][0] for name in BRATS_CHANNELS]}
    return {**item, "label": found["label"][0]} if "label" in found else item
