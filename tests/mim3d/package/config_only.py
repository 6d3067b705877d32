"""What the tests of config-only packages share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigWorkflow

from mim3d.catalog import TASKS
from mim3d.verify.checks_config_only import ALONE

BUNDLES = [task.bundle for task in TASKS.values()]
BUNDLE = TASKS["msd_hippocampus"].bundle
FEATURES = [4, 4, 8, 8, 16, 4]
TINY: dict[str, Any] = {
    "spacing": [2.0, 2.0, 2.0],
    "roi_size": [32, 32, 32],
    "architecture#features": FEATURES,
    "num_workers": 0,
    "batch_size": 2,
    "val_interval": 1,
}


def workflow(root: Path, *names: str, **override: Any) -> ConfigWorkflow:
    """A workflow of configs of a bundle or package, on the CPU."""
    files = [str(root / "configs" / f"{name}.yaml") for name in names]
    kind = "inference" if names[0] == "inference" else "train"
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, bundle_root=str(root), **override)


def parsed(root: Path, key: str, *names: str, **override: Any) -> Any:
    """One resolved entry of a training config."""
    return workflow(root, *(names or ("train",)), **override).parser.get_parsed_content(key)


def content(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "configs" / "train.yaml").read_text(encoding="utf-8")))


def state_of(component: Any) -> Any:
    """Parameters of a transform or loss, without random states and addresses of functions."""
    if isinstance(component, (list, tuple)):
        return [state_of(item) for item in component]
    if type(component).__module__.startswith(("monai", "functools")) and hasattr(component, "__dict__"):
        own = {key: state_of(value) for key, value in vars(component).items() if key not in ("R", "pool")}
        return type(component).__qualname__, own, state_of(getattr(component, "args", None))
    return re.sub(r" at 0x\w+", "", repr(component))


def alone(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``monai.bundle run`` inside a package's folder, where neither this project nor scipy can be imported."""
    absent = "custom_components,mim3d,scipy,skimage,einops,psutil,matplotlib"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    line = [sys.executable, "-c", ALONE, absent, "run", "--bundle_root", ".", *words]
    return subprocess.run(line, cwd=root, env=env, capture_output=True, encoding="utf-8", timeout=600, check=False)


def options(keys: dict[str, Any]) -> list[str]:
    return [word for key, value in keys.items() for word in (f"--{key}", str(value))]
