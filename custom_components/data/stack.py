"""One 4D NIfTI per case out of one file per sequence: MONAI Label and its viewers take one file per study."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from custom_components.data.checks import check_same_grid
from custom_components.data.layouts import NIFTI_SUFFIXES, Item, case_id, existing_folder, scan
from custom_components.data.nifti import open_image, read_header, read_voxels

#: Where MONAI Label looks for ground truth, below its studies.
LABEL_FOLDER = Path("labels", "final")


def stack_images(
    images: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], overwrite: bool = False
) -> Path:
    """Write 3D files of one grid as one 4D file, channels last, in the order given.

    Values are those of the files with their scaling applied: whole numbers stay (in a type that holds all of
    them), else float32. Affine, qform, sform and spacing are the first file's.

    Args:
        images: ``.nii`` or ``.nii.gz`` files, two at least.
        out: the file to write, ``.nii`` or ``.nii.gz``; it appears when it is complete.
        overwrite: replace ``out``.

    Returns:
        The path of the file.

    Raises:
        ValueError: naming the file that cannot be read, has channels already or lies on another grid; and for an
            ``out`` that exists.
    """
    paths, target = [str(path) for path in images], Path(out)
    if len(paths) < 2:
        raise ValueError(f"images names {len(paths)} files; two at least make a stack")
    if not target.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"out is {target}; allowed: a name in .nii or .nii.gz")
    _check_free([target], overwrite)
    headers = [read_header(path) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        if header.channels != 1:
            raise ValueError(f"{path} has {header.channels} channels; a file to be stacked has 1")
        check_same_grid(path, header, paths[0], headers[0])
    shape = headers[0].spatial_shape
    first = open_image(paths[0])
    volumes = np.stack([read_voxels(path).reshape(shape) for path in paths], axis=-1)
    if volumes.dtype.kind not in "iu" or volumes.dtype.itemsize > 4:
        volumes = volumes.astype(np.float32)
    header = first.header.copy()
    header.set_data_dtype(volumes.dtype)
    header.set_data_shape(volumes.shape)
    header.set_zooms((*headers[0].spacing, 1.0))
    header["cal_min"] = header["cal_max"] = 0  # one sequence's display range
    _atomically(target, lambda path: nib.save(nib.Nifti1Image(volumes, first.affine, header), path))
    return target


def stack_folder(
    dataset_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    labels: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[list[Path], list[str]]:
    """Stack every case of a folder of one file per sequence (BraTS) into ``out/<case>.nii.gz``.

    Args:
        dataset_dir: the folder; see :func:`custom_components.data.layouts.scan`.
        out: folder to write to.
        labels: also copy the label files as they are to ``out/labels/final/<case>.nii.gz``.
        overwrite: replace files; without it, a file that exists ends the call before anything is written.
        progress: show a bar on stderr.

    Returns:
        The images written, and the names of their channels in order.

    Raises:
        ValueError: for a folder without such cases, two cases of one name, and as :func:`stack_images`.
    """
    folder, target = existing_folder(dataset_dir), Path(out)
    layout = scan(folder)
    cases = [item for item in (*layout.labelled, *layout.unlabelled) if isinstance(item["image"], list)]
    if not cases:
        raise ValueError(f"{folder} has one file per case already: nothing to stack")
    if target.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"out is {target}, there are {len(cases)} cases; allowed: a folder")
    names = [f"{case_id(item['image'])}.nii.gz" for item in cases]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"{folder} has several cases named {case_id(twice[0])}")
    wanted = {
        target / LABEL_FOLDER / n for n, item in zip(names, cases, strict=True) if labels and "label" in item
    }
    _check_free([*(target / name for name in names), *sorted(wanted)], overwrite)
    for name, item in tqdm(list(zip(names, cases, strict=True)), "stacking", unit="case", disable=not progress):
        stack_images([folder / path for path in item["image"]], target / name, overwrite)
        if target / LABEL_FOLDER / name in wanted:
            _copy_label(folder, item, target / LABEL_FOLDER / name)
    return [target / name for name in names], list(layout.meta["channels"])


def _copy_label(folder: Path, item: Item, target: Path) -> None:
    label, image = str(folder / item["label"]), str(folder / item["image"][0])
    check_same_grid(label, read_header(label), image, read_header(image))

    def write(path: Path) -> None:
        if label.lower().endswith(".gz"):
            shutil.copyfile(label, path)
            return
        with open(label, "rb") as source, gzip.open(path, "wb") as packed:
            shutil.copyfileobj(source, packed)

    _atomically(target, write)


def _check_free(targets: Sequence[Path], overwrite: bool) -> None:
    there = [path for path in targets if path.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ValueError(f"{there[0]} exists{more}; allowed with overwrite=True")


def _atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name, hidden and with the same suffix, and move it into place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{os.getpid()}.part.{target.name}")
    try:
        write(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
