"""The kinds of commands that documents may have: how each is checked, and how it runs in a sandbox."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.bundle import scripts

from mim3d.catalog import ROOT
from mim3d.cli import parser_of
from mim3d.package.contents import collect
from mim3d.verify.config_ids import has
from mim3d.verify.readme_commands import config_files, flags, overrides
from tests.docs.sandbox import MADE, Sandbox, load

Words = list[str]
Check = Callable[[Words], None]
Runner = Callable[[Words, Sandbox, dict[str, str]], None]
_STEP = "--repeats 1 --threads 1 --device cpu"
_MIM = f"--hidden 24 --mlp 48 --heads 2 --deep 2 16 2 --size 32 {_STEP}"
#: Benchmark -> network -> arguments that make it tiny; the first network is the script's default.
BENCHMARKS = {
    "benchmarks/pretrain_step.py": {
        "basic_unet": f"--features 4 4 8 8 16 4 --size 32 --window 32 {_STEP}",
        "swin_unetr": f"--features 12 --size 64 32 32 --window 64 32 32 {_STEP}",
    },
    "benchmarks/mim_step.py": {"unetr": _MIM, "unetr_patch8": _MIM},
    "benchmarks/feeding.py": {"": "--shape 140 140 60 --rounds 1"},
    "benchmarks/training_cost.py": {"": ""},
    "benchmarks/study_times.py": {"": "phantoms_schedule"},
    "benchmarks/inference.py": {"": "--shape 64 48 40 --rounds 1"},
}
#: Variants that are enough to see that a command runs, and that training_cost.py reads; tests/benchmarks has all.
FEW = {
    "benchmarks/pretrain_step.py": "--variants window full",
    "benchmarks/mim_step.py": "--variants mae-0.75 simmim-0.75",
}
_LABEL = ("mim3d/label/roundtrip.py", "mim3d/label/server.py")


def text_of(*files: str) -> str:
    """The texts of files of the repository, one after the other."""
    return "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)


def script_flags(*scripts: str) -> set[str]:
    """The options that argparse scripts define, read from their source."""
    return set(re.findall(r"""\badd(?:_argument)?\(\s*["']--([\w-]+)""", text_of(*scripts)))


def check_bundle(words: Words) -> None:
    """Files exist, keys are those of the configs, and the root is the bundle's."""
    files = [file for file in config_files(words) if not file.startswith(MADE)]
    config = load(files) if files else packed_config(config_files(words))
    assert [key for key in overrides(words) if not has(config, key)] == []
    files = files or config_files(words)
    assert flags(words)["bundle_root"] in {str(Path(file).parents[1]) for file in files}


def packed_config(files: list[str]) -> dict[str, Any]:
    """Configs of a config-only package that an earlier command of the document makes, merged."""
    config: dict[str, Any] = {}
    for file in files:
        name, kind = re.fullmatch(rf"{MADE}\w+/config_only_(\w+)/configs/(\w+)\.yaml", file).groups()  # type: ignore[union-attr]
        content = collect(ROOT / "bundles" / name, config_only=True)[f"configs/{kind}.json"]
        config |= json.loads(content)
    return config


def run_bundle(words: Words, sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.run_bundle(words, environment)


def check_mim3d(words: Words) -> None:
    name, *arguments = words[words.index("mim3d") + 1 :]
    parser_of(name).parse(arguments)


def _with_tiny_network(words: Words, sandbox: Sandbox) -> Words:
    """Return the command with a tiny network behind its own layers, which an earlier command may have made."""
    configs = f"bundles/{words[words.index('mim3d') + 2]}/configs"
    start = words.index("--layer") if "--layer" in words else len(words)
    end = next((at for at in range(start + 1, len(words)) if words[at].startswith("--")), len(words))
    given = [layer if "/" in layer else f"{configs}/{layer}" for layer in words[start + 1 : end]]
    files = [sandbox.fill_in(file, sandbox.data) if file.startswith(MADE) else file for file in given]
    layers = sandbox.tiny_configs([f"{configs}/inference.yaml", *files])[1:]
    return [*words[:start], *words[end:], "--layer", *layers]


def run_mim3d(words: Words, sandbox: Sandbox, environment: dict[str, str]) -> None:
    name, data = words[words.index("mim3d") + 1], None
    if name == "verify":  # minutes for each bundle; tests/mim3d/verify runs it
        return
    if name == "phantoms":
        words = [*words, "--cases", "4", "--size", "tiny"]
        words[words.index("--out") + 1] = str(sandbox.fresh())
    if name == "study":  # hours: its plan, for which it needs no data
        kept = words[: words.index("--dataset_dir")] if "--dataset_dir" in words else words
        described = str(ROOT / "benchmarks" / "studies" / "base_hippocampus.yaml")
        words = [*dict.fromkeys([*(described if word == "my_data.yaml" else word for word in kept), "--dry_run"])]
    if name == "release":
        sandbox.make_repository()
    if name == "datalist" or (name == "plan" and "--test" in words):  # a split is refused where a list exists
        data = sandbox.unlisted()
    if name == "convert":  # of one small volume in another format
        words = [str(sandbox.scans()) if word == "SCANS" else word for word in words]
    if name in ("segment", "export", "embed"):  # with the tiny network that the document's commands trained
        words = _with_tiny_network(words, sandbox)
    if name == "package":  # only training makes weights files; the checks take minutes
        words = [word for word in words if word != "--verify"]
    if name == "package" and flags(words).get("weights", "").endswith(".pt"):
        at = words.index("--weights")
        words = words[:at] + words[at + 2 :]
    sandbox.execute(words, environment, data)


def check_trt_export(words: Words) -> None:
    """Not run, as it needs an NVIDIA GPU: its arguments are those of MONAI's function, and the configs exist."""
    given = flags(words[words.index("trt_export") :])
    assert set(given) <= set(inspect.signature(scripts.trt_export).parameters)
    assert [key for key in ("config_file", "meta_file") if not (ROOT / given[key]).is_file()] == []


def check_script(words: Words) -> None:
    """Not run, as they take minutes to hours: their syntax, and the arguments that they hand on."""
    subprocess.run(["bash", "-n", str(ROOT / words[1])], check=True)
    command = {"ci/quickstart.sh": "quickstart", "ci/label_roundtrip.sh": "label"}.get(words[1])
    if command:
        parser_of(command).parse(words[2:])
        bundles = [word for word in words[2:] if word.startswith("seg_")]
        assert [name for name in bundles if not (ROOT / "bundles" / name).is_dir()] == []
    else:
        assert words[1] in ("ci/test.sh", "ci/docs.sh")


def check_pip(words: Words) -> None:
    """Not run, as ci/setup.sh and ci/label_roundtrip.sh install the same."""
    script = shlex.split(text_of("ci/label_roundtrip.sh"), comments=True)
    own = words[2:] in (["-e", "."], ["-e", ".[dev]"])
    assert own or [word for word in words[2:] if word not in script] == []


def check_monai_function(words: Words) -> None:
    """Not run, as it needs a server: the function of monai.bundle has the options."""
    function = inspect.signature(getattr(scripts, words[3]))
    assert set(flags(words)) <= set(function.parameters)
    missing = [
        name
        for name, one in function.parameters.items()
        if one.default is one.empty and one.kind != one.VAR_KEYWORD
    ]
    assert set(missing) <= set(flags(words))


def check_git(words: Words) -> None:
    """Not run, as nothing is published here: it pushes the tag that mim3d release makes."""
    assert words == ["git", "push", "--follow-tags"]


def check_tool(words: Words) -> None:
    """Not run: ci/test.sh runs the checks, and the development packages have the tool."""
    assert f'"{words[0]}' in text_of("pyproject.toml")


def check_benchmark(words: Words) -> None:
    assert set(flags(words)) <= script_flags(words[1], "benchmarks/step_cli.py")


def run_benchmark(words: Words, sandbox: Sandbox, environment: dict[str, str]) -> None:
    """Its result takes its default name, so that a later command can show it."""
    forms = BENCHMARKS[words[1]]
    tiny = forms[flags(words).get("network", next(iter(forms)))].split()
    if "--variants" not in words:
        tiny += FEW.get(words[1], "").split()
    sandbox.execute(words if "--show" in words else [*words, *tiny], environment)


def run_tensorboard(words: Words, sandbox: Sandbox, environment: dict[str, str]) -> None:
    """Print what it would show, as the server itself does not end."""
    assert "scalars" in sandbox.execute(["python", "-m", "tensorboard.main", "--inspect", *words[1:]], environment)


def check_label_server(words: Words) -> None:
    """Not run, as it needs MONAI Label: options and settings are those that the round trip uses."""
    tried = text_of(*_LABEL)
    settings = [words[number + 1] for number, word in enumerate(words) if word == "--conf"]
    assert [word for word in [words[1], *(f"--{key}" for key in flags(words))] if f'"{word}"' not in tried] == []
    assert [key for key in settings if f'"{key}": ' not in tried] == []


def check_label_request(words: Words) -> None:
    """Not run: method and path are among those that the round trip sends."""
    path = words[3].removeprefix("http://127.0.0.1:8000")
    for pattern, name in ((r"(?<=/)seg_\w+", "{model}"), (r"(?<=image=)(?!\{)\w+(?=&|$)", "{image}")):
        path = re.sub(pattern, name, path, count=1)
    assert re.search(rf'"{words[2]}", f?"{re.escape(path)}"', text_of(*_LABEL)), path


#: How a command begins -> its check, and how it runs in a sandbox (None: its check says why not).
KINDS: dict[str, tuple[Check, Runner | None]] = {
    "python -m monai.bundle run ": (check_bundle, run_bundle),
    "python -m monai.bundle download ": (check_monai_function, None),
    "python -m monai.bundle push_to_hf_hub ": (check_monai_function, None),
    "python -m monai.bundle trt_export ": (check_trt_export, None),
    "torchrun --standalone --nproc_per_node=2 -m monai.bundle run ": (check_bundle, run_bundle),
    "mim3d ": (check_mim3d, run_mim3d),
    "python -m mim3d ": (check_mim3d, run_mim3d),
    **{f"python {script}": (check_benchmark, run_benchmark) for script in BENCHMARKS},
    "tensorboard --logdir ": (lambda words: None, run_tensorboard),
    "bash ci/": (check_script, None),
    "pip install ": (check_pip, None),
    "pre-commit ": (check_tool, None),
    "git ": (check_git, None),
    "source .venv-label/bin/activate": (lambda words: None, None),
    "monailabel ": (check_label_server, None),
    "curl -X ": (check_label_request, None),
}


def kind(words: Words) -> tuple[Check, Runner | None]:
    """The entry of `KINDS` for a command; an unknown command fails."""
    text = " ".join(words)
    found = [entry for start, entry in KINDS.items() if text.startswith(start)]
    assert found, f"nothing checks {text!r}: write it as one of {list(KINDS)}, or add how it is checked"
    assert not {"|", ">", ";", "$", "`"} & set(text), f"{text!r}: write one plain command on a line"
    return found[0]
