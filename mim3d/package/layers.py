"""Configs as the package holds them: with layers merged in, as JSON too, and with metadata that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from monai.bundle.config_parser import ConfigParser

from mim3d.package.metadata import VIEW_KEYS, with_network_format

#: Layers that say how to run, not which image or network: they fit behind train.yaml only.
NOT_MERGED = ("evaluate.yaml", "multi_gpu_train.yaml")
#: Layers that fit behind inference.yaml only. A package has them as files of their own.
FOR_INFERENCE = ("ensemble.yaml", "onnx.yaml", "tensorrt.yaml", "tta.yaml")
#: How the first line of a YAML ends that layers changed.
MERGED = "merged in by mim3d package"


def find_layer(bundle: Path, name: str) -> Path:
    """Find a layer of the bundle by name, or any layer by path.

    Raises:
        ValueError: if it does not exist or cannot be merged.
    """
    path = next((p for p in (bundle / "configs" / name, Path(name)) if p.is_file()), None)
    if path is None:
        known = sorted(p.name for p in (bundle / "configs").glob("*.yaml"))
        fit = [n for n in known if n not in (*NOT_MERGED, "train.yaml", "inference.yaml")]
        raise ValueError(f"--layer {name} does not exist; {bundle.name} has {', '.join(fit)}")
    if path.name in NOT_MERGED:
        raise ValueError(f"--layer {name} says how to run; only layers of view, network or rates are merged")
    return path


def merged_config(
    bundle: Path, name: str, layers: list[str], base: Path | None = None
) -> tuple[dict[str, Any], bytes | None]:
    """Merge layers into a config, as ``monai.bundle`` merges a list of files.

    Args:
        bundle: the bundle's folder.
        name: ``train`` or ``inference``.
        layers: names or paths.
        base: another config in place of the bundle's own of this name.

    Returns:
        The content, and its YAML if layers changed it (None: the bundle's own file is right).

    Raises:
        ValueError: for a missing or unreadable file, for a layer with nested keys that this config lacks, and for
            a layer of `FOR_INFERENCE`.
    """
    found = [find_layer(bundle, layer) for layer in layers]
    for file in found:
        if file.name in FOR_INFERENCE:
            raise ValueError(
                f"--layer {file.name} is not merged; the package has it beside inference.yaml. Give both files "
                "when you run it"
            )
    files = [base or bundle / "configs" / f"{name}.yaml", *found]
    try:
        config = ConfigParser.load_config_files([str(file) for file in files])
    except (yaml.YAMLError, OSError, KeyError, ValueError) as error:
        with_layers = " with ".join(file.name for file in files)
        raise ValueError(f"{bundle.name}: {with_layers} cannot be merged: {error}") from None
    if not layers:
        return config, None
    if "datalist" in config:  # a layer of mim3d plan names a file of this machine
        config["datalist"] = ConfigParser.load_config_file(str(files[0])).get("datalist")
    head = f"# {name}.yaml with {', '.join(Path(layer).name for layer in layers)} {MERGED}\n"
    text = yaml.safe_dump(config, sort_keys=False, width=115)
    return config, (head + text).encode()


def fitted_metadata(metadata: bytes, inference: dict[str, Any]) -> bytes:
    """Make metadata.json fit an inference config that layers changed.

    Args:
        metadata: content of the bundle's metadata.json.
        inference: the merged inference config.
    """
    parser = ConfigParser(inference)
    parser.parse()
    view = {key: parser.get_parsed_content(key) for key in VIEW_KEYS if key in inference}
    return with_network_format(json.loads(metadata), view)
