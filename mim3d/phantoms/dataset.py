"""A phantom data set on disk: NIfTI files, the data list, and a page of pictures."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from custom_components.atomic import PARTIAL, write_atomically, write_text
from custom_components.number_checks import check_number

from .cases import KINDS, SIZES, Case, check_choice, make_case
from .pictures import save_pictures

#: Section of the data list -> its share of the cases if no number is given.
SHARES = {"training": 0.25, "validation": 0.1, "test": 0.15, "unlabelled": 0.5}
_PICTURED = 5
_OURS = re.compile(rf"^({re.escape(PARTIAL)})?((({'|'.join(KINDS)})_\d+\.nii\.gz)|datalist\.json|phantoms\.png)$")


def split_counts(cases: int | None, given: dict[str, int | None]) -> dict[str, int]:
    """How many cases each section gets.

    Args:
        cases: number of all cases; None: the sum of the given numbers.
        given: section -> number; None: its share of the remaining cases.

    Returns:
        Section -> number, in the order of ``SHARES``.

    Raises:
        ValueError: for a value that is not a whole number from 0, and for numbers that do not add up.
    """
    fixed = {name: number for name, number in given.items() if number is not None}
    for name, number in {**given, "cases": cases}.items():
        check_number(number, name, at_least=0, whole=True, optional=True)
    total = sum(fixed.values()) if cases is None else cases
    left = total - sum(fixed.values())
    open_sections = [name for name in SHARES if name not in fixed]
    if total < 1:
        raise ValueError("no cases are asked for; allowed: cases (or the sum of the sections) from 1")
    if left < 0 or (left > 0 and not open_sections):
        asked = ", ".join(f"{name} {number}" for name, number in fixed.items())
        raise ValueError(f"cases is {total}, but {asked} add up to {sum(fixed.values())}; allowed: equal sums")
    if cases is None:
        open_sections = []
    # Method of largest remainders: whole numbers that add up and are nearest to the shares.
    weight = sum(SHARES[name] for name in open_sections) or 1.0
    exact = {name: left * SHARES[name] / weight for name in open_sections}
    counts = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda n: counts[n] - exact[n])[: left - sum(counts.values())]:
        counts[name] += 1
    return {name: fixed.get(name, counts.get(name, 0)) for name in SHARES}


def write_phantoms(
    out: str | os.PathLike[str],
    kind: str = "abdomen_ct",
    cases: int | None = None,
    seed: int = 0,
    size: str = "small",
    training: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    unlabelled: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write a phantom data set and return the path of its data list.

    ``out`` gets ``imagesTr/``, ``labelsTr/`` (training, validation, test), ``imagesUn/`` (unlabelled),
    ``phantoms.png`` and, last, ``datalist.json``. Each file is complete or absent.

    Args:
        out: folder to write; absent or empty, or (``overwrite``) one that holds phantoms and nothing else.
        kind: key of ``KINDS``.
        cases: number of all cases; None: the sum of the sections, or 16 if none is given.
        seed: seed of the set; case ``i`` of a seed is the same in sets of any number of cases.
        size: one of ``SIZES``.
        training: labelled cases to train on. None for this and the next three: its share of ``cases``.
        validation: labelled cases to choose weights by.
        test: labelled cases for the final evaluation.
        unlabelled: cases without a label file.
        overwrite: replace an earlier set of phantoms.
        progress: show a progress bar.

    Raises:
        ValueError: for unknown names, numbers that do not add up, or a folder that is not free.
    """
    check_choice("kind", kind, tuple(KINDS))
    check_choice("size", size, SIZES)
    check_number(seed, "seed", at_least=0, whole=True)
    given = {"training": training, "validation": validation, "test": test, "unlabelled": unlabelled}
    if cases is None and all(number is None for number in given.values()):
        cases = 16
    counts = split_counts(cases, given)
    folder = Path(out)
    _make_free(folder, overwrite)
    names = [name for name, count in counts.items() for _ in range(count)]
    sections: dict[str, list[dict[str, str]]] = {name: [] for name in counts}
    pictured: list[tuple[str, Case, bool]] = []
    for index, section in enumerate(tqdm(names, desc=f"{kind} phantoms", unit="case", disable=not progress)):
        case = make_case(kind, index, seed, size)
        labelled = section != "unlabelled"
        sections[section].append(_write_case(folder, f"{kind}_{index:03d}.nii.gz", case, labelled))
        if len(pictured) < _PICTURED:
            pictured.append((f"{kind}_{index:03d} ({section})", case, labelled))
    write_atomically(folder / "phantoms.png", lambda path: save_pictures(pictured, path))
    row = KINDS[kind]
    listed = {
        "name": f"phantoms {kind} {size}",
        "seed": int(seed),
        "channels": list(row.channels),
        "labels": {str(value): name for value, name in row.labels.items()},
        **{name: sections[name] for name in ("unlabelled", "training", "validation", "test")},
    }
    datalist = folder / "datalist.json"
    write_text(datalist, json.dumps(listed, indent=1) + "\n")
    return datalist


def _write_case(folder: Path, name: str, case: Case, labelled: bool) -> dict[str, str]:
    item = {"image": f"{'imagesTr' if labelled else 'imagesUn'}/{name}"}
    _save_nifti(folder / item["image"], case.image, case.affine)
    if labelled:
        item["label"] = f"labelsTr/{name}"
        _save_nifti(folder / item["label"], case.label, case.affine)
    return item


def _save_nifti(path: Path, array: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(array, affine)
    image.header.set_data_dtype(array.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    write_atomically(path, lambda temporary: nib.save(image, temporary))


def _make_free(folder: Path, overwrite: bool) -> None:
    """Create the folder, or remove earlier phantoms from it; raise ValueError before anything changes."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out is {folder}, which is a file; allowed: a folder that is absent or empty")
    found = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
    if found and not overwrite:
        raise ValueError(
            f"out is {folder}, which holds {len(found)} files; allowed: an empty folder, or --overwrite"
        )
    for path in found:
        datalist = path == folder / "datalist.json"
        if not _OURS.match(path.name) or (datalist and not _lists_phantoms(path)):
            raise ValueError(
                f"out is {folder}, which holds {path.name}, not written by this command; "
                "--overwrite replaces phantoms only, choose another folder"
            )
    for path in found:
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _lists_phantoms(path: Path) -> bool:
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("name", "")).startswith("phantoms ")
    except (ValueError, AttributeError):
        return False
