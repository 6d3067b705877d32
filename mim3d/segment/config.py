"""The bundle's inference config with layers and keys, checked and built."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow

from custom_components.checks.overrides import misread_words, unknown_keys
from custom_components.config_text import quoted
from mim3d.package.layers import find_layer

#: Keys that say where files are, and that the arguments of the command set.
FIXED = {"bundle_root": "BUNDLE", "dataset_dir": "INPUT", "output_dir": "--out", "weights": "--weights"}


def config_files(bundle: Path, layers: Sequence[str], name: str = "inference.yaml") -> list[Path]:
    """Return one of the bundle's configs, and the layers.

    Raises:
        ValueError: for a missing file.
    """
    first = bundle / "configs" / name
    if not first.is_file():
        raise ValueError(f"{bundle} has no configs/{name}")
    return [first, *(find_layer(bundle, layer) for layer in layers)]


def check_keys(
    files: Sequence[Path],
    keys: Mapping[str, str],
    fixed: Mapping[str, str] = FIXED,
    command: str = "mim3d segment",
) -> None:
    """Check that the config has every key, that none is set by the command's own arguments, and their values.

    Args:
        files: the config and its layers.
        keys: as written on the command line.
        fixed: keys that the command's own arguments set -> the argument.
        command: for messages.

    Raises:
        ValueError: naming the key and the nearest known one, or the value and how to write it.
    """
    for key in keys:
        if key in fixed:
            raise ValueError(f"--{key} is set by {fixed[key]} of {command}")
    for key, near in unknown_keys([str(file) for file in files], keys):
        hint = f"; did you mean --{near}?" if near else ""
        raise ValueError(f"unknown key --{key}: neither an argument of this command nor a key of {files[0]}{hint}")
    words = [f"--{key}={written}" for key, written in keys.items()]
    line = ["monai/bundle/__main__.py", "run", "--config_file", str([str(file) for file in files]), *words]
    if misread := misread_words(line):
        raise ValueError(misread[0])


def parse_value(written: str) -> Any:
    """Return a key's value as ``monai.bundle run`` reads it; a ``#`` in text stays."""
    value = DefaultParseValue(written)
    return quoted(written) if "#" in written and not written.startswith(("$", "@", "%")) else value


def build_workflow(files: Sequence[Path], workflow_type: str = "infer", **overrides: Any) -> ConfigWorkflow:
    """Build a workflow, without MONAI's notice that it leaves logging as it is."""
    logger = logging.getLogger("monai.bundle.workflows")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        names = [str(file) for file in files]
        made = ConfigWorkflow(names, workflow_type=workflow_type, logging_file=False, **overrides)
        made.initialize()
    finally:
        logger.setLevel(before)
    return made


def merged_config(files: Sequence[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merged config, unresolved."""
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    parser.update(dict(overrides))
    return dict(parser[""])
