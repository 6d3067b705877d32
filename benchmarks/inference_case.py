"""What inference.py measures: one segmentation of a CT by part, in the process that calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import cpu_and_wall, highest_memory
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from torch import nn

from mim3d.catalog import BUNDLES
from mim3d.segment.config import build_workflow

BUNDLE = BUNDLES / "seg_btcv"
PARTS = ("read", "preprocess", "network", "postprocess", "write")
VARIANTS = {
    "usual": "as MONAI's own bundles: Spacingd's float64; all classes are brought back to the file's grid, then"
    " compared",
    "float64": "inference.yaml with Spacingd's float64: classes are compared first, and the mask is brought back",
    "shipped": "inference.yaml: the same with Spacingd in float32",
}


def build(variant: str, image: Path, out: Path) -> dict[str, Any]:
    """Return the preprocessing, inferer and postprocessing of a variant, and the number of classes."""
    places = {"bundle_root": str(BUNDLE), "dataset_dir": str(image), "output_dir": str(out)}
    parser = build_workflow([BUNDLE / "configs" / "inference.yaml"], **places).parser
    if variant != "shipped":
        steps = parser["preprocessing"]["transforms"]
        spacing = next(k for k, one in enumerate(steps) if isinstance(one, dict) and one["_target_"] == "Spacingd")
        parser.parse(True)
        parser[f"preprocessing::transforms::{spacing}::dtype"] = "$torch.float64"
    found = {key: parser.get_parsed_content(key) for key in ("preprocessing", "inferer", "postprocessing")}
    if variant == "usual":
        found["postprocessing"] = Compose(
            [
                Activationsd("pred", softmax=True),
                Invertd("pred", found["preprocessing"], orig_keys="image", nearest_interp=False, to_tensor=True),
                AsDiscreted("pred", argmax=True),
                SaveImaged(
                    "pred", output_dir=out, output_postfix="seg", output_dtype=np.uint8, separate_folder=False
                ),
            ]
        )
    found["inferer"].progress = False
    return {**found, "outputs": len(parser.get_parsed_content("output_names"))}


def prepare_process() -> None:
    """Compute on one thread, and print no line for each mask."""
    torch.set_num_threads(1)
    logging.disable(logging.INFO)


def segment(variant: str, image: Path, out: Path) -> dict[str, dict[str, float]]:
    """Segment a file in this process, with a network of one layer.

    Args:
        variant: a name in ``VARIANTS``.
        image: a NIfTI file.
        out: folder for the mask.

    Returns:
        For each part the seconds of the processor and of the clock, and the highest memory of the process so far.
        For ``start``, which is Python with its imports and the config, only the memory.
    """
    made = build(variant, image, out)
    before, after = made["preprocessing"], made["postprocessing"]
    network = _network(made["outputs"])
    read = 1 + next(k for k, one in enumerate(before.transforms) if isinstance(one, LoadImaged))
    write = max(k for k, one in enumerate(after.transforms) if isinstance(one, SaveImaged))
    item: dict[str, Any] = {"image": str(image)}

    def infer(item: dict[str, Any]) -> dict[str, Any]:
        with torch.no_grad():
            return {**item, "pred": made["inferer"](item["image"].as_tensor()[None], network)[0]}

    work: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "read": partial(before, end=read),
        "preprocess": partial(before, start=read),
        "network": infer,
        "postprocess": partial(after, end=write),
        "write": partial(after, start=write),
    }
    found = {"start": {"mib": highest_memory()}}
    for part, function in work.items():

        def step(function: Callable[[dict[str, Any]], dict[str, Any]] = function) -> None:
            nonlocal item
            item = function(item)

        cpu, wall = cpu_and_wall(step)
        found[part] = {"cpu": cpu, "wall": wall, "mib": highest_memory()}
    return found


def _network(outputs: int) -> nn.Module:
    """Return a layer that classifies a voxel by its intensity: each class wins in a range of its own."""
    layer = nn.Conv3d(1, outputs, 1)
    steps = torch.arange(outputs, dtype=torch.float32)
    with torch.no_grad():  # tangents of a parabola
        layer.weight.copy_(10 * steps.view(-1, 1, 1, 1, 1))
        layer.bias.copy_(-5 * (steps**2) / (outputs - 1))  # type: ignore[union-attr]  # it has one
    return layer
