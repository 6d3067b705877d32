"""What becomes of bad cases: they end the run, or the run goes on without them and lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_components.atomic import write_json
from custom_components.checks.all_ranks import map_over_ranks
from custom_components.checks.examine import CaseFinding, Expected, examine
from custom_components.checks.intensities import hu_window
from custom_components.data.lazy_section import Section
from custom_components.data.lists import DataList
from custom_components.data.names import Item, first_image
from custom_components.distributed import rank
from custom_components.threads import map_in_threads

ON_BAD_CASE = ("raise", "skip")
#: Name of the list of left-out cases, beside the weights.
FILE = "bad_cases.json"
_PRINTED = 10


class BadCases:
    """With ``on_bad_case: skip``, leave bad cases out of the run before any other check sees them.

    A case is bad if one of the checks of images and labels would refuse it, or if its voxels cannot be read. So
    ``skip`` reads every file once; the ranks share the files, and every rank leaves out the same cases. With
    ``raise``, this check does nothing: the checks that follow end the run at the first bad case.

    Args:
        data_list: the list.
        items: the cases to train on; sections of ``data_list``. Nothing is left out of other sequences, such as
            the lists that MONAI Label passes.
        validation_items: the cases for validation.
        on_bad_case: ``raise`` or ``skip``.
        channels: names of the image's channels.
        intensity: the config's transform that scales intensities.
        non_finite: what NaN and infinity do: ``raise`` or ``replace``.
        include_label_like: whether an image may look like a label map.
        label_values: values that label files may hold; None: those of ``label_names``.
        label_names: of the label map's values; None in pretraining, where only the dense probe reads labels.
        label_source: whose values these are, for messages.
    """

    def __init__(
        self,
        data_list: DataList,
        items: Sequence[Item],
        validation_items: Sequence[Item],
        on_bad_case: str,
        channels: Sequence[str],
        intensity: Any = None,
        non_finite: str = "raise",
        include_label_like: bool = False,
        label_values: Sequence[int] | None = None,
        label_names: Sequence[str] | None = None,
        label_source: str | None = None,
    ) -> None:
        self.data_list, self.items, self.validation_items = data_list, items, validation_items
        self.on_bad_case = on_bad_case
        self.expected = Expected(
            channels=len(channels),
            needs_label=label_names is not None,
            label_values=list(range(len(label_names))) if label_values is None and label_names else label_values,
            label_source=label_source,
            window=hu_window(intensity, channels),
            non_finite=non_finite,
            include_label_like=include_label_like,
        )
        self.found: list[CaseFinding] = []

    def __call__(self) -> str | None:
        """Return what was left out; raise ValueError for an unknown value, or if too few cases are left."""
        if self.on_bad_case not in ON_BAD_CASE:
            raise ValueError(f"on_bad_case is {self.on_bad_case!r}; allowed: {', '.join(ON_BAD_CASE)}")
        if self.on_bad_case == "raise":
            return None
        sections = [part.listed() for part in (self.items, self.validation_items) if isinstance(part, Section)]
        cases = {first_image(item): item for section in [*sections, *self._of_probe()] for item in section}
        everything = list(cases.values())
        findings = map_over_ranks(lambda items: examine_all(items, self.expected), everything)
        errors = [[finding for finding in found if finding.is_error] for found in findings]
        bad = {first_image(item): found for item, found in zip(everything, errors, strict=False) if found}
        for section in sections:
            if section and all(first_image(item) in bad for item in section):
                first = bad[first_image(section[0])][0]
                raise ValueError(f"all {len(section)} cases are bad, the first because {first.file} {first.what}")
        self.data_list.leave_out(bad)
        self.found = [finding for found in bad.values() for finding in found]
        if not bad:
            return f"none of {len(everything)}"
        lines = [f"  {finding.file} {finding.what}" for finding in self.found[:_PRINTED]]
        more = [f"  and {len(self.found) - _PRINTED} more"] if len(self.found) > _PRINTED else []
        return "\n".join([f"warning: {len(bad)} of {len(everything)} cases are left out", *lines, *more])

    def _of_probe(self) -> list[list[Item]]:
        """Return the labelled cases from which a pretraining's dense probe takes some."""
        if self.expected.needs_label:
            return []
        return [self.data_list.listed_labelled(name) for name in ("training", "validation")]


class BadCasesFile:
    """Write the list of left-out cases beside the weights, or remove that of an earlier run.

    Args:
        bad_cases: the check that found them; None: it is switched off, and nothing is written.
        ckpt_dir: folder of the weights; this run must hold its lock.
    """

    def __init__(self, bad_cases: BadCases | None, ckpt_dir: str) -> None:
        self.bad_cases, self.path = bad_cases, Path(ckpt_dir) / FILE

    def __call__(self) -> None:
        """Write the file on rank 0."""
        if rank() != 0 or self.bad_cases is None:
            return
        if found := self.bad_cases.found:
            write_json(self.path, {"left_out": [{"file": file, "why": what} for file, what, _ in found]})
        else:
            self.path.unlink(missing_ok=True)


def examine_all(
    items: Sequence[Item], expected: Expected, voxels: bool = True, threads: int = 4
) -> list[list[CaseFinding]]:
    """Return the findings about each case, see `examine`; rank 0 shows progress and the time left."""
    return map_in_threads(
        lambda item: examine(item, expected, voxels), items, "reading cases", threads=threads, progress=rank() == 0
    )
