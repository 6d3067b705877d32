"""The cases of a folder by use, from its data list or from one that the plan writes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_components.config_text import as_argument
from custom_components.data.lists import DataList
from custom_components.data.names import Item
from custom_components.data.sections import DATALIST_NAME
from mim3d.catalog import Method
from mim3d.datasets.prepare import prepare_datalist
from mim3d.plan.bundle_keys import shipped
from mim3d.plan.decisions import Decision


@dataclass(frozen=True)
class Sets:
    """The cases of a folder.

    Attributes:
        pretraining: images to pretrain on.
        pretraining_validation: images that the pretraining is validated on.
        training: labelled cases to train the segmentation on.
        validation: labelled cases that it is validated on.
    """

    pretraining: list[Item]
    pretraining_validation: list[Item]
    training: list[Item]
    validation: list[Item]

    @property
    def segmented(self) -> bool:
        """Whether a segmentation can be trained and validated."""
        return bool(self.training and self.validation)


def find_list(
    folder: Path, datalist: str | Path | None, target: Path, split: Mapping[str, Any]
) -> tuple[Path, str]:
    """Return a data list, and what was printed if it was written; empty for a list that exists.

    Args:
        folder: the data.
        datalist: a list in the current folder or in the data; None: that of the folder, or else one is written.
        target: file to write.
        split: options of ``prepare_datalist`` for a list that is written.

    Raises:
        ValueError: for a list that does not exist, a list that exists beside options of a split, and a folder that
            cannot be listed.
    """
    found = _existing_list(folder, datalist)
    if found is not None:
        if split:
            raise ValueError(
                f"{found} already splits the cases, so --{next(iter(split))} has no effect; leave it out, or write"
                " another list with mim3d datalist DATA --out FILE and give it with --datalist FILE"
            )
        return found, ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # it names the target, which may be temporary
        prepare_datalist(folder, target, join_sequences=True, **split)
    return target, printed.getvalue().replace(f"{target}: ", "").strip()


def _existing_list(folder: Path, datalist: str | Path | None) -> Path | None:
    """Return the list that was named, or that of the folder; None if the folder has none."""
    if datalist is None:
        own = folder / DATALIST_NAME
        return own if own.is_file() else None
    for path in (Path(datalist), folder / datalist):
        if path.is_file():
            return path.resolve()
    raise ValueError(f"--datalist {datalist} does not exist")


def list_decision(listed: Path, printed: str, data_list: DataList) -> Decision:
    """Return the decision on the list.

    Args:
        listed: where the list will be.
        printed: what was printed when it was written; empty for a list that exists.
        data_list: the list.
    """
    path = as_argument(listed.resolve())
    if printed:
        lines = "; ".join(printed.splitlines())
        return Decision("datalist", path, f"The folder has no {DATALIST_NAME}. Split by subject: {lines}.")
    counts = ", ".join(f"{len(data_list.items(name))} {name}" for name in data_list.sections)
    return Decision("datalist", path, f"It exists: {counts}.")


def find_sets(folder: Path, listed: Path, method: Method) -> Sets:
    """Return the cases by use, as the trainings will find them.

    Args:
        folder: the data.
        listed: the data list.
        method: the pretraining method, whose config states the share that is held out for validation.

    Raises:
        ValueError: if there is nothing to pretrain on, or no other subject to validate it on.
    """
    everything = DataList(folder, listed)
    holdout = shipped(method.bundle)["holdout"]
    own = DataList(folder, listed, require_label=False, holdout=holdout)
    try:
        images, held = own.items("unlabelled"), own.items("validation")
    except ValueError as error:
        found = str(error).replace(str(listed), str(folder))  # a list that the plan writes has no name yet
        raise ValueError(
            f"{found}. A plan needs two subjects, one to train on and one to validate on. If names mislead, state"
            " the subject with --subject_pattern"
        ) from None
    return Sets(images, held, everything.labelled("training"), everything.labelled("validation"))
