"""Features of every volume of a folder, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.transforms.croppad.dictionary import SpatialPadd

from custom_components.atomic import write_atomically, write_csv
from custom_components.backbones import adapt
from custom_components.data.subjects import Subjects
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


def embed_case(segmenter: Segmenter, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the pooled features of one case, see `pooled_features`.

    Args:
        segmenter: the bundle, with its encoder at least.
        files: one file, or one per channel in order.
    """
    chain = segmenter.preprocessing
    padding = [step for step in chain.transforms if isinstance(step, SpatialPadd)]
    chain.transforms = [step for step in chain.transforms if not isinstance(step, SpatialPadd)]
    try:
        image = segmenter.prepare(files)["image"].as_tensor()
    finally:
        chain.transforms += padding
    valid = torch.ones_like(image[:1])
    for step in padding:  # both alike, so that what is added is known
        image, valid = (torch.as_tensor(step({"image": volume})["image"]) for volume in (image, valid))
    backbone, device = adapt(segmenter.network), segmenter.device
    overlap = float(segmenter.inferer.overlap)
    return pooled_features(backbone, image.to(device), valid.to(device) > 0.5, segmenter.roi_size, overlap)


def embed_cases(segmenter: Segmenter, cases: Sequence[Case]) -> Table:
    """Embed one case after another, and print its progress; a case that cannot be read is left out and named."""
    subjects = Subjects([{"image": f"{case.name}.nii.gz"} for case in cases])
    table = Table()
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.name}", flush=True)
        try:
            if case.fault:
                raise ValueError(case.fault)
            found = embed_case(segmenter, case.files)
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
