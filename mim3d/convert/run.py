"""Converting a folder: what it holds, one output for each volume, and a table of what became of everything."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from custom_components.atomic import write_csv
from custom_components.data.names import is_nifti
from custom_components.threads import map_in_threads
from mim3d.convert.dicom import is_dicom, pseudonym, read_headers, whole_number
from mim3d.convert.images import affine_of_slices, read_image_file, read_slices, simpleitk, write_nifti
from mim3d.convert.series import Series, group_into_series, needs_float

IMAGE_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
WRITTEN, THERE, LEFT_OUT, FAILED = "written", "there already", "left out", "failed"
TABLE = "convert.csv"
Volume = tuple[np.ndarray, np.ndarray]


@dataclass
class Job:
    """A volume, or something that is none.

    Attributes:
        source: file, or the folder of a series, relative to the input.
        output: the file to write, relative to the output; None: nothing is written.
        read: returns values and affine.
        result: what became of it.
        why: why it is left out or failed, or what is unusual.
        facts: further columns of the table.
    """

    source: str
    output: Path | None = None
    read: Callable[[], Volume] | None = None
    result: str = ""
    why: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def convert_folder(folder: Path, out: Path, subject: str, workers: int, overwrite: bool) -> list[Job]:
    """Convert all DICOM series, NRRD and MetaImage files below a folder, and write the table ``convert.csv``.

    Args:
        folder: the input; nothing in it is changed.
        out: folder for the NIfTI files; an output that exists is kept, so that the same call continues.
        subject: what names a series' folder: ``patient`` or ``study``.
        workers: volumes converted at a time.
        overwrite: write outputs that exist again.

    Raises:
        ValueError: for a missing folder, one without such files, outputs with one name, and without SimpleITK.
    """
    simpleitk()
    jobs = find_jobs(folder, subject, workers)
    _check_outputs(jobs)
    try:
        map_in_threads(partial(_convert, out=out, overwrite=overwrite), jobs, "converting", "volume", workers)
    finally:
        write_csv(out / TABLE, [_row(job) for job in jobs if job.result])
    return jobs


def find_jobs(folder: Path, subject: str, workers: int) -> list[Job]:
    """Return a job for each series and file below a folder.

    Raises:
        ValueError: if there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give the folder of DICOM, NRRD or MetaImage files")
    files = sorted(Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    images = [file for file in files if file.name.lower().endswith(IMAGE_SUFFIXES) and file.name[0] != "."]
    jobs = [_of_file(file, folder) for file in images]
    dicom = [file for file in files if file not in set(images) and not is_nifti(file.name) and is_dicom(file)]
    slices, without_image = read_headers(dicom, workers)
    jobs += [_of_series(one, folder, subject) for one in group_into_series(slices)]
    for file in without_image:
        jobs.append(Job(_relative(file, folder), result=LEFT_OUT, why="DICOM files without an image"))
    if not jobs:
        raise ValueError(f"{folder} holds no DICOM, NRRD or MetaImage file; NIfTI files need no conversion")
    return jobs


def _of_file(file: Path, folder: Path) -> Job:
    relative = file.relative_to(folder)
    output = relative.with_name(f"{relative.name.rpartition('.')[0]}.nii.gz")
    return Job(str(relative), output, partial(read_image_file, file))


def _of_series(series: Series, folder: Path, subject: str) -> Job:
    tags = series.tags
    first = series.slices[0]
    source = _relative(str(Path(first.file).parent), folder)
    facts = {name: tags[name] for name in ("modality", "number", "description")}
    facts["slices"] = str(len(series.slices))
    if series.left_out:
        return Job(source, result=LEFT_OUT, why=series.left_out, facts=facts)
    if series.fault:
        return Job(source, result=FAILED, why=series.fault, facts=facts)
    owner = (tags["patient"] if subject == "patient" else "") or tags["study"]
    part = "".join(tags[name] for name in ("series", "orientation", "rows", "acquisition", "time", "echo"))
    name = f"series-{whole_number(tags['number']):03d}-{pseudonym(part, 6)}.nii.gz"
    output = Path(f"sub-{pseudonym(owner, 8)}") / name
    return Job(source, output, partial(_read_series, series), why="; ".join(series.notes), facts=facts)


def _read_series(series: Series) -> Volume:
    slices = series.slices
    positions = np.array([one.numbers("position") for one in slices])
    affine = affine_of_slices(slices[0].numbers("orientation"), slices[0].numbers("spacing"), positions)
    return read_slices([one.file for one in slices], needs_float(slices)), affine


def _convert(job: Job, out: Path, overwrite: bool) -> None:
    """Convert one volume; whatever is wrong with it, the others go on."""
    if job.output is None or job.read is None:
        return
    target = out / job.output
    if target.is_file() and not overwrite:
        job.result = THERE
        return
    try:
        values, affine = job.read()
        write_nifti(target, values, affine)
        job.result = WRITTEN
        job.facts["shape"] = " x ".join(map(str, values.shape))
        job.facts["spacing_mm"] = " x ".join(f"{n:.4g}" for n in np.linalg.norm(affine[:3, :3], axis=0))
    except ValueError as error:
        job.result, job.why = FAILED, " ".join(str(error).split())


def _check_outputs(jobs: Sequence[Job]) -> None:
    sources: dict[str, str] = {}
    for job in jobs:
        if job.output is None:
            continue
        other = sources.setdefault(str(job.output).lower(), job.source)
        if other != job.source:
            raise ValueError(f"{other} and {job.source} would both be written to {job.output}; rename one of them")


def _row(job: Job) -> dict[str, str]:
    return {
        "source": job.source,
        "output": str(job.output or ""),
        "result": job.result,
        "why": job.why,
        **job.facts,
    }


def summary(jobs: Sequence[Job]) -> str:
    """Return counts, what failed or is unusual with its source, and what was left out by reason."""
    counts = Counter(job.result for job in jobs)
    lines = [", ".join(f"{counts[result]} {result}" for result in (WRITTEN, THERE, LEFT_OUT, FAILED))]
    left: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.result == LEFT_OUT:
            left[job.why].append(job)
        elif job.why:
            name = "failed" if job.result == FAILED else "note"
            lines.append(f"{name}: {job.source} {job.why}")
    lines += [f"left out: {len(found)} {why}, first in {found[0].source}" for why, found in left.items()]
    return "\n".join(lines)


def _relative(file: str, folder: Path) -> str:
    return os.path.relpath(file, folder)
