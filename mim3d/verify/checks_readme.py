"""Checks of a packed bundle's README: its sections, and that its commands run from inside the unpacked folder."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

from monai.bundle.workflows import ConfigWorkflow

from mim3d.verify.config_ids import at
from mim3d.verify.packed import Packed, want
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
#: What only the repository has.
REPOSITORY = r"(?<![\w./-])bundles/\w[\w/.]*|repository root|pip install -e|docs/monai_label\.md"


@check("README sections", "files")
def readme_sections(packed: Packed) -> str:
    heads = [head.strip().lower() for head in re.findall(r"^#+ (.*)$", packed.readme, re.MULTILINE)]
    missing = [section for section in SECTIONS if section.lower() not in heads]
    want(not missing, f"no {', '.join(missing)}", "the zoo's sections")
    return ""


@check("README is filled in", "files")
def readme_filled_in(packed: Packed) -> str:
    """Nothing is left that was to be replaced: placeholders of writing, and what holds in the repository only."""
    for name, file in packed.files.items():
        if name.startswith("docs/"):
            left = re.findall(rf"@[A-Z_]+@|{REPOSITORY}", file.read_text(encoding="utf-8"))
            want(not left, f"{', '.join(left)} in {name}", "text for the unpacked folder, without placeholders")
    return ""


def commands(readme: str, words: str) -> list[list[str]]:
    """Words of every command in the bash blocks that has the given words."""
    blocks = re.findall(r"^```bash\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if words in line]


def config_files(command: list[str]) -> list[str]:
    """What ``--config_file`` names."""
    given = command[command.index("--config_file") + 1]
    return list(ast.literal_eval(given)) if given.startswith("[") else [given]


def has(config: object, key: str) -> bool:
    """Whether an id exists, null included."""
    head, _, last = key.replace("::", "#").rpartition("#")
    parent = at(config, head) if head else config
    return isinstance(parent, dict) and last in parent


@check("README commands", "files")
def readme_commands(packed: Packed) -> str:
    """Configs and keys exist: this bundle's, and another's where it is packed beside this one."""
    found = commands(packed.readme, "monai.bundle run")
    want(found, "no command", "monai.bundle run commands in bash blocks")
    known = set(ConfigWorkflow.__init__.__annotations__) | {"run_id", "config_file", "args_file"}
    for words in found:
        files = config_files(words)
        told = ", ".join(files)
        matched = [re.fullmatch(r"(?:\.\./(\w+)/)?configs/(\w+)\.yaml", file) for file in files]
        owners = {match[1] if match else told for match in matched}
        want(len(owners) == 1 and owners <= {None, *packed.others}, told, "configs of one bundle")
        (owner,) = owners
        wanted, root = (f"../{owner}" if owner else "."), words[words.index("--bundle_root") + 1]
        want(root == wanted, f"--bundle_root {root} for {told}", f"--bundle_root {wanted}")
        bundle = replace(packed, root=packed.root.parent / owner) if owner else packed
        if not bundle.root.is_dir():
            continue
        lost = [file for file in files if not (packed.root / file).is_file()]
        want(not lost, f"no {', '.join(lost)}", "the configs that a command names")
        config = bundle.config(*(match[2] for match in matched if match))
        keys = [word[2:] for word in words[words.index("monai.bundle") :] if word.startswith("--")]
        unknown = [key for key in keys if key not in known and not has(config, key)]
        want(not unknown, f"--{', --'.join(unknown)}", f"keys of {told}")
    return f"{len(found)} commands"


def without_data(packed: Packed) -> Iterator[list[str]]:
    """The README's first command of train and of inference, with data that does not exist."""
    places = {"DATA": "nothing", "IMAGE.nii.gz": "nothing.nii.gz", "OUT": "out"}
    for name in ("train", "inference"):
        found = [
            words for words in commands(packed.readme, "python -m monai.bundle run") if "--pretrained" not in words
        ]
        found = [words for words in found if config_files(words) == [f"configs/{name}.yaml"]]
        want(found, f"no command of configs/{name}.yaml alone", "one")
        for word, place in places.items():
            pattern = rf"(?<![\w.]){re.escape(word)}(?![\w.])"
            found[0] = [re.sub(pattern, str(packed.scratch / place), given) for given in found[0]]
        yield found[0]


@check("README commands run", "workflows")
def readme_commands_run(packed: Packed) -> str:
    """From inside the folder, with its own custom_components: paths, imports and checks as a user finds them."""
    # the folder that python -m is called in comes first on the import path; an installed copy must not stand in
    want("custom_components/__main__.py" in packed.files, "no custom_components/__main__.py", "the bundle's copy")
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    told = ""
    for words in [*without_data(packed), ["python", "-m", "custom_components", "datalist", "--help"]]:
        line = [sys.executable, *words[1:]]
        done = subprocess.run(
            line, cwd=packed.root, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        last = (done.stderr.strip().splitlines() or [""])[-1]
        if words[2] == "monai.bundle":
            stopped = done.returncode == 1 and last.startswith("error: ") and "dataset_dir" in last
            want(
                stopped, f"{done.returncode}, {last[:200]!r} of {shlex.join(words)[:120]}", "an error: dataset_dir"
            )
            told = last
        else:
            shown = done.returncode == 0 and "datalist" in done.stdout + done.stderr
            want(shown, f"{done.returncode}, {last[:200]!r} of {shlex.join(words)}", "its help")
    return told
