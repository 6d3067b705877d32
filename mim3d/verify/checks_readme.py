"""Checks of a packed bundle's README: its sections, and that its commands run from inside the unpacked folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mim3d.verify.config_ids import has
from mim3d.verify.packed import Packed, want
from mim3d.verify.readme_commands import commands, config_files, flags, overrides
from mim3d.verify.registry import check

SECTIONS = (
    "Model overview",
    "Data",
    "Training configuration",
    "Performance",
    "MONAI bundle commands",
    "References",
    "License",
)
#: Text that makes sense in the repository only.
REPOSITORY = r"(?<![\w./-])bundles/\w[\w/.]*|repository root|pip install -e|docs/monai_label\.md|\bmim3d \w+"
#: Imports every module of the package's own code, while mim3d cannot be imported, and prints where it lies.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules["mim3d"] = None
import custom_components
for module in pkgutil.walk_packages(custom_components.__path__, "custom_components."):
    importlib.import_module(module.name)
print(custom_components.__file__)
"""


@check("README sections", "files")
def readme_sections(packed: Packed) -> str:
    """The README has the model zoo's sections."""
    heads = [head.strip().lower() for head in re.findall(r"^#+ (.*)$", packed.readme, re.MULTILINE)]
    missing = [section for section in SECTIONS if section.lower() not in heads]
    want(not missing, f"no {', '.join(missing)}", "the zoo's sections")
    return ""


@check("README is filled in", "files")
def readme_filled_in(packed: Packed) -> str:
    """The documents hold no placeholder such as @RESULT@, and nothing that makes sense in the repository only."""
    for name, file in packed.files.items():
        if name.startswith("docs/"):
            left = re.findall(rf"@[A-Z_]+@|{REPOSITORY}", file.read_text(encoding="utf-8"))
            want(not left, f"{', '.join(left)} in {name}", "text for the unpacked folder, without placeholders")
    return ""


@check("README commands", "files")
def readme_commands(packed: Packed) -> str:
    """The configs and keys of every command exist, in this bundle or in one that is packed beside it."""
    found = [words for words in commands(packed.readme) if "monai.bundle" in words]
    want(found, "no command", "monai.bundle run commands in bash blocks")
    for words in found:
        _check_command(packed, words)
    return f"{len(found)} commands"


def _check_command(packed: Packed, words: list[str]) -> None:
    files = config_files(words)
    listed = ", ".join(files)
    matched = [re.fullmatch(r"(?:\.\./(\w+)/)?configs/(\w+)\.yaml", file) for file in files]
    owners = {match[1] if match else listed for match in matched}
    want(len(owners) == 1 and owners <= {None, *packed.others}, listed, "configs of one bundle")
    (owner,) = owners
    wanted, root = (f"../{owner}" if owner else "."), flags(words).get("bundle_root")
    want(root == wanted, f"--bundle_root {root} for {listed}", f"--bundle_root {wanted}")
    bundle = replace(packed, root=packed.root.parent / owner) if owner else packed
    if not bundle.root.is_dir():
        return
    lost = [file for file in files if not (packed.root / file).is_file()]
    want(not lost, f"no {', '.join(lost)}", "the configs that a command names")
    config = bundle.config(*(match[2] for match in matched if match))
    unknown = [key for key in overrides(words) if key != "bundle_root" and not has(config, key)]
    want(not unknown, f"--{', --'.join(unknown)}", f"keys of {listed}")


@check("README commands run", "workflows", config_only=False)
def readme_commands_run(packed: Packed) -> str:
    """The package stands alone: inside its folder, its code imports without mim3d and its commands find that code.

    The first train and inference commands of the README run on data that does not exist, and must say so in one
    line.
    """
    own = packed.root / "custom_components"
    # `python -m` looks first in the current folder. An installed copy must not stand in for the package's.
    want((own / "__init__.py").is_file(), "no custom_components/__init__.py", "the bundle's copy")
    status, output, error = _inside(packed, ["-c", IMPORT_ALL])
    want(status == 0, f"{status}, {error!r} when all of custom_components is imported", "imports without mim3d")
    want(
        Path(output).resolve().parent == own.resolve(), f"custom_components of {output}", "the package's own copy"
    )
    for words in _commands_without_data(packed):
        status, _, error = _inside(packed, words[1:])
        stopped = status == 1 and error.startswith("error: ") and "dataset_dir" in error
        want(stopped, f"{status}, {error[:200]!r} of {shlex.join(words)[:120]}", "an error: dataset_dir")
    return error


def _inside(packed: Packed, words: list[str]) -> tuple[int, str, str]:
    """Run Python inside the bundle's folder; return exit status and the last lines of stdout and stderr."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=packed.root,
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    output, error = ((text.strip().splitlines() or [""])[-1] for text in (done.stdout, done.stderr))
    return done.returncode, output, error


def _commands_without_data(packed: Packed) -> Iterator[list[str]]:
    """Yield the README's first command of train and of inference, with paths that do not exist as placeholders."""
    paths = {"DATA": "nothing", "IMAGE.nii.gz": "nothing.nii.gz", "OUT": "out"}
    for name in ("train", "inference"):
        found = [words for words in commands(packed.readme) if words[:3] == ["python", "-m", "monai.bundle"]]
        found = [words for words in found if config_files(words) == [f"configs/{name}.yaml"]]
        found = [words for words in found if "--pretrained" not in words]
        want(found, f"no command of configs/{name}.yaml alone", "one")
        words = found[0]
        for placeholder, path in paths.items():
            pattern = rf"(?<![\w.]){re.escape(placeholder)}(?![\w.])"
            words = [re.sub(pattern, str(packed.scratch / path), word) for word in words]
        yield words
