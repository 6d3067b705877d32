"""One case after another: what exists is skipped, a bad case is reported, and a table says how each ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from custom_components.data.walk import why_lost
from custom_components.faults import fault_in
from mim3d.segment.cases import Case, Found
from mim3d.segment.marker import Marker, digest_of_files, read_marker
from mim3d.segment.network import Segmented, Segmenter
from mim3d.segment.writer import write_channels_like, write_like

WRITTEN, SKIPPED, FAILED = "written", "skipped", "failed"


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Attributes:
        case: name of the case.
        result: written, skipped or failed.
        seconds: that it took.
        reason: why it was skipped or failed; the mask's path if it was written, and what the image was warned of.
    """

    case: str
    result: str
    seconds: float
    reason: str


def segment_cases(found: Found, segmenter: Segmenter, overwrite: bool = False) -> list[Result]:
    """Segment every case, print its progress, and print a table at the end, also after an interruption.

    Args:
        found: the cases.
        segmenter: the network with its transforms.
        overwrite: replace masks of earlier calls.

    Returns:
        One result for each case.
    """
    for reason, names in found.left.items():
        print(f"left alone, {reason}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    results: list[Result] = []
    try:
        for number, case in enumerate(found.cases, 1):
            print(f"[{number}/{len(found.cases)}] {case.name} ...", flush=True)
            results.append(_one(case, segmenter, overwrite))
            left = _time_left(results, len(found.cases))
            print(f"    {results[-1].result} in {results[-1].seconds:.1f} s{left}", flush=True)
    finally:
        print(table(results), flush=True)
    return results


def table(results: Sequence[Result]) -> str:
    """Return a table of all cases as text."""
    rows = [("case", "result", "seconds", "reason")]
    rows += [(r.case, r.result, f"{r.seconds:.1f}", r.reason) for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n" + "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _one(case: Case, segmenter: Segmenter, overwrite: bool) -> Result:
    start = time.perf_counter()
    try:
        if case.fault:
            raise ValueError(case.fault)
        if lost := next((f"{file} {why}" for file in case.files if (why := why_lost(file))), ""):
            raise ValueError(lost)
        made = Marker(segmenter.settings, digest_of_files(case.files))
        outputs = [case.probabilities, case.output] if segmenter.probabilities else [case.output]
        done = [_is_done(output, made, overwrite) for output in outputs]
        if all(done):
            result, reason = SKIPPED, f"{case.output} exists"
        else:
            segmenter.check_memory(case.files)
            warnings: list[str] = []
            _write(case, segmenter.segment(case.files, warnings.append), made)
            result, reason = WRITTEN, "; ".join([str(case.output), *(f"warning: {line}" for line in warnings)])
    except Exception as error:  # whatever is wrong with a case, the others go on
        result, reason = FAILED, _reason(error)
    return Result(case.name, result, time.perf_counter() - start, reason)


def _write(case: Case, segmented: Segmented, made: Marker) -> None:
    """Write a case's outputs, the mask last: without it, the next call repeats the case."""
    if segmented.probabilities is not None:
        write_channels_like(segmented.probabilities, case.files[0], case.probabilities, str(made))
    write_like(segmented.mask, case.files[0], case.output, str(made))


def _is_done(output: Path, made: Marker, overwrite: bool) -> bool:
    """Return whether an output exists already.

    Raises:
        ValueError: for a file that must not be taken for this output, and must not be replaced.
    """
    if not output.exists():
        return False
    marker = read_marker(output)
    if marker is None:
        raise ValueError(f"{output} exists, and mim3d segment did not write it; give another --out")
    if overwrite:
        return False
    if marker == made:
        return True
    differs = "other weights or keys" if marker.settings != made.settings else "another state of the image"
    raise ValueError(f"{output} exists, made with {differs}; --overwrite replaces it")


def _reason(error: Exception) -> str:
    """Return what is wrong with a case in one line."""
    text = str(fault_in(error) or error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "not enough memory" in text:
        return "memory ran out; give a smaller --sw_batch_size, or use a machine with more memory"
    line = " ".join(text.split())
    return line if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {line}"


def _time_left(results: Sequence[Result], cases: int) -> str:
    """Return the time left as text, from the mean of the cases that were segmented."""
    seconds = [result.seconds for result in results if result.result == WRITTEN]
    left = cases - len(results)
    if not seconds or not left:
        return ""
    expected = left * sum(seconds) / len(seconds)
    return f", about {expected / 60:.0f} min left" if expected >= 90 else f", about {expected:.0f} s left"
