"""Reading a volume with SimpleITK, and writing it as NIfTI with the same voxels at the same place."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from custom_components.atomic import write_atomically
from custom_components.data.grids import affine_in_mm

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_INTEGERS = (np.int16, np.uint16, np.int32)
_LOCALE = locale.setlocale(locale.LC_ALL)  # asked now, because threads that read files would see one another's
_SHEAR = 1e-4  # largest cosine between two axes of an affine without shear


def simpleitk() -> Any:
    """Import SimpleITK, without its warnings, which this command reports itself.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        import SimpleITK
    except ImportError:
        raise ValueError(
            'SimpleITK is not installed; mim3d convert needs it: pip install -e ".[convert]"'
        ) from None
    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    return SimpleITK


@contextmanager
def kept_locale() -> Iterator[None]:
    """Bring back this process's locale: SimpleITK's DICOM sets it to C, in which Python opens files as ASCII."""
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, _LOCALE)


@kept_locale()
def read_image_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a NRRD or MetaImage file.

    Returns:
        Values ``(X, Y, Z)``, or ``(X, Y, Z, C)`` for several numbers per voxel, and the affine (4, 4), voxel to
        mm, in NIfTI's axes.

    Raises:
        ValueError: for a file that is damaged or not 3D; names the file.
    """
    sitk = simpleitk()
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be read: {_last_line(error)}") from None
    if image.GetDimension() != 3:
        raise ValueError(f"{path} has {image.GetDimension()} dimensions; allowed: 3")
    if path.name.lower().endswith(".seg.nrrd") and image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError(f"{path} has segments that overlap; export it as one label map")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return _xyz(sitk.GetArrayFromImage(image)), _LPS_TO_RAS @ affine


@kept_locale()
def read_slices(files: list[str], as_float: bool) -> np.ndarray:
    """Read the slices of a DICOM series, scaled as their headers say.

    Args:
        files: in the order of their positions.
        as_float: for slices whose scales differ or are not whole numbers.

    Returns:
        Values ``(X, Y, Z)``.

    Raises:
        ValueError: for a slice that cannot be read.
    """
    sitk = simpleitk()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    if as_float:
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        return _xyz(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError as error:
        raise ValueError(f"a slice of {Path(files[0]).parent} cannot be read: {_last_line(error)}") from None


def affine_of_slices(orientation: np.ndarray, spacing: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the affine of a DICOM series in NIfTI's axes; it is sheared if the gantry was tilted.

    Args:
        orientation: (6,), ImageOrientationPatient: directions of a row and of a column.
        spacing: (2,), PixelSpacing: mm between rows, and between columns.
        positions: (N, 3), ImagePositionPatient of each slice, in order; N is at least 2.
    """
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * spacing[1]
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return _LPS_TO_RAS @ affine


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file in mm, in the smallest type that is exact; it appears when it is complete.

    Args:
        path: ``.nii.gz``.
        values: ``(X, Y, Z)`` or ``(X, Y, Z, C)``.
        affine: (4, 4), voxel to mm.

    Raises:
        ValueError: for values that are not real numbers, and a geometry that training would refuse.
    """
    if values.dtype.kind not in "iuf":
        raise ValueError(f"holds {values.dtype}; allowed: real numbers")
    image = nib.Nifti1Image(_smaller(values), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() < _SHEAR:  # a qform cannot hold a shear
        image.set_qform(affine, code=1)
    affine_in_mm(str(path), image, image.header)
    write_atomically(path, lambda partial: nib.save(image, partial))


def _smaller(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iu" or values.dtype.itemsize <= 2 or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    fitting = [t for t in _INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    return values.astype(fitting[0] if fitting else np.float64)


def _xyz(values: np.ndarray) -> np.ndarray:
    """Return SimpleITK's ``(Z, Y, X)`` or ``(Z, Y, X, C)`` with the axes in NIfTI's order."""
    return np.moveaxis(values, (0, 1, 2), (2, 1, 0))


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown reason"
