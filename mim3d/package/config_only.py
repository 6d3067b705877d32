"""The config-only form of a segmentation bundle: configs that name classes of MONAI, torch and ignite alone.

For sites that accept no Python code. ``bundles/_shared/config_only`` holds its training and evaluation; inference
is that of the bundle.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from mim3d.catalog import NETWORKS, ROOT, TASKS, Task
from mim3d.package.folders import CONFIG_ONLY, Files
from mim3d.package.layers import fitted_metadata, merged_config
from mim3d.package.metadata import as_json
from mim3d.package.weights import weights_files
from mim3d.templates import packed_readme, render_config_only, without_mark
from mim3d.verify.config_ids import strings

#: Packages beside MONAI, torch and numpy that every run needs.
REQUIRED = ("nibabel", "pytorch-ignite", "fire", "pyyaml", "tqdm", "tensorboard")
#: Keys of the full training config that this form lacks -> the value that means the same without them.
ABSENT = {
    "non_finite": "raise",
    "layer_decay": 1.0,
    "decoder_warmup": 0.0,
    "ema_decay": None,
    "pretrained_format": "auto",
    "transfer": "all",
}
#: Files that are those of the bundle.
OWN_FILES = ("configs/logging.conf", "docs/data_license.txt")
#: Layers in such a package, as far as they name no class of ours.
LAYERS = ("smoke", *NETWORKS)
OWN = "custom_components"


def packed_name(bundle: Path, config_only: bool) -> str:
    """Return the name of a bundle's package."""
    return f"{CONFIG_ONLY}{bundle.name}" if config_only else bundle.name


def find_task(bundle: Path) -> Task:
    """Return the task of a bundle that has a config-only form.

    Raises:
        ValueError: for a pretraining bundle, and for a folder that is not in the repository.
    """
    tasks = {task.bundle.name: task for task in TASKS.values()}
    if bundle.name not in tasks:
        raise ValueError(
            f"--config_only: {bundle.name} needs Python code of its own; allowed: {', '.join(tasks)}. Pack it "
            "without --config_only"
        )
    task = tasks[bundle.name]
    if not (bundle / "task.yaml").is_file() or bundle.resolve() != task.bundle.resolve():
        raise ValueError(f"--config_only: {bundle} has no sources; give the name of the bundle, {bundle.name}")
    return task


def config_only_files(bundle: Path, layers: list[str], weights: Path | None = None) -> Files:
    """Collect what the config-only package of a bundle holds, without ``SHA256SUMS``.

    Args:
        bundle: the bundle's folder.
        layers: layer files merged into train and inference.
        weights: file that becomes ``models/model.pt``; None: the files of ``models/`` that git tracks.

    Raises:
        ValueError: for a bundle or layers that have no config-only form, as `find_task` and `check_supported`.
    """
    configs = _configs(bundle, layers)
    files = {name: without_mark((bundle / name).read_bytes()) for name in OWN_FILES}
    for layer in LAYERS:
        path = bundle / "configs" / f"{layer}.yaml"
        if path.is_file() and OWN.encode() not in path.read_bytes():
            files[f"configs/{path.name}"] = without_mark(path.read_bytes())
    for name, (config, text) in configs.items():
        check_supported(bundle.name, name, config)
        files[f"configs/{name}.yaml"] = text
        files[f"configs/{name}.json"] = as_json(config)  # MONAI's federated client reads JSON by default
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    fitted = fitted_metadata(as_json(own_metadata(metadata, configs["train"][0])), configs["inference"][0])
    files |= {"configs/metadata.json": fitted, "docs/README.md": packed_readme(bundle, config_only=True)}
    return {**files, "LICENSE": (ROOT / "LICENSE").read_bytes(), **weights_files(bundle, weights)}


def _configs(bundle: Path, layers: list[str]) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Return content and YAML of the training, evaluation and inference of a package."""
    made = {}
    rendered = render_config_only(find_task(bundle))
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder, "train.yaml")
        train.write_text(rendered["train.yaml"], encoding="utf-8")
        for name, base in (("train", train), ("inference", bundle / "configs" / "inference.yaml")):
            config, text = merged_config(bundle, name, layers, base)
            made[name] = config, text or without_mark(base.read_bytes())
    evaluate = rendered["evaluate.yaml"]
    return {**made, "evaluate": (yaml.safe_load(evaluate), evaluate.encode())}


def own_metadata(metadata: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata with a name and description of its own, and the packages that training needs."""
    needed = [*REQUIRED, *(["einops"] if needs_einops(train) else [])]
    needed += ["scikit-image"] if train.get("largest_component") else []
    versions = metadata["required_packages_version"]
    return {
        **metadata,
        "name": f"{metadata['name']}, config-only",
        "description": f"{metadata['description']} This form names classes of MONAI, torch and ignite only.",
        "required_packages_version": {name: versions[name] for name in needed},
    }


def needs_einops(config: dict[str, Any]) -> bool:
    """Whether the network of a config has a transformer, for which MONAI needs einops."""
    return str(config["architecture"]["_target_"]) in {net.title for net in NETWORKS.values() if net.transformer}


def check_supported(bundle: str, name: str, config: dict[str, Any]) -> None:
    """Check that a config names no class of ours, and that it asks for nothing that this form lacks.

    Raises:
        ValueError: if it does.
    """
    for path, text in strings(config):
        if OWN in text:
            raise ValueError(
                f"--config_only: {name} of {bundle} with these layers names {text} in {path}, which is code "
                "of this repository; leave that layer out, or pack without --config_only"
            )
    for key, neutral in ABSENT.items() if name == "train" else ():
        if config.get(key, neutral) != neutral:
            raise ValueError(
                f"--config_only: a layer sets {key} to {config[key]!r}, which MONAI's classes cannot do; allowed: "
                f"{neutral!r}"
            )
