"""``mim3d convert``: convert DICOM series, NRRD and MetaImage files to NIfTI."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mim3d.arguments import add_workers

DESCRIPTION = """\
Convert the DICOM series, NRRD and MetaImage files below a folder to NIfTI, which training and inference read.

A series becomes OUT/sub-<patient>/series-<number>-<id>.nii.gz. The patient is written as a hash, so that all scans
of a patient stay together in a split; a hash is a pseudonym, not an anonymisation. Other files keep their path.
Localisers, secondary captures, colour images and series of fewer than 4 slices are left out. Series with missing
slices fail; the others go on. A gantry tilt is reported. OUT/convert.csv says what became of everything.

The same command continues after an interruption. It needs SimpleITK: pip install -e ".[convert]"."""
EXAMPLE = "example:\n  mim3d convert SCANS --out DATA"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    parser.add_argument("input", type=Path, metavar="DIR", help="the folder to convert; nothing in it is changed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the NIfTI files")
    parser.add_argument(
        "--subject",
        choices=("patient", "study"),
        default="patient",
        help="whose scans share a folder; study if all files have one PatientID (default: %(default)s)",
    )
    add_workers(parser, min(4, os.cpu_count() or 1), "volumes converted at a time")
    parser.add_argument("--overwrite", action="store_true", help="write files that exist again")


def run(arguments: argparse.Namespace) -> None:
    """Convert the folder and print a summary.

    Raises:
        ValueError: if a volume failed, after all others are done.
    """
    from mim3d.convert.run import FAILED, TABLE, convert_folder, summary

    given = arguments
    jobs = convert_folder(given.input, given.out, given.subject, given.workers, given.overwrite)
    print(summary(jobs))
    print(f"table: {given.out / TABLE}")
    failed = sum(job.result == FAILED for job in jobs)
    if failed:
        raise ValueError(f"{failed} volumes were not converted; {given.out / TABLE} says why")
