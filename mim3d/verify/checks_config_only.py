"""Checks of a config-only package: no Python files, no classes of ours, and a training without either."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from monai.bundle.config_item import ComponentLocator

from mim3d.verify.checks_network import written_mask
from mim3d.verify.config_ids import strings
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check
from mim3d.verify.sample_case import small_case

#: Packages that configs of such a package may name, beside the standard library.
NAMED = ("monai", "torch", "ignite", "nibabel", "numpy")
#: Modules that a run must do without -> the package in the metadata that allows them.
ABSENT = {
    **dict.fromkeys(("custom_components", "mim3d", "psutil", "matplotlib"), ""),
    "einops": "einops",
    **dict.fromkeys(("scipy", "skimage"), "scikit-image"),
}
#: Runs ``monai.bundle`` in a process that cannot import the modules of the first argument.
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
sys.argv[:] = ["monai.bundle", *sys.argv[2:]]
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@check("no Python code", "files", config_only=True)
def no_python_code(packed: Packed) -> str:
    """There is no Python file, and configs name classes and modules of MONAI, torch and ignite only."""
    code = [name for name in packed.files if not name.endswith((".yaml", ".json", ".conf", ".md", ".txt", ".pt"))]
    code = [name for name in code if name not in ("LICENSE", "SHA256SUMS", "large_files.yml")]
    want(not code, ", ".join(code), "configs, documents and weights")
    names = ["train", "evaluate", "inference", *packed.layers]
    for name in dict.fromkeys(names):
        for path, text in strings(packed.layer(name)):
            want(
                allowed(path, text), f"{name}: {path}: {text[:80]}", f"{', '.join(NAMED)} and Python's own modules"
            )
    return f"{len(names)} configs"


def allowed(path: str, text: str) -> bool:
    """Return whether a text of a config names no class or module of another package."""
    if re.search(r"\b(custom_components|mim3d|__import__|importlib)\b", text):
        return False
    if path.rpartition("#")[2] == "_target_":
        found = text if "." in text else _locator().get_component_module_name(text)
        return bool(found) and str(found).partition(".")[0] in NAMED
    modules = re.findall(r"^\$import (\w+)", text)
    return all(module in NAMED or module in sys.stdlib_module_names for module in modules)


@cache
def _locator() -> ComponentLocator:
    """MONAI's table of the classes that configs name without a module; it takes a second to make."""
    return ComponentLocator()


@check("trains and segments alone", "network", config_only=True)
def trains_alone(packed: Packed) -> str:
    """The zip alone trains an epoch, evaluates and segments, while nothing of this repository can be imported."""
    root, data = packed.scratch / "alone" / packed.name, packed.scratch
    shutil.copytree(packed.root, root)
    shutil.rmtree(root / "models", ignore_errors=True)  # weights of its own
    values = packed.parsed("label_values", "train") or [0, 1]
    cases = [small_case(packed, number, max(values[:2])) for number in range(2)]
    (data / "datalist.json").write_text(json.dumps({"training": cases[:1], "validation": cases[1:]}))
    # not above: it imports custom_components, and other packages must be checked with their own
    from mim3d.package.config_only import needs_einops

    side = 64 if needs_einops(packed.config("train")) else 32
    view = ["--spacing", "[4,4,4]", "--roi_size", f"[{side},{side},{side}]"]
    short = ["--epochs", "1", "--num_samples", "1", "--batch_size", "1", "--num_workers", "0"]
    start = ["--bundle_root", ".", "--dataset_dir", str(data), *view]
    _alone(packed, root, ["--config_file", "configs/train.yaml", *start, *short])
    want((root / "models" / "model.pt").is_file(), "no models/model.pt", "weights")
    _alone(packed, root, ["--config_file", "['configs/train.yaml','configs/evaluate.yaml']", *start])
    score = (root / "eval" / "validation" / "metrics.csv").read_text(encoding="utf-8").strip()
    image, out = cases[0]["image"], root / "out"
    words = ["--config_file", "configs/inference.yaml", "--bundle_root", ".", "--dataset_dir", image]
    _alone(packed, root, [*words, *view, "--output_dir", str(out)])
    return f"{score.replace(',', ' ')}, {written_mask(image, out)[0].name}"


def _alone(packed: Packed, root: Path, words: list[str]) -> None:
    """Run ``monai.bundle run`` in the package's folder, without this repository and packages not in metadata."""
    named = packed.metadata["required_packages_version"]
    absent = ",".join(module for module, package in ABSENT.items() if package not in named)
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, absent, "run", *words],
        cwd=root,
        env=env | {"PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )
    causes = [line for line in done.stderr.splitlines() if re.match(r"error: |[\w.]*(Error|Exception)\b", line)]
    why = (causes or [done.stderr.strip()[-300:]])[0]
    want(done.returncode == 0, f"exit status {done.returncode}, {why[:300]!r} of {words[1]}", "a run to its end")
