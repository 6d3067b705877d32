"""Features of every volume of a folder, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.croppad.dictionary import SpatialPadd

from custom_components.atomic import write_atomically, write_csv
from custom_components.backbones import adapt
from custom_components.data.subjects import Subjects
from mim3d.embed.dense import dense_features, write_dense
from mim3d.embed.features import pooled_features
from mim3d.segment.cases import Case
from mim3d.segment.network import Segmenter


@dataclass
class Table:
    """Features of volumes, one row each.

    Attributes:
        files: name of each volume, relative to the input folder.
        subjects: of each volume, by the rules of data lists.
        features: stage -> one vector per volume.
        failed: name of a volume -> why it has no features.
    """

    files: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    features: dict[str, list[np.ndarray]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def prepare(segmenter: Segmenter, files: Sequence[Path]) -> tuple[MetaTensor, torch.Tensor]:
    """Read a case and bring it onto the network's grid.

    Returns:
        The padded image ``(C, D, H, W)`` with its affine, and bool ``(1, D, H, W)``: False marks the padding.
    """
    chain = segmenter.preprocessing
    padding = [step for step in chain.transforms if isinstance(step, SpatialPadd)]
    chain.transforms = [step for step in chain.transforms if not isinstance(step, SpatialPadd)]
    try:
        image = segmenter.prepare(files)["image"]
    finally:
        chain.transforms += padding
    valid = torch.ones_like(image[:1])
    for step in padding:  # both alike, so that what is added is known
        image, valid = (step({"image": volume})["image"] for volume in (image, valid))
    return image, torch.as_tensor(valid) > 0.5


def embed_case(segmenter: Segmenter, case: Case, dense: Path | None = None) -> dict[str, np.ndarray]:
    """Return the pooled features of one case, see `pooled_features`.

    Args:
        segmenter: the bundle, with its encoder at least.
        case: the files.
        dense: folder for the features of every cell; None: they are not written.
    """
    image, valid = prepare(segmenter, case.files)
    backbone, overlap = adapt(segmenter.network), float(segmenter.inferer.overlap)
    given = image.as_tensor().to(segmenter.device)
    if dense is not None:
        features = dense_features(backbone, given, segmenter.roi_size, overlap)
        write_dense(features, np.asarray(image.affine), backbone.stride, dense_file(dense, case))
    return pooled_features(backbone, given, valid.to(segmenter.device), segmenter.roi_size, overlap)


def dense_file(folder: Path, case: Case) -> Path:
    """Return the file of a case's dense features."""
    return folder / f"{case.name}_features.nii.gz"


def embed_cases(segmenter: Segmenter, cases: Sequence[Case], dense: Path | None = None) -> Table:
    """Embed one case after another, and print its progress; a case that cannot be read is left out and named.

    Args:
        segmenter: the bundle, with its encoder at least.
        cases: what to embed.
        dense: folder for the features of every cell; None: they are not written.
    """
    subjects = Subjects([{"image": f"{case.name}.nii.gz"} for case in cases])
    table = Table()
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.name}", flush=True)
        try:
            if case.fault:
                raise ValueError(case.fault)
            found = embed_case(segmenter, case, dense)
        except (ValueError, OSError) as error:
            table.failed[case.name] = " ".join(str(error).split())
            print(f"    failed: {table.failed[case.name]}", flush=True)
            continue
        table.files.append(case.name)
        table.subjects.append(subjects.of({"image": f"{case.name}.nii.gz"}))
        for name, values in found.items():
            table.features.setdefault(name, []).append(values)
    return table


def write_table(table: Table, out: Path) -> None:
    """Write a table atomically.

    Args:
        table: at least one row.
        out: ``.npz``: arrays ``files``, ``subjects`` and one ``(N, F)`` per stage. ``.csv``: columns ``file``,
            ``subject`` and one per feature, named ``<stage>_<number>``.
    """
    if out.suffix == ".npz":
        arrays = {name: np.stack(rows) for name, rows in table.features.items()}
        arrays |= {"files": np.array(table.files), "subjects": np.array(table.subjects)}
        write_atomically(out, lambda partial: np.savez(partial, **arrays))  # type: ignore[arg-type]
        return
    rows = []
    for row, (file, subject) in enumerate(zip(table.files, table.subjects, strict=True)):
        values = {
            f"{name}_{number}": float(value)
            for name, vectors in table.features.items()
            for number, value in enumerate(vectors[row])
        }
        rows.append({"file": file, "subject": subject, **values})
    write_csv(out, rows)
