"""Cases of several files: one file per channel, named as in nnU-Net (``case_0000``) or in BraTS."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from custom_components.data.brats import brats_cases
from custom_components.data.channels import BRATS_CHANNELS, sequence_of
from custom_components.data.names import case_id

_NUMBERED = re.compile(r"(.+)_(\d{4})")


class Group(NamedTuple):
    """The files of one case.

    Attributes:
        name: path without suffix, relative to the input folder.
        files: in the order of the channels.
        fault: why the files are no case; empty if they are one.
    """

    name: str
    files: tuple[Path, ...]
    fault: str = ""


def group_channels(folder: Path, names: Sequence[str], channels: Sequence[str]) -> list[Group]:
    """Group a folder's images into cases.

    With several channels, files that end in ``_0000``, ``_0001`` ... are the channels of one case, and so are
    the sequences of a BraTS folder. With one channel, such numbers may count patients: they count channels if the
    folder has nnU-Net's ``dataset.json``, or if several names have more than one number from 0000 on.

    Args:
        folder: the input folder.
        names: images as POSIX paths relative to it.
        channels: names of the network's channels.

    Returns:
        The cases, sorted by name. A case whose channels are incomplete has a fault.
    """
    by_parent: dict[PurePosixPath, list[str]] = defaultdict(list)
    for name in names:
        by_parent[PurePosixPath(name).parent].append(name)
    groups = []
    for parent, inside in by_parent.items():
        found = _brats(folder, parent, inside, channels) or _nnunet(folder, inside, channels)
        taken = {file for group in found for file in group.files}
        singles = [name for name in inside if folder / name not in taken]
        groups += [*found, *(Group(_name([name]), (folder / name,)) for name in singles)]
    return sorted(groups, key=lambda group: (group.name, group.files))


def _name(names: Sequence[str]) -> str:
    """Return the path of a case without suffix."""
    return (PurePosixPath(names[0]).parent / case_id(list(names))).as_posix()


def _brats(folder: Path, parent: PurePosixPath, inside: list[str], channels: Sequence[str]) -> list[Group]:
    if [sequence_of(name) for name in channels] != [sequence_of(name) for name in BRATS_CHANNELS]:
        return []
    try:
        cases = brats_cases(inside, folder.resolve().name)
    except ValueError as error:
        name = (parent / (parent.name or folder.resolve().name)).as_posix()
        return [Group(name, tuple(folder / file for file in inside), str(error))]
    return [Group(_name(case["image"]), tuple(folder / file for file in case["image"])) for case in cases]


def _nnunet(folder: Path, inside: list[str], channels: Sequence[str]) -> list[Group]:
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in inside:
        if match := _NUMBERED.fullmatch(_name([name])):
            numbered[match.group(1)].append((int(match.group(2)), name))
    if len(channels) == 1 and not _count_channels(folder, inside, numbered):
        return []
    groups = []
    for case, files in numbered.items():
        files.sort()
        fault, numbers = "", [number for number, _ in files]
        if numbers != list(range(len(channels))):
            there = ", ".join(PurePosixPath(name).name for _, name in files)
            wanted = ", ".join(f"_{number:04d} {name}" for number, name in enumerate(channels))
            fault = f"the channels are {there}; one file each is needed for {wanted}"
        groups.append(Group(case, tuple(folder / name for _, name in files), fault))
    return groups


def _count_channels(folder: Path, inside: list[str], numbered: dict[str, list[tuple[int, str]]]) -> bool:
    """Return whether the numbers at the ends of the names count channels."""
    parent = (folder / inside[0]).parent
    stated = any("channel_names" in _text(place / "dataset.json") for place in (parent, parent.parent))
    several = [case for case, files in numbered.items() if {0, 1} <= {number for number, _ in files}]
    return stated or len(several) > 1


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
