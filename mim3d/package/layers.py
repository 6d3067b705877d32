"""Configs as the package holds them: with layers merged in, as JSON too, and with metadata that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from monai.bundle.config_parser import ConfigParser

#: Layers that say how to run, not which image or network: they fit behind train.yaml only.
NOT_MERGED = ("evaluate.yaml", "multi_gpu_train.yaml")
#: How the first line of a YAML ends that layers changed.
MERGED = "merged in by mim3d package"


def as_json(content: Any) -> bytes:
    """Indented JSON, keys in the order given."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


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


def merged_config(bundle: Path, name: str, layers: list[str]) -> tuple[dict[str, Any], bytes | None]:
    """Merge layers into a config, as ``monai.bundle`` merges a list of files.

    Args:
        bundle: the bundle's folder.
        name: ``train`` or ``inference``.
        layers: names or paths.

    Returns:
        The content, and its YAML if layers changed it (None: the bundle's own file is right).

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


def network_data_format(inference: dict[str, Any]) -> dict[str, Any]:
    """Describe the network's input and output, as the zoo's metadata wants it.

    Args:
        inference: an inference config. Without ``label_names``, as in pretraining, the network outputs an image.

    Returns:
        ``network_data_format`` of ``metadata.json``. For an output of overlapping regions, num_channels is that of
        the network, and channel_def names the values of the label map that is written.
    """
    parser = ConfigParser(inference)
    parser.parse()
    view = {key: parser.get_parsed_content(key) for key in ("channels", "roi_size")}
    channels, shape = view["channels"], view["roi_size"]
    ct = "CT" in channels[0].upper()
    shared = {"spatial_shape": shape, "dtype": "float32", "is_patch_data": True}
    image = {
        "type": "image",
        "format": "hounsfield" if ct else "magnitude",
        "modality": "CT" if ct else "MR",
        "num_channels": len(channels),
        "value_range": [0, 1] if ct else [-5, 20],  # HU mapped to [0, 1]; z-score
        "channel_def": {str(number): name for number, name in enumerate(channels)},
        **shared,
    }
    if "label_names" not in inference:
        pred = {**image, "format": "image", "value_range": []}
    else:
        labels, outputs = (parser.get_parsed_content(key) for key in ("label_names", "output_names"))
        pred = {
            "type": "image",
            "format": "segmentation",
            "num_channels": len(outputs),
            "value_range": [0, len(labels) - 1],
            "channel_def": {str(number): name for number, name in enumerate(labels)},
            **shared,
        }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def fitted_metadata(metadata: bytes, inference: dict[str, Any]) -> bytes:
    """Make metadata.json fit an inference config that layers changed.

    Args:
        metadata: content of the bundle's metadata.json.
        inference: the merged inference config.
    """
    return as_json({**json.loads(metadata), "network_data_format": network_data_format(inference)})


def reads_pretext(inference: dict[str, Any]) -> bool:
    """Whether an inference config loads models/pretext.pt, the network with its heads."""
    return "pretext" in inference


def check_weights(bundle: Path, layers: list[str], weights: Path, network: str = "network_def") -> None:
    """Compare a weights file with the network of the packed inference config.

    ``monai.bundle.load`` takes the tensors that fit and leaves the rest random, so weights of another layer must
    be refused here.

    Args:
        bundle: the bundle's folder.
        layers: those that are packed with it.
        weights: the file.
        network: the network's id; ``pretext`` for the one with its heads.

    Raises:
        ValueError: for a file that cannot be read, and for tensors that are missing or of another shape.
    """
    from custom_components.transfer.checks import check_weights_complete

    parser = ConfigParser(merged_config(bundle, "inference", layers)[0])
    parser.parse()
    try:
        check_weights_complete(parser.get_parsed_content(network), str(weights), pretext=network == "pretext")
    except ValueError as error:
        with_layers = f" with {', '.join(layers)}" if layers else ""
        raise ValueError(
            f"{bundle.name}{with_layers}: {error}; pack the layers they were trained with (--layer)"
        ) from None
