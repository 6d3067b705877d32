"""Exporting a bundle's network, and comparing the export with the network before the file is kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from custom_components.atomic import write_atomically, write_json
from custom_components.inference import OnnxNetwork
from mim3d.export.compare import Difference, difference
from mim3d.export.formats import Source, read, write
from mim3d.package.layers import fitted_metadata
from mim3d.segment.network import Segmenter

#: Windows in the input for tracing and for the comparison without a volume. Of a single one, torch may take the
#: number for a constant.
WINDOWS = 2


class Exported(NamedTuple):
    """What an export gave.

    Attributes:
        how: scripted or traced.
        difference: from the network's own output.
    """

    how: str
    difference: Difference


def export_network(
    segmenter: Segmenter,
    bundle: Path,
    kind: str,
    out: Path,
    tolerance: float,
    volume: Sequence[Path] = (),
) -> Exported:
    """Export a network, compare the export with it, and keep the file only if they agree.

    Args:
        segmenter: the bundle with its layers and weights, on the CPU.
        bundle: the bundle's folder.
        kind: torchscript or onnx.
        out: the file to write.
        tolerance: largest difference allowed, as a share of the largest value of the network's output.
        volume: files of the case to compare on, with sliding windows; none: random windows.

    Raises:
        ValueError: if the outputs differ by more, if the volume cannot be read, or if the layers bring an export
            in the place of the network; then no file is written.
    """
    if isinstance(segmenter.network, OnnxNetwork):
        raise ValueError(f"{segmenter.weights} is an export already; leave out its layer and give the weights")
    image = segmenter.prepare(volume)["image"].as_tensor() if volume else None
    results: list[Exported] = []

    def make(partial: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            source = _source(segmenter, bundle, Path(scratch))
            how = write(kind, source, partial, [WINDOWS, len(segmenter.channels), *segmenter.roi_size])
        found = _compare(segmenter, kind, partial, image)
        if found.share > tolerance:
            raise ValueError(
                f"the export differs too much from the network: {found}; allowed: {tolerance:.0e} of it"
            )
        results.append(Exported(how, found))

    write_atomically(out, make)
    return results[0]


def _source(segmenter: Segmenter, bundle: Path, folder: Path) -> Source:
    """Write the merged config, its metadata and flat weights, which MONAI's exporters read."""
    config, metadata, weights = (folder / name for name in ("inference.json", "metadata.json", "model.pt"))
    torch.save(segmenter.network.state_dict(), weights)
    write_json(config, segmenter.config)
    original = (bundle / "configs" / "metadata.json").read_bytes()
    metadata.write_bytes(fitted_metadata(original, json.loads(config.read_text(encoding="utf-8"))))
    return Source(config, metadata, weights, bundle)


def _compare(segmenter: Segmenter, kind: str, file: Path, image: torch.Tensor | None) -> Difference:
    exported = read(kind, file)
    if image is not None:
        return difference(segmenter.predict(image), segmenter.predict(image, exported), segmenter.to_classes)
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand(WINDOWS, len(segmenter.channels), *segmenter.roi_size, generator=generator)
    with torch.no_grad():
        expected, answer = segmenter.network(windows), exported(windows)
    # Classes are compared along the axes of one image, so the windows are put one behind the other.
    along = [output.transpose(0, 1).flatten(1, 2) for output in (expected, answer)]
    return difference(along[0], along[1], segmenter.to_classes)
