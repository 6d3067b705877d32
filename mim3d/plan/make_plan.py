"""Makes a plan: reads the folder, decides, and writes the files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from custom_components.atomic import write_together
from custom_components.data.lists import DataList
from custom_components.data.names import Item
from custom_components.data.sections import DATALIST_NAME
from custom_components.data.walk import existing_folder
from mim3d.plan.bundle_keys import SEG
from mim3d.plan.command_lines import training_commands
from mim3d.plan.decide import Decided, Options, decide
from mim3d.plan.decisions import Decision, value_of
from mim3d.plan.document import plan_text
from mim3d.plan.layers import layer_text
from mim3d.plan.picture import draw_plan, outlines
from mim3d.plan.sets import Sets, find_list, find_sets, list_decision
from mim3d.plan.survey import Survey, survey

DOCUMENT, PICTURE = "plan.md", "plan.png"
FILES = ("pretrain.yaml", "segment.yaml", DATALIST_NAME, DOCUMENT, PICTURE)


@dataclass(frozen=True)
class Plan:
    """A plan that was written.

    Attributes:
        files: paths of its files.
        decisions: what was decided.
        warnings: what to look at.
        commands: what each command does, and the command.
    """

    files: list[Path]
    decisions: list[Decision]
    warnings: list[str]
    commands: list[tuple[str, str]]


def make_plan(
    dataset_dir: str | Path,
    out: Path,
    options: Options,
    volumes: int = 16,
    datalist: str | Path | None = None,
    split: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Plan:
    """Read a folder, decide how to train on it, and write the plan.

    Args:
        dataset_dir: the folder of volumes.
        out: folder to write to.
        options: what the user asked for.
        volumes: how many labelled and how many unlabelled volumes to read the voxels of.
        datalist: a list; None: that of the folder, or else one is written.
        split: options of ``prepare_datalist`` for the list that is written, such as ``test``; None: its defaults.
        overwrite: replace an earlier plan.
        progress: show bars on stderr.

    Raises:
        ValueError: for a folder that cannot be planned for, and for an ``out`` with an earlier plan. Then nothing
            is written.
    """
    folder = existing_folder(dataset_dir)
    check_free(out, overwrite)
    with tempfile.TemporaryDirectory() as temporary:
        listed, printed = find_list(folder, datalist, Path(temporary) / DATALIST_NAME, split or {})
        drawn = listed.read_text(encoding="utf-8") if printed else None
        data_list = DataList(folder, listed)
        sets = find_sets(folder, listed, options.method)
        found = survey(data_list, volumes, progress)
        done = decide(found, sets, options)
        place = out / DATALIST_NAME if printed else listed
        done.made.insert(0, list_decision(place, printed, data_list))
    texts = _texts(done, found, sets, options, folder, out)
    if drawn is not None:
        texts[DATALIST_NAME] = drawn
    commands = training_commands(options.method, folder, out, sets.segmented)
    sizes = _drawn_sizes(done)
    spacing = value_of(done.made, "spacing", "pretrain")
    texts[DOCUMENT] = plan_text(
        _facts(found, folder), PICTURE, outlines(sizes, spacing).values(), done.made, done.warnings, commands
    )
    writers: dict[Path, Callable[[Path], object]] = {
        out / name: _text_writer(text) for name, text in texts.items()
    }
    window = next((made.value for made in done.made if made.key == "window"), None)
    item = _median_case(found)
    writers[out / PICTURE] = lambda partial: draw_plan(partial, item, sizes, spacing, window)
    write_together(writers)
    for name in FILES:  # of an earlier plan
        if out / name not in writers:
            (out / name).unlink(missing_ok=True)
    return Plan(list(writers), done.made, done.warnings, commands)


def check_free(out: Path, overwrite: bool) -> None:
    """Raise ValueError if a folder holds a plan that may not be replaced, or is a file."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    there = [out / name for name in FILES if (out / name).exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists; --overwrite replaces the plan in {out}")


def _texts(done: Decided, found: Survey, sets: Sets, options: Options, folder: Path, out: Path) -> dict[str, str]:
    """Return the layers by name."""
    made = f"Made by `mim3d plan {folder}` from {len(found.items)} volumes; {DOCUMENT} explains it."
    pretrain = f"Layer for train.yaml of {options.method.bundle.name}. {made}"
    texts = {"pretrain.yaml": layer_text(pretrain, done.made, "pretrain")}
    if sets.segmented:
        segment = f"Layer for train.yaml, evaluate.yaml and inference.yaml of {SEG.name}. {made}"
        texts["segment.yaml"] = layer_text(segment, done.made, "segment")
    return texts


def _text_writer(text: str) -> Callable[[Path], object]:
    return lambda partial: partial.write_text(text, encoding="utf-8")


def _facts(found: Survey, folder: Path) -> list[str]:
    return [
        f"For `{folder}`. The headers of {len(found.items)} volumes were read ({found.labelled} have a label), and"
        f" the voxels of {len(found.read)}. Cases of the section `test` were not read."
    ]


def _drawn_sizes(done: Decided) -> dict[str, Sequence[int]]:
    """Return crop, region and patch, as far as there are such keys."""
    keys = {"crop": "roi_size", "region": "region_size", "patch": "patch_size"}
    values: dict[str, Any] = {made.key: made.value for made in done.made if "pretrain" in made.layers}
    return {name: values[key] for name, key in keys.items() if key in values}


def _median_case(found: Survey) -> Item:
    """Return the case whose lengths in mm are nearest to the median."""
    lengths = found.shapes * found.spacings
    return found.items[int(np.argmin(np.abs(lengths - found.extents).sum(axis=1)))]
