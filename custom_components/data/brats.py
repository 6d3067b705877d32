"""The folders of the BraTS challenges: one folder per case, with one file per sequence and a segmentation.

``BraTS20_Training_001/BraTS20_Training_001_flair.nii`` (2020; 2018 and 2019 are named alike),
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
# From 2023 on, a patient's later scans carry the patient's number: BraTS-GLI-00000-001.
_PATIENT = re.compile(r"^(BraTS-[A-Z]+-\d+)-\d+$", re.IGNORECASE)
#: Whose label files -> their values of necrotic and non-enhancing tumour core, edema, enhancing tumour.
LABEL_SOURCES = {
    "brats2020": (1, 2, 4),
    "brats2021": (1, 2, 4),
    "brats2023": (1, 2, 3),
    "msd_task01": (2, 1, 3),
}
_STRAY_LABEL = re.compile(r".*_segm?\.nii(\.gz)?$", re.IGNORECASE)
Parts = dict[str, list[str]]


def brats_cases(files: Iterable[str], root: str) -> list[dict[str, Any]]:
    """The BraTS cases among files: items ``{"image": [FLAIR, T1, T1ce, T2]}``, with ``label`` where there is one.

    A case is a folder whose files are named after it and a sequence. One that is named BraTS must be complete:
    one file of each of the four sequences. Cases of other names, as a hospital's, are taken alike where all of
    them are complete; else this is a folder of single volumes. Files of other names beside the cases are left out:
    they have not these channels, or (stacked cases) are the same cases again.

    Args:
        files: relative POSIX paths.
        root: name of the folder that they are relative to: it may be a case itself.

    Returns:
        Items in the order of the files; empty where this is no BraTS folder.

    Raises:
        ValueError: naming the case that is named BraTS and lacks a sequence, or has two files for one.
    """
    folders: dict[PurePosixPath, list[str]] = {}
    for file in files:
        folders.setdefault(PurePosixPath(file).parent, []).append(file)
    cases = [(folder.name or root, _parts(folder.name or root, inside)) for folder, inside in folders.items()]
    cases = [(case, parts) for case, parts in cases if parts.keys() & set(BRATS_CHANNELS)]
    faults = {case: fault for case, parts in cases if (fault := _fault(case, parts))}
    for case, fault in faults.items():
        if case.lower().startswith("brats"):
            raise ValueError(fault)
    return [] if faults else [_item(parts) for _, parts in cases]


def patient_of(case: str) -> str | None:
    """The patient of a case named as since BraTS 2023 (``BraTS-GLI-00000-001``), else None."""
    match = _PATIENT.match(case)
    return match.group(1) if match else None


def _parts(case: str, files: Iterable[str]) -> Parts:
    """A folder's files by channel name, ``label`` or ``other``."""
    parts: Parts = {}
    for file in files:
        name = PurePosixPath(file).name
        match = re.fullmatch(re.escape(case) + r"[_-](\w+)\.nii(\.gz)?", name, re.IGNORECASE)
        suffix = match.group(1).lower() if match else ""
        part = "label" if suffix == "seg" else _CHANNEL.get(sequence_of(suffix), "other")
        parts.setdefault(part, []).append(file)
    # BraTS20_Training_355 is distributed with a label named W39_1998.09.19_Segm.nii.
    stray = [file for file in parts.get("other", []) if _STRAY_LABEL.match(PurePosixPath(file).name)]
    # A name that begins as the case's may be somebody's prediction: no label.
    stray = [file for file in stray if not PurePosixPath(file).name.lower().startswith(case.lower())]
    return parts if "label" in parts or not stray else {**parts, "label": stray}


def _fault(case: str, parts: Parts) -> str:
    """Why these are not the files of one case; empty where they are."""
    for name in BRATS_CHANNELS:
        if name not in parts:
            there = ", ".join(PurePosixPath(file).name for files in parts.values() for file in files)
            return f"case {case} has no {name} (a file named {case} and one of {_FILE_NAMES[name]}); found {there}"
    for name in (*BRATS_CHANNELS, "label"):
        if len(parts.get(name, [])) > 1:
            return f"case {case} has several files for {name}: {', '.join(parts[name])}; keep one of them"
    return ""


def _item(parts: Parts) -> dict[str, Any]:
    item: dict[str, Any] = {"image": [parts[name][0] for name in BRATS_CHANNELS]}
    return {**item, "label": parts["label"][0]} if "label" in parts else item
