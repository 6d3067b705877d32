"""DICOM series made from a phantom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mim3d.convert.images import kept_locale

INTERCEPT = -1024


@kept_locale()
def write_series(
    folder: Path,
    voxels: np.ndarray,
    affine: np.ndarray,
    uid: str = "1.2.826.1",
    skip: Sequence[int] = (),
    shear: float = 0.0,
    **tags: str,
) -> None:
    """Write one file per slice, named without order, as scanners do.

    Args:
        folder: for the files.
        voxels: whole numbers ``(X, Y, Z)``, in HU.
        affine: (4, 4), voxel to mm in NIfTI's axes, without shear.
        uid: of the series; the study's begins it.
        skip: slices to leave out.
        shear: mm that each slice is shifted along the second axis, as by a gantry tilt.
        **tags: further tags, such as ``_0008_0008="ORIGINAL\\PRIMARY\\LOCALIZER"``.
    """
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :3] / spacing
    shared = {
        "0008|0060": "CT",
        "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
        "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
        "0010|0020": "patient 7",
        "0020|000d": "1.2.826",
        "0020|000e": uid,
        "0020|0011": "3",
        "0020|0037": "\\".join(f"{n:.9g}" for n in [*axes[:, 0], *axes[:, 1]]),
        "0028|1052": str(INTERCEPT),
        "0028|1053": "1",
        **{key[1:].replace("_", "|"): value for key, value in tags.items()},
    }
    for k in range(voxels.shape[2]):
        if k in skip:
            continue
        image = sitk.GetImageFromArray(voxels[:, :, k].T[None].astype(np.int16))
        image.SetSpacing([float(n) for n in spacing])
        position = lps[:3, 3] + k * lps[:3, 2] + k * shear * axes[:, 1]
        place = {"0020|0032": "\\".join(f"{n:.9g}" for n in position), "0020|0013": str(k + 1)}
        for key, value in {**shared, **place, "0008|0018": f"{uid}.{k + 1}"}.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{(k * 7) % voxels.shape[2]:04d}.dcm"))
        writer.Execute(image)
