"""Joins one file per sequence into one 4D file per case, because MONAI Label takes one file per study."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from custom_components.atomic import write_atomically
from custom_components.data import DataList, read_label
from custom_components.data.brats import LABEL_SOURCES
from custom_components.data.channels import BRATS_CHANNELS, check_channel_names
from custom_components.data.grids import check_same_grid
from custom_components.data.layouts import scan
from custom_components.data.names import NIFTI_SUFFIXES, Item, case_id, first_image
from custom_components.data.nifti import open_image, read_header, read_voxels
from custom_components.data.walk import existing_folder

#: Where MONAI Label looks for finished labels, in its folder of studies.
LABEL_FOLDER = Path("labels", "final")
_LISTED_VALUES = 10  # values that a message lists


def stack_images(
    images: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], overwrite: bool = False
) -> Path:
    """Write 3D files on one grid as one 4D file, channels last, in the order given.

    Values have the files' scaling applied. Whole numbers keep an integer type that holds all of them; other values
    become float32. Affine, qform, sform and spacing are those of the first file.

    Args:
        images: ``.nii`` or ``.nii.gz`` files, at least two.
        out: the file to write, ``.nii`` or ``.nii.gz``; it appears when it is complete.
        overwrite: replace ``out``.

    Returns:
        The path of the file.

    Raises:
        ValueError: for a file that cannot be read, has several channels or lies on another grid, and for an
            ``out`` that exists.
    """
    paths, target = [str(path) for path in images], Path(out)
    if len(paths) < 2:
        raise ValueError(f"images names {len(paths)} files; allowed: at least two")
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
    header.set_zooms((*first.header.get_zooms()[:3], 1.0))
    header["cal_min"] = header["cal_max"] = 0  # the display range was that of one sequence
    write_atomically(target, lambda path: nib.save(nib.Nifti1Image(volumes, first.affine, header), path))
    return target


def stack_folder(
    dataset_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    label_source: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[list[Path], list[str]]:
    """Write ``out/<case>.nii.gz``, channels last, for every case of a folder with one file per sequence (BraTS).

    With ``label_source``, MONAI Label can serve the result: labels go to ``out/labels/final``, and images that are
    already 4D (MSD Task01) are copied.

    Args:
        dataset_dir: the folder; see :func:`custom_components.data.layouts.scan`.
        out: folder to write to.
        label_source: whose values the labels hold, a key of ``LABEL_SOURCES``; None writes no labels.
        overwrite: replace files. Without it, a file that exists ends the call before anything is written.
        progress: show a bar on stderr.

    Returns:
        The images written, and the names of their channels in order.

    Raises:
        ValueError: for a folder without such cases, channels in another order, two cases with one name, and as in
            :func:`stack_images` and :func:`map_label`.
    """
    folder, target = existing_folder(dataset_dir), Path(out)
    _check_source(label_source)
    layout = scan(folder)
    cases = [*layout.labelled, *layout.unlabelled]
    apart = any(isinstance(item["image"], list) for item in cases)
    if not apart and (not label_source or not cases or read_header(str(folder / cases[0]["image"])).channels == 1):
        raise ValueError(f"{folder} has one file per case already: nothing to stack")
    if target.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"out is {target}, there are {len(cases)} cases; allowed: a folder")
    channels = list(layout.meta["channels"]) or DataList(folder).channels
    if label_source:
        check_channel_names(channels, BRATS_CHANNELS, str(folder))
    names = [f"{case_id(item['image'])}.nii.gz" for item in cases]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"{folder} has several cases named {case_id(twice[0])}")
    labels = {n: item["label"] for n, item in zip(names, cases, strict=True) if label_source and "label" in item}
    finals = target / LABEL_FOLDER
    _check_free([*(target / name for name in names), *(finals / name for name in labels)], overwrite)
    for name, item in tqdm(list(zip(names, cases, strict=True)), "stacking", unit="case", disable=not progress):
        if label_source and name in labels:  # before the image, so that a wrong source leaves no image behind
            map_label(folder / labels[name], folder / first_image(item), finals / name, label_source)
        _write_image(folder, item, target / name, overwrite)
    return [target / name for name in names], channels


def map_label(
    label: str | os.PathLike[str], image: str | os.PathLike[str], out: str | os.PathLike[str], label_source: str
) -> None:
    """Write a label file with the values of seg_brats, as uint8 on the same grid.

    The values are 1 for necrotic and non-enhancing tumour core, 2 for edema, 3 for enhancing tumour.

    Args:
        label: the file to read.
        image: the case's image, which must lie on the same grid.
        out: the file to write; replaced where it exists.
        label_source: whose values ``label`` holds, a key of ``LABEL_SOURCES``.

    Raises:
        ValueError: for an unknown source, a label on another grid, and values that the source does not have.
    """
    _check_source(label_source)
    path = str(label)
    header = read_header(path)
    check_same_grid(path, header, str(image), read_header(str(image)))
    values = read_label(path)[0]
    mapped = np.zeros(values.shape, np.uint8)
    for number, value in enumerate(LABEL_SOURCES[label_source], start=1):
        mapped[values == value] = number
    if foreign := np.unique(values[(mapped == 0) & (values != 0)]).tolist():
        allowed = ", ".join(map(str, (0, *sorted(LABEL_SOURCES[label_source]))))
        more = f" and {len(foreign) - _LISTED_VALUES} more" if len(foreign) > _LISTED_VALUES else ""
        found = ", ".join(f"{value:g}" for value in foreign[:_LISTED_VALUES]) + more
        raise ValueError(f"{path} holds the values {found}; allowed with label_source {label_source!r}: {allowed}")
    source = open_image(path)
    own = source.header.copy()
    own.set_data_dtype(np.uint8)
    own["cal_min"] = own["cal_max"] = 0  # the display range was that of the old values
    write_atomically(Path(out), lambda partial: nib.save(nib.Nifti1Image(mapped, source.affine, own), partial))


def _check_source(label_source: str | None) -> None:
    if label_source is not None and label_source not in LABEL_SOURCES:
        raise ValueError(f"label_source is {label_source!r}; allowed: {', '.join(LABEL_SOURCES)}")


def _write_image(folder: Path, item: Item, target: Path, overwrite: bool) -> None:
    """Stack the files of a case; copy a case of one 4D file."""
    if isinstance(item["image"], list):
        stack_images([folder / path for path in item["image"]], target, overwrite)
        return
    source = str(folder / item["image"])
    if (found := read_header(source).channels) != len(BRATS_CHANNELS):
        raise ValueError(f"{source} has {found} channels; expected {len(BRATS_CHANNELS)}")

    def write(partial: Path) -> None:
        if source.lower().endswith(".gz"):
            shutil.copyfile(source, partial)
            return
        with open(source, "rb") as plain, gzip.open(partial, "wb") as packed:
            shutil.copyfileobj(plain, packed)

    write_atomically(target, write)


def _check_free(targets: Sequence[Path], overwrite: bool) -> None:
    there = [path for path in targets if path.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ValueError(f"{there[0]} exists{more}; --overwrite replaces {'them' if more else 'it'}")
