"""Where the cases of a study come from: a folder with or without a list, or phantoms."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from custom_components.atomic import read_json
from custom_components.data.lists import DataList
from custom_components.data.names import Item, first_image
from custom_components.data.sections import DATALIST_NAME
from mim3d.datasets.prepare import prepare_datalist
from mim3d.phantoms import write_phantoms
from mim3d.phantoms.dataset import SHARES, split_counts
from mim3d.study.data import SECTIONS, StudyData
from mim3d.study.definition import Keys, Study
from mim3d.study.folds import in_folds
from mim3d.study.mistakes import Mistakes

_SPLIT = ("sizes", "seed", "subject_pattern")
ALLOWED = ("dataset_dir", "folds", "datalist", "split", "phantoms", *_SPLIT)


def find_data(study: Study, dataset_dir: Path | None, out: Path, dry_run: bool) -> StudyData:
    """Find, split or write the cases of a study.

    A folder's list comes from the first of: ``folds``, ``datalist`` or ``split`` of the study, the folder's own
    ``datalist.json``, and ``sizes`` of the study, drawn with its ``seed``.

    Args:
        study: the study.
        dataset_dir: folder given on the command line; it replaces that of the study.
        out: folder of the results; phantoms are written to ``out/data``.
        dry_run: write nothing. Without a folder, cases are made up in the numbers that ``sizes`` states.

    Raises:
        StudyError: for data that cannot be used, with one line for each mistake.
    """
    mistakes = Mistakes(study.name)
    data = mistakes.mapping(study.data, "data", ALLOWED)
    folder = dataset_dir or (study.folder / str(data["dataset_dir"]) if data.get("dataset_dir") else None)
    found: StudyData | None = None
    if folder is not None and data.get("phantoms") and dataset_dir is None:
        mistakes.add("data has both phantoms and dataset_dir; allowed: one of them")
    if data.get("phantoms") and data.get("folds") is not None:
        mistakes.add("data has both phantoms and folds; allowed: one of them")
    if folder is None and not data.get("phantoms") and not (dry_run and data.get("sizes")):
        mistakes.add("the study has no data; give --dataset_dir, or data phantoms in the study")
    mistakes.stop()
    try:
        if folder is not None:
            found = _of_folder(study, folder.resolve(), data)
        elif data.get("phantoms"):
            found = _phantoms(mistakes.mapping(data["phantoms"], "data phantoms"), out / "data", dry_run)
        else:
            found = _made_up(data["sizes"])
        for sections in found.folds or [found.sections]:
            _check(sections, mistakes)
    except (ValueError, OSError, TypeError) as error:
        mistakes.add(f"data: {error}")
    mistakes.stop()
    assert found is not None
    return found


def _of_folder(study: Study, folder: Path, data: Keys) -> StudyData:
    if data.get("folds") is not None:
        if not isinstance(data["folds"], list):
            raise ValueError(f"folds is {data['folds']!r}; allowed: a list of the files of mim3d datalist --folds")
        lists = [_beside(study, folder, name) for name in data["folds"]]
        return in_folds([_listed(DataList(folder, path), folder, Path(path).name) for path in lists])
    given = {key: _beside(study, folder, data[key]) for key in ("datalist", "split") if data.get(key)}
    source = next(iter(given.values()), None)
    if source is None and (folder / DATALIST_NAME).is_file():
        source = str(folder / DATALIST_NAME)
    if source is not None:
        return _listed(DataList(folder, given.get("datalist"), given.get("split")), folder, Path(source).name)
    if not data.get("sizes"):
        raise ValueError(f"{folder} has no {DATALIST_NAME}; write one with mim3d datalist, or give data sizes")
    with tempfile.TemporaryDirectory() as temporary:
        sizes = {key: data[key] for key in _SPLIT[1:] if key in data} | dict(data["sizes"])
        with contextlib.redirect_stdout(io.StringIO()):  # it names the temporary file
            drawn = prepare_datalist(folder, Path(temporary) / "drawn.json", **sizes)
        text = ", ".join(f"{size} {name}" for name, size in data["sizes"].items())
        return _listed(DataList(folder, drawn), folder, f"drawn with seed {data.get('seed', 0)}: {text}")


def _listed(data_list: DataList, folder: Path, source: str) -> StudyData:
    """Return the cases of a list, checked as a whole: the lists of single runs hold some sections only."""

    def relative(path: Any) -> Any:
        if isinstance(path, list):
            return [relative(part) for part in path]
        return Path(os.path.relpath(path, folder.resolve())).as_posix()

    facts = {"channels": data_list.channels, "labels": {str(k): name for k, name in data_list.labels.items()}}
    sections: dict[str, list[Item]] = {}
    for name in SECTIONS:
        needed = name != "unlabelled"  # which scratch does not need
        items = data_list.items(name) if needed or name in data_list.sections else []
        sections[name] = [
            {key: relative(item[key]) for key in ("image", "label") if item.get(key)} for item in items
        ]
    return StudyData(folder.resolve(), sections, facts, source)


def _beside(study: Study, folder: Path, name: Any) -> str:
    """Return the path of a list: beside the study file, or in the data folder."""
    for parent in (study.folder, folder):
        if (parent / str(name)).is_file():
            return str(parent / str(name))
    raise ValueError(f"{name} does not exist beside the study file or in {folder}")


def _phantoms(settings: Keys, folder: Path, dry_run: bool) -> StudyData:
    kind = settings.get("kind", "abdomen_ct")
    if dry_run:
        counts = split_counts(settings.get("cases"), {name: settings.get(name) for name in SHARES})
        return StudyData(None, _named(counts, kind), {}, f"phantoms {kind}")
    datalist = folder / DATALIST_NAME
    if not datalist.is_file():  # written last, so what is without it is incomplete
        write_phantoms(folder, overwrite=folder.exists(), **settings)
    content = read_json(datalist)
    facts = {key: content[key] for key in ("channels", "labels")}
    return StudyData(folder.resolve(), {name: content[name] for name in SECTIONS}, facts, f"phantoms {kind}")


def _made_up(sizes: Keys) -> StudyData:
    whole = {name: sizes.get(name) for name in SECTIONS[1:]}
    if not all(isinstance(size, int) for size in whole.values()):
        raise ValueError(f"sizes is {sizes}; a plan without --dataset_dir needs numbers of cases, not shares")
    sections = _named({**whole, "unlabelled": whole["training"]}, "case")
    return StudyData(None, sections, {}, "not given; the plan assumes the sizes that the study asks for")


def _named(counts: dict[str, Any], stem: str) -> dict[str, list[Item]]:
    return {
        name: [
            {"image": f"{name}/{stem}_{number}.nii.gz"}
            | ({} if name == "unlabelled" else {"label": f"labels/{name}_{number}.nii.gz"})
            for number in range(counts[name])
        ]
        for name in SECTIONS
    }


def _check(sections: dict[str, list[Item]], mistakes: Mistakes) -> None:
    found = ", ".join(f"{len(sections[name])} {name}" for name in SECTIONS)
    for name in SECTIONS[1:]:
        bare = [first_image(item) for item in sections[name] if not item.get("label")]
        if bare:
            mistakes.add(f"data: {len(bare)} {name} cases have no label, first {bare[0]}; every one needs a label")
        if not sections[name]:
            mistakes.add(f"data: there are no {name} cases; found {found}; a study needs all three with labels")
