"""What the tests of seg_btcv share: five small cases, and its configs in this process or as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import BasicUNet

from custom_components.transfer import write_card
from tests.bundles.commands import BUNDLES, ROOT

BUNDLE = BUNDLES / "seg_btcv"
CONFIGS = BUNDLE / "configs"
# Smaller still than smoke.yaml, and quick on one core.
TINY: dict[str, Any] = {"spacing": [8.0, 8.0, 8.0], "roi_size": [32, 32, 32]}
LABELS = ["background", "low", "high"]


def write_case(
    folder: Path, name: str, affine: np.ndarray, shape: tuple[int, int, int], seed: int
) -> dict[str, str]:
    """Two boxes of their own intensity in noise, on a grid of their own."""
    rng = np.random.RandomState(seed)
    label = np.zeros(shape, np.uint8)
    for value in (1, 2):
        start = rng.randint(2, np.array(shape) // 2)
        label[tuple(slice(s, s + n // 3) for s, n in zip(start, shape, strict=True))] = value
    image = (label * 120.0 - 100 + rng.randn(*shape) * 10).astype(np.int16)
    item = {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"}
    for key, voxels in (("image", image), ("label", label)):
        (folder / item[key]).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, affine), folder / item[key])
    return item


def write_cases(folder: Path) -> None:
    """Five cases: LPS, an axis order of its own, an oblique grid; anisotropic, of differing sizes."""
    swapped = np.array([[0, 7.0, 0, 11], [-6.0, 0, 0, 5], [0, 0, 9.0, -40], [0, 0, 0, 1]])
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    oblique = np.eye(4)
    oblique[:3, :3] = turn @ np.diag([6.0, 6.0, 10.0])
    lps = np.diag([-7.0, -7.0, 5.0, 1.0])
    grids = [
        (lps, (30, 36, 44)),
        (swapped, (40, 30, 26)),
        (lps, (38, 34, 40)),
        (oblique, (34, 38, 20)),
        (swapped, (36, 32, 20)),
    ]
    items = [write_case(folder, f"case{k}", *grid, seed=k) for k, grid in enumerate(grids)]
    sections = {"training": items[:3], "validation": items[3:4], "test": items[4:]}
    (folder / "datalist.json").write_text(json.dumps(sections))


def workflow(files: list[str], kind: str = "train", **override: Any) -> ConfigWorkflow:
    configs = [str(CONFIGS / file) for file in files]
    override = {"bundle_root": str(BUNDLE), "device": torch.device("cpu"), "amp": False, **override}
    return ConfigWorkflow(configs, workflow_type=kind, logging_file=False, **override)


def run(files: list[str], kind: str = "train", **override: Any) -> ConfigWorkflow:
    made = workflow(files, kind, **override)
    made.initialize()
    made.run()
    made.finalize()
    return made


def smoke(data: Path, out: Path, **override: Any) -> dict[str, Any]:
    return {
        **TINY,
        "label_names": LABELS,
        "dataset_dir": str(data),
        "ckpt_dir": str(out / "models"),
        "output_dir": str(out / "eval"),
        **override,
    }


def pretrained_file(folder: Path, view: dict[str, Any] | None = None) -> Path:
    torch.manual_seed(7)
    path = folder / "pretrained.pt"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(BasicUNet(3, 1, 1, features=(16, 16, 32, 64, 128, 16)).state_dict(), path)
    write_card(path, {"method": "HybridMIM", "view": view or {}})
    return path


def command(*words: str, processes: int = 1, timeout: int = 240) -> subprocess.CompletedProcess[str]:
    launch = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    )
    line = [sys.executable, *launch, "-m", "monai.bundle", "run", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        line, capture_output=True, encoding="utf-8", timeout=timeout, env=env, cwd=ROOT, check=False
    )


def words(files: list[str], override: dict[str, Any]) -> list[str]:
    named = "[" + ",".join(f"'{CONFIGS / file}'" for file in files) + "]"  # an absolute file stays itself
    given = [text for key, value in override.items() for text in (f"--{key}", str(value))]
    return ["--config_file", named, "--bundle_root", str(BUNDLE), *given]
