"""Estimate how long the training of each bundle takes on a CPU with its train.yaml; nothing is trained.

Steps are counted from the config and a number of volumes. Their time is that of a measured step of
results/pretrain_step_*.json or results/mim_step_*.json, times the ratio of floating-point operations (see
docs/plan.md). Reading and validation are left out. `mim3d render` writes the result into docs/weights.md.

    python benchmarks/training_cost.py
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from custom_components.atomic import write_json
from mim3d.catalog import METHODS, SEGMENTED, TASKS, Method, Task
from mim3d.plan.cost import cost

OUT = Path(__file__).resolve().parent / "results" / "training_cost.json"
#: Volumes to train on: what a data set offers, or a round number where the data are the user's own.
VOLUMES = {
    "seg_btcv": (24, "the training cases of `btcv_split.json`"),
    "seg_brats": (369, "all labelled cases of BraTS 2020"),
    "seg_msd_liver": (131, "all labelled cases"),
    "seg_msd_spleen": (41, "all labelled cases"),
    "seg_msd_hippocampus": (260, "all labelled cases"),
}
OTHERS = (100, "for example")


def estimate(item: Task | Method) -> dict[str, Any]:
    """Return steps and time of one bundle's training.

    Raises:
        ValueError: if no step was measured on a CPU.
    """
    config = yaml.safe_load((item.bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    volumes, what = VOLUMES.get(item.bundle.name, OTHERS)
    channels, method = len(config["channels"]), item if isinstance(item, Method) else None
    # Pretraining leaves out an incomplete step at the end of an epoch.
    per_epoch = volumes // config["batch_size"] if method else math.ceil(volumes / config["batch_size"])
    names = channels if method else len(config.get("label_names", config["output_names"]))
    network = method.default if method else SEGMENTED
    taken = cost(method, network, channels, names, config["roi_size"], small=False, device="cpu")
    if taken.seconds_per_crop is None:
        raise ValueError(f"{item.bundle.name}: benchmarks/results has no step that was measured on a CPU")
    steps, crops = config["epochs"] * per_epoch, config["batch_size"] * config["num_samples"]
    return {
        "volumes": volumes,
        "which": what,
        "steps": steps,
        "seconds_per_step": round(crops * taken.seconds_per_crop, 1),
        "days": round(steps * crops * taken.seconds_per_crop / 86400, 1),
        "measured": taken.step.source,
        "machine": taken.step.machine,
        "same_step": not taken.estimated,
    }


def estimates() -> dict[str, Any]:
    """Return the estimates of all bundles: name -> what `estimate` returns."""
    items: list[Task | Method] = [*METHODS.values(), *TASKS.values()]
    return {item.bundle.name: estimate(item) for item in items}


if __name__ == "__main__":
    write_json(OUT, {"benchmark": "training_cost", "device": "cpu", "bundles": estimates()})
