"""Checks of a packed bundle's metadata.json."""

from __future__ import annotations

import json
import re
import urllib.request
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from monai.bundle.scripts import verify_metadata
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check

SCHEMA = "https://project-monai.github.io/schema/meta_schema_20240725.json"
TEXTS = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version"),
    *("task", "description", "authors", "copyright"),
)
TENSOR = {
    "type": "string",
    "format": "string",
    "num_channels": "integer",
    "spatial_shape": "array",
    "dtype": "string",
    "value_range": "array",
    "channel_def": "object",
}


def own_schema() -> dict[str, Any]:
    """Return a schema with the requirements of the zoo's schema of 2024-07-25, for machines without internet.

    It is stricter in one point: every tensor needs a channel_def.
    """

    def typed(kinds: dict[str, str]) -> dict[str, Any]:
        return {name: {"type": kind} for name, kind in kinds.items()}

    tensor = {"type": "object", "properties": typed(TENSOR), "required": list(TENSOR)}
    tensors = {"type": "object", "additionalProperties": tensor, "minProperties": 1}
    texts = dict.fromkeys((*TEXTS, "data_source", "data_type", "intended_use"), "string")
    objects = dict.fromkeys(("changelog", "required_packages_version", "eval_metrics"), "object")
    lists = {"references": {"type": "array", "items": {"type": "string"}}}
    network = {"type": "object", "properties": {"inputs": tensors, "outputs": tensors}}
    return {
        "type": "object",
        "properties": {
            **typed(texts | objects),
            **lists,
            "network_data_format": {**network, "required": ["inputs", "outputs"]},
        },
        "required": [*TEXTS, "required_packages_version", "network_data_format"],
    }


def reachable(url: str) -> bool:
    """Return whether an address answers within five seconds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


@check("metadata keys", "metadata")
def metadata_keys(packed: Packed) -> str:
    """The keys that the zoo requires, and those that its listing shows, have a value."""
    wanted = {*own_schema()["required"], "changelog", "name", "intended_use", "references", "data_source"}
    empty = [name for name in sorted(wanted) if not packed.metadata.get(name)]
    want(not empty, f"no {', '.join(empty)}", "the keys that the zoo requires, and those its listing shows")
    want(packed.metadata["schema"] == SCHEMA, packed.metadata["schema"], SCHEMA)
    return ""


@check("metadata schema", "metadata")
def metadata_schema(packed: Packed) -> str:
    """MONAI's ``verify_metadata`` passes, against the zoo's schema or, if that cannot be reached, our own."""
    file = packed.scratch / "schema.json"
    if packed.schema is not None:
        file.write_bytes(Path(packed.schema).read_bytes())
        note = f"verify_metadata against the file {Path(packed.schema).name}"
    elif reachable(packed.metadata["schema"]):
        note = f"verify_metadata against {packed.metadata['schema']}"
    else:
        file.write_text(json.dumps(own_schema()), encoding="utf-8")
        note = "verify_metadata against our own schema: the zoo's could not be reached (--schema FILE gives it)"
    verify_metadata(meta_file=str(packed.root / "configs" / "metadata.json"), filepath=str(file))
    return note


@check("version", "metadata")
def version(packed: Packed) -> str:
    """The version has three parts of one digit each, and an entry in the changelog."""
    found = packed.metadata["version"]
    want(re.fullmatch(r"\d\.\d\.\d", found), found, "three parts of one digit each")
    want(found in packed.metadata["changelog"], f"no {found} in the changelog", "an entry for this version")
    return found


@check("versions are pip pins", "metadata")
def pins(packed: Packed) -> str:
    """Versions of packages can be installed with ``pip install NAME==VERSION``."""
    own = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    named = {name: packed.metadata[key] for name, key in own.items()} | packed.metadata[
        "required_packages_version"
    ]
    for name, number in named.items():
        try:
            Requirement(f"{name}=={number}")
            plain = Version(number).local is None
        except (InvalidVersion, ValueError):
            plain = False
        want(plain, f"{name} {number}", "a version as in pip install NAME==VERSION")
    differ = [name for name, number in named.items() if Version(installed(name)).public != number]
    return f"{len(named)} pins" + (f"; tried here with another {', '.join(differ)}" if differ else "")


@check("image and pred", "metadata")
def image_and_pred(packed: Packed) -> str:
    """The first input is image, the first output pred, and both are fully described."""
    sides = packed.metadata["network_data_format"]
    first = (next(iter(sides["inputs"]), None), next(iter(sides["outputs"]), None))
    want(first == ("image", "pred"), first, "image and pred as the first input and output")
    for name, tensor in (("image", sides["inputs"]["image"]), ("pred", sides["outputs"]["pred"])):
        missing = [key for key in TENSOR if key not in tensor]
        want(not missing, f"{name} without {', '.join(missing)}", ", ".join(TENSOR))
        numbers = list(tensor["channel_def"])
        want(numbers == [str(n) for n in range(len(numbers))], f"{name}: {numbers}", "channel_def keys 0 to n-1")
    return ""


@check("channels and labels as in the config", "metadata")
def channels_as_in_config(packed: Packed) -> str:
    """Metadata and inference config agree on channel names, label names, channel counts and crop size."""
    sides = packed.metadata["network_data_format"]
    image, pred = sides["inputs"]["image"], sides["outputs"]["pred"]
    channels = packed.parsed("channels", "inference")
    roi = packed.parsed("roi_size", "inference")
    for name, tensor in (("image", image), ("pred", pred)):
        want(tensor["spatial_shape"] == roi, f"{name}: {tensor['spatial_shape']}", f"roi_size {roi}")
    want(image["num_channels"] == len(channels), image["num_channels"], f"{len(channels)} channels of the image")
    want(list(image["channel_def"].values()) == channels, image["channel_def"], f"channels {channels}")
    names = list(pred["channel_def"].values())
    if not packed.segments:
        want(pred["num_channels"] == len(names) and names == channels, names, f"the image's channels {channels}")
        return f"{len(names)} channels"
    labels = packed.parsed("label_names", "inference")
    want(names == labels, names, f"label_names {labels}")
    want(names[0] == "background", names[0], "channel 0 background")
    outputs = (
        packed.parsed("output_names", "inference") if "output_names" in packed.config("inference") else labels
    )
    # With overlapping outputs the count is that of the network's channels, and the names are those of mask values.
    want(pred["num_channels"] == len(outputs), pred["num_channels"], f"{len(outputs)} channels of the network")
    return f"{len(names)} labels" + ("" if outputs == labels else f", {len(outputs)} overlapping outputs")
