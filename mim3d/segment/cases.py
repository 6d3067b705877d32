"""Which cases the input holds: files found, channels grouped, and one output for each case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from custom_components.data.names import case_id, in_label_folder, is_label_name, is_nifti
from custom_components.data.sections import read_list
from custom_components.data.walk import nifti_files
from mim3d.segment.channels import Group, group_channels
from mim3d.segment.marker import read_marker

#: How the names of outputs end.
_MASK, _PROBABILITIES = "_seg.nii.gz", "_probabilities.nii.gz"


@dataclass(frozen=True)
class Case:
    """A case to segment.

    Attributes:
        name: path without suffix, relative to the input folder.
        files: one file, or one per channel in order.
        output: the mask to write.
        fault: why it cannot be segmented; empty if nothing is known against it.
    """

    name: str
    files: tuple[Path, ...]
    output: Path
    fault: str = ""

    @property
    def probabilities(self) -> Path:
        """The file of probabilities to write, if they are asked for."""
        return self.output.with_name(self.output.name.removesuffix(_MASK) + _PROBABILITIES)


@dataclass(frozen=True)
class Found:
    """What an input holds.

    Attributes:
        cases: in the order in which they are segmented.
        left: reason -> files that are left alone.
    """

    cases: list[Case]
    left: dict[str, list[str]]


def find_cases(inputs: Sequence[str], channels: Sequence[str], out: Path) -> Found:
    """Find the cases of a folder, a file, a data list, or the files of one case.

    Args:
        inputs: one path; or the files of one case in the order of the channels.
        channels: names of the network's channels.
        out: folder for the masks; subfolders of the input folder are repeated in it.

    Raises:
        ValueError: for a path that does not exist or is not NIfTI, for an input without cases, and for two cases
            whose outputs cannot be kept apart.
    """
    paths = [Path(given) for given in inputs]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist; give a folder, a .nii or .nii.gz file, or a data list")
    left: dict[str, list[str]] = {}
    if len(paths) > 1:
        groups = [_given_group(paths, channels)]
    elif paths[0].is_dir():
        names, left = _images(paths[0])
        groups = group_channels(paths[0], names, channels)
    elif paths[0].suffix.lower() == ".json":
        groups = _listed(paths[0])
    else:
        groups = [_given_group(paths, channels)]
    if not groups:
        aside = "; ".join(f"{reason}: {len(names)}" for reason, names in left.items())
        raise ValueError(f"{paths[0]} holds no .nii or .nii.gz file to segment" + (f" ({aside})" if aside else ""))
    return Found(_with_outputs(groups, out), left)


def _given_group(paths: Sequence[Path], channels: Sequence[str]) -> Group:
    """Return files of the command line as one case."""
    for path in paths:
        if not is_nifti(path.name) or not path.is_file():
            raise ValueError(f"{path} is not a .nii or .nii.gz file; several inputs are the files of one case")
        if read_marker(path):
            raise ValueError(f"{path} was written by mim3d segment; give an image")
    if len(paths) not in (1, len(channels)):
        raise ValueError(
            f"{len(paths)} files are given for the channels {', '.join(channels)}; give one file for each, or one"
            " 4D file, or a folder of cases"
        )
    return Group(case_id([path.name for path in paths]), tuple(paths))


def _images(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the images in a folder as relative POSIX paths, and what is left alone."""
    every = nifti_files(folder)
    images = {name for name in every if not is_label_name(name) and not in_label_folder(name)}
    masks = {name for name in every if read_marker(folder / name)}
    left = {
        "written by mim3d segment": sorted(masks),
        "named like label maps": sorted(set(every) - images - masks),
    }
    return sorted(images - masks), {reason: names for reason, names in left.items() if names}


def _listed(datalist: Path) -> list[Group]:
    """Return every image of a data list, each once."""
    sections = read_list(datalist.parent.resolve(), datalist=datalist.resolve()).sections
    groups = {}
    for item in (item for items in sections.values() for item in items):
        names = item["image"] if isinstance(item["image"], list) else [item["image"]]
        name = str(PurePosixPath(names[0]).parent / case_id(names))
        files = tuple(datalist.parent / file for file in names)
        lost = [file for file in files if not file.is_file()]
        groups[tuple(names)] = Group(name, files, f"{lost[0]} does not exist" if lost else "")
    return list(groups.values())


def _with_outputs(groups: Sequence[Group], out: Path) -> list[Case]:
    """Give each case an output of its own.

    ``case.nii`` and ``case.nii.gz`` are told apart by their suffix; names are compared without regard to case,
    because some file systems do so.
    """
    stems = Counter(_relative(group.name).lower() for group in groups)
    cases = []
    for group in groups:
        name = _relative(group.name)
        if stems[name.lower()] > 1:
            name = str(PurePosixPath(name).with_name(group.files[0].name))
        cases.append(Case(name, group.files, out / f"{name}{_MASK}", group.fault))
    _check_distinct(cases)
    return cases


def _relative(name: str) -> str:
    """Return a name that stays inside the output folder, also for images listed by absolute or ``..`` paths."""
    return re.sub(r"^(/|\.\./|\./)+", "", name)


def _check_distinct(cases: Iterable[Case]) -> None:
    seen: dict[Path, Case] = {}
    for case in cases:
        if other := seen.get(case.output):
            raise ValueError(
                f"{other.files[0]} and {case.files[0]} would both be written to {case.output}; rename one of them"
            )
        seen[case.output] = case
