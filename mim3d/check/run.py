"""Checking every case of a list, then the list without its bad cases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from custom_components.atomic import write_csv
from custom_components.checks.examine import CaseFinding, examine
from custom_components.data.labelled import spread_evenly
from custom_components.data.layouts import left_out_text
from custom_components.data.names import first_image
from custom_components.threads import map_in_threads
from mim3d.check.expectations import Expectations, listed_cases

_NEED_LABELS = ("training", "validation")


class Report(NamedTuple):
    """What was found.

    Attributes:
        cases: number of cases.
        bad: number of cases with an error.
        read: number of cases whose images were read whole.
        findings: about cases, in the order of the list, then about the list.
    """

    cases: int
    bad: int
    read: int
    findings: list[CaseFinding]

    @property
    def errors(self) -> list[CaseFinding]:
        """Findings that a run would refuse."""
        return [finding for finding in self.findings if finding.is_error]

    @property
    def warnings(self) -> list[CaseFinding]:
        """The other findings."""
        return [finding for finding in self.findings if not finding.is_error]


def check_data(expectations: Expectations, full: bool, workers: int) -> Report:
    """Check all cases, and then the list without the bad ones.

    Args:
        expectations: what is checked.
        full: read every voxel; otherwise those of label maps and of some images, as before a training.
        workers: cases read at a time.

    Raises:
        ValueError: if the list cannot be read.
    """
    data_list, expected, sample, list_checks = expectations
    cases = list(listed_cases(data_list).values())
    chosen = {first_image(item) for item in (cases if full else spread_evenly(cases, sample))}

    def check(item: dict[str, object]) -> list[CaseFinding]:
        needs_label = expected.needs_label and item["section"] in _NEED_LABELS
        return examine(item, expected._replace(needs_label=needs_label), first_image(item) in chosen)

    found = map_in_threads(check, cases, "reading every voxel" if full else "checking cases", threads=workers)
    pairs = zip(cases, found, strict=True)
    bad = [first_image(item) for item, findings in pairs if any(finding.is_error for finding in findings)]
    data_list.leave_out(bad)
    every = [finding for findings in found for finding in findings]
    for make in list_checks.values():
        every += _of_list(data_list.source, make)
    if left := left_out_text(data_list.left_out):
        every.append(CaseFinding(data_list.source, left, is_error=False))
    return Report(len(cases), len(bad), len(chosen), every)


def _of_list(source: str, make: Callable[[], Callable[[], str | None]]) -> list[CaseFinding]:
    """Return what one check of the whole list finds: the error that it raises, or the warnings that it returns."""
    try:
        said = make()() or ""
    except (ValueError, OSError, SystemExit) as error:  # a section without cases ends a run at once
        return [CaseFinding(source, " ".join(str(error).split()).removeprefix("error: "))]
    lines = [line.removeprefix("warning: ") for line in said.splitlines() if line.startswith("warning: ")]
    return [CaseFinding(source, line, is_error=False) for line in lines]


def table(report: Report, dataset_dir: str) -> str:
    """Return the findings as text, errors and warnings apart, each with its file relative to the data folder."""
    lines = [f"{report.cases} cases checked: headers, label maps, and the voxels of {report.read} images"]
    for name, findings in (("error", report.errors), ("warning", report.warnings)):
        count = len(findings)
        lines.append(f"{count or 'no'} {name}{'' if count == 1 else 's'}")
        names = [_relative(finding.file, dataset_dir) for finding in findings]
        width = max(map(len, names), default=0)
        lines += [f"  {file:{width}}  {finding.what}" for file, finding in zip(names, findings, strict=True)]
    return "\n".join(lines)


def write_report(report: Report, path: str, dataset_dir: str) -> None:
    """Write the findings as CSV: level, file, finding."""
    rows = [
        {"level": "error" if f.is_error else "warning", "file": _relative(f.file, dataset_dir), "finding": f.what}
        for f in [*report.errors, *report.warnings]
    ]
    write_csv(Path(path), rows)


def _relative(file: str, dataset_dir: str) -> str:
    inside = os.path.abspath(file).startswith(os.path.abspath(dataset_dir) + os.sep)
    return os.path.relpath(file, dataset_dir) if inside else file
