"""Configs as the package holds them: as JSON too, and with layers merged in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from monai.bundle.config_parser import ConfigParser

from custom_components.transfer import differing_tensors, load_torch_file

#: Layers that say how to run, not what image or network: they fit behind train.yaml only.
NOT_MERGED = ("evaluate.yaml", "multi_gpu_train.yaml", "resume.yaml")
#: How the first line of a YAML ends that layers changed.
MERGED = "merged in by ci/package.py"


def as_json(content: Any) -> bytes:
    """Indented JSON, keys in the order given."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def find_layer(bundle: Path, name: str) -> Path:
    """A layer of the bundle by name, or any by path; ValueError where it cannot be merged."""
    path = next((p for p in (bundle / "configs" / name, Path(name)) if p.is_file()), None)
    if path is None:
        known = sorted(p.name for p in (bundle / "configs").glob("*.yaml"))
        fit = [n for n in known if n not in (*NOT_MERGED, "train.yaml", "inference.yaml")]
        raise ValueError(f"--layer {name} does not exist; {bundle.name} has {', '.join(fit)}")
    if path.name in NOT_MERGED:
        raise ValueError(f"--layer {name} says how to run; only layers of view, network or rates are merged")
    return path


def merged_config(bundle: Path, name: str, layers: list[str]) -> tuple[dict[str, Any], bytes | None]:
    """A config with layers merged as ``monai.bundle`` merges a list of files.

    Args:
        bundle: the bundle's folder.
        name: ``train`` or ``inference``.
        layers: names or paths.

    Returns:
        The content, and its YAML where layers changed it (None: the bundle's own file holds).

    Raises:
        ValueError: for a missing or unreadable file, and for a layer with nested keys that this config lacks.
    """
    files = [bundle / "configs" / f"{name}.yaml", *(find_layer(bundle, layer) for layer in layers)]
    try:
        config = ConfigParser.load_config_files([str(file) for file in files])
    except (yaml.YAMLError, OSError, KeyError, ValueError) as error:
        with_layers = " with ".join(file.name for file in files)
        raise ValueError(f"{bundle.name}: {with_layers} cannot be merged: {error}") from None
    if not layers:
        return config, None
    head = f"# {name}.yaml with {', '.join(Path(layer).name for layer in layers)} {MERGED}\n"
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=115)
    return config, (head + text).encode()


def fitted_metadata(metadata: bytes, inference: dict[str, Any]) -> bytes:
    """The metadata with the shape, channels and labels of a config that layers changed.

    Args:
        metadata: content of metadata.json.
        inference: the merged inference config.

    Returns:
        The content of the package's metadata.json; the given bytes where nothing differs.
    """
    content = json.loads(metadata)
    parser = ConfigParser(inference)
    parser.parse()
    keys = ("channels", "roi_size", "label_names", "output_names")
    view = {key: parser.get_parsed_content(key) for key in keys if key in inference}
    channels = view["channels"]
    labels = view.get("label_names", channels)  # a pretraining network paints its channels
    sides = content["network_data_format"]
    for side, names, outputs in (
        (sides["inputs"]["image"], channels, channels),
        (sides["outputs"]["pred"], labels, view.get("output_names", labels)),
    ):
        side["spatial_shape"] = view["roi_size"]
        side["num_channels"] = len(outputs)
        side["channel_def"] = {str(number): name for number, name in enumerate(names)}
    return metadata if content == json.loads(metadata) else as_json(content)


def reads_pretext(inference: dict[str, Any]) -> bool:
    """Whether an inference config takes models/pretext.pt: what paints is the network with its heads."""
    return str(inference.get("weights")).endswith("/models/pretext.pt'")


def check_weights(bundle: Path, layers: list[str], weights: Path, network: str = "network_def") -> None:
    """Compare a weights file with the network of the packed inference config.

    `monai.bundle.load` takes what fits and leaves the rest random, so weights of another layer must end here.

    Args:
        bundle: the bundle's folder.
        layers: those that are packed with it.
        weights: the file.
        network: the network's id; ``pretext`` for the one with its heads.

    Raises:
        ValueError: for a file that cannot be read, and for tensors that are missing or of another shape.
    """
    parser = ConfigParser(merged_config(bundle, "inference", layers)[0])
    parser.parse()
    own = parser.get_parsed_content(network).state_dict()
    given = load_torch_file(weights, "--weights")
    wrong = differing_tensors(own, given)
    if wrong:
        with_layers = f" with {', '.join(layers)}" if layers else ""
        raise ValueError(
            f"--weights {weights} do not fit {bundle.name}{with_layers}: {len(wrong)} of {len(own)} tensors differ"
            f" ({', '.join(wrong[:3])}); pack the layers they were trained with (--layer)"
        )
