"""Checks of a packed bundle's files, names and texts."""

from __future__ import annotations

import ast
import configparser
import hashlib
import json
import re
import sys
from importlib.metadata import packages_distributions

import yaml

from mim3d.package.folders import LARGE, SUMS
from mim3d.verify.config_ids import at
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check

REQUIRED = (
    "LICENSE",
    "configs/metadata.json",
    "configs/logging.conf",
    *(f"configs/{name}.{kind}" for name in ("train", "inference") for kind in ("yaml", "json")),
    "configs/evaluate.yaml",
    "docs/README.md",
    "docs/data_license.txt",
    SUMS,
)
#: Files of a package with code of its own, and of a config-only one.
WITH_CODE = ("configs/multi_gpu_train.yaml", "custom_components/__init__.py")
WITHOUT_CODE = ("configs/evaluate.json",)
#: Absolute paths of a machine. An expression such as ``@root + '/eval'`` does not match.
MACHINE = r"(?<![\w.)}*~@/])/(?:home|root|Users|mnt|media|tmp|var|opt|usr|etc|srv|scratch|workspace|Volumes)/[\w.]"
DRIVE = r"(?<!\w)[A-Za-z]:\\\\?\w"


@check("files present", "files")
def files_present(packed: Packed) -> str:
    """The files of a bundle are there."""
    required = (*REQUIRED, *(WITHOUT_CODE if packed.config_only else WITH_CODE))
    missing = [name for name in required if name not in packed.files]
    want(not missing, f"no {', '.join(missing)}", "the files of a bundle")
    return f"{len(packed.files)} files"


@check("nothing left over", "files")
def nothing_left_over(packed: Packed) -> str:
    """No hidden files, caches, results, tests or resume checkpoints are packed."""
    odd = [
        name
        for name in packed.files
        if any(part.startswith(".") or part in ("__pycache__", "eval", "tests") for part in name.split("/"))
        or name.endswith((".pyc", "resume.pt"))
    ]
    want(not odd, ", ".join(odd), "no hidden files, caches, results or resume checkpoints")
    return ""


@check("bundle name", "files")
def bundle_name(packed: Packed) -> str:
    """The name does not confuse the zoo's listings: no ``_v``, and not the beginning of another bundle's name."""
    want("_v" not in packed.name, packed.name, "a name without _v, which the zoo's listings take for a version")
    want(re.fullmatch(r"[a-z][a-z0-9_]*", packed.name), packed.name, "lower-case letters, digits and _")
    pairs = [(a, b) for a in packed.others for b in packed.others if a != b and b.startswith(a)]
    clash = [pair for pair in pairs if packed.name in pair]
    want(not clash, " and ".join(clash[0]) if clash else "", "no name that begins with another bundle's name")
    return ""


@check("licences", "files")
def licences(packed: Packed) -> str:
    """LICENSE is Apache-2.0, and docs/data_license.txt says something."""
    licence = packed.text("LICENSE")
    want(
        "Apache License" in licence and len(licence) > 5000, f"{len(licence)} characters", "Apache-2.0 in LICENSE"
    )
    data = packed.text("docs/data_license.txt").strip()
    want(len(data) > 40, f"{len(data)} characters", "the data's licences in docs/data_license.txt")
    return "Apache-2.0"


@check("weights or none", "files")
def weights_or_none(packed: Packed) -> str:
    """Weights are packed with the right hash, or listed in large_files.yml, or the README says there are none."""
    weights = [name for name in packed.files if name.startswith("models/") and name.endswith((".pt", ".ts"))]
    if "large_files.yml" in packed.files:
        listed = yaml.safe_load(packed.text("large_files.yml"))["large_files"]
        keys = {"path", "url", "hash_val", "hash_type"}
        short = [str(item.get("path")) for item in listed if not keys <= set(item)]
        want(not short, f"{', '.join(short)} without all of them", f"{', '.join(sorted(keys))} in large_files.yml")
        for item in (item for item in listed if item["hash_type"] == "sha256"):
            _same_as_card(packed, item["path"], item["hash_val"])
        return f"{len(listed)} in large_files.yml"
    if not weights:
        stated = re.search(r"no weights", packed.readme, re.IGNORECASE)
        want(stated, "neither", "models/model.pt, large_files.yml, or 'no weights' in the README")
        return "none; the README says so"
    large = [name for name in weights if packed.files[name].stat().st_size > LARGE]
    want(not large, f"{', '.join(large)} over 25 MB", "large_files.yml")
    shortest = min(weights, key=len)
    want(shortest == "models/model.pt", shortest, "model.pt as the shortest name: MONAI Label's default")
    for name in weights:
        _same_as_card(packed, name, hashlib.sha256(packed.files[name].read_bytes()).hexdigest())
    return ", ".join(weights)


def _same_as_card(packed: Packed, name: str, found: str) -> None:
    """Check that the card beside weights, if there is one, has their sha256."""
    card = f"{name.rpartition('.')[0]}.card.json"
    if card in packed.files:
        stated = json.loads(packed.text(card)).get("sha256")
        want(stated == found, f"sha256 {stated} in {card}", f"{found}, that of {name}")


@check("json equals yaml", "files")
def json_equals_yaml(packed: Packed) -> str:
    """The configs that a package has as YAML and as JSON have the same content."""
    for name in ("train", "inference", *(["evaluate"] if packed.config_only else [])):
        read = {
            "json": json.loads(packed.text(f"configs/{name}.json")),
            "yaml": yaml.safe_load(packed.text(f"configs/{name}.yaml")),
        }
        differ = [
            key for key in {**read["json"], **read["yaml"]} if at(read["json"], key) != at(read["yaml"], key)
        ]
        want(not differ, f"{name}: {', '.join(differ)} differ", "the same content")
    return ""


@check("no machine's paths", "files")
def no_machine_paths(packed: Packed) -> str:
    """No file holds an absolute path or a host name of this machine."""
    for name, file in packed.files.items():
        if file.suffix in (".pt", ".ts"):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found = re.search(MACHINE, line) or re.search(DRIVE, line)
            own = [word for word in packed.forbidden if word in line]
            want(not found and not own, f"{name}:{number}: {line.strip()[:100]}", "no absolute path or host name")
    return ""


@check("logging.conf", "files")
def logging_conf(packed: Packed) -> str:
    """logging.conf has handlers of the standard library only."""
    read = configparser.RawConfigParser()
    read.read_string(packed.text("configs/logging.conf"))
    known = {"StreamHandler", "FileHandler", "NullHandler"}
    kinds = [read[section]["class"] for section in read.sections() if section.startswith("handler_")]
    odd = [kind for kind in kinds if kind not in known and not kind.startswith("handlers.")]
    want(kinds and not odd, ", ".join(odd or kinds) or "no handler", "handlers of the standard library")
    return ", ".join(kinds)


@check("imports are named in metadata", "files")
def imports_named(packed: Packed) -> str:
    """The metadata gives a version for every package that custom_components imports."""
    modules = set()
    for name, file in packed.files.items():
        if name.startswith("custom_components/") and name.endswith(".py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "custom_components", "monai", "torch", "numpy"}
    named = {name.lower() for name in packed.metadata["required_packages_version"]}
    distributions = packages_distributions()
    lost = [m for m in sorted(modules) if not named & {d.lower() for d in distributions.get(m, [m])}]
    want(not lost, f"{', '.join(lost)} imported", "them in required_packages_version")
    return f"{len(modules)} packages"
