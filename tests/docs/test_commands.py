"""Every command in the documents is checked: known, with known keys, and run in small form.

A document's fenced ``bash`` blocks are split into commands. `CHECKS` says for each kind of command how it is
made small and run; one that it does not know fails, so that nobody adds a command that nothing checks. A
document's commands run in their order, from the root of a copy of the repository's bundles, so that the default
paths of weights and results hold and a later command finds what an earlier one wrote. Placeholders are those of
`Sandbox.fill_in`.
"""

from __future__ import annotations

import ast
import glob
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigParser
from monai.bundle import run as monai_run
from monai.bundle.workflows import ConfigWorkflow

from mim3d.cli import COMMANDS
from mim3d.phantoms import write_phantoms

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "bundles/*/docs/README.md", "docs/*.md", "benchmarks/README.md")
    for path in sorted(ROOT.glob(pattern))
]
#: The small form of a run, so far as its config has these keys: they stand behind its view ...
TINY = """
spacing: [8.0, 8.0, 8.0]
roi_size: [32, 32, 32]
num_samples: 1
num_workers: 0
warmup_share: 0.0
epochs: 1
val_interval: 1
"""
#: ... with those of a method: units that hold the network's tokens, and a batch that two ranks fill ...
METHODS = {
    "pretrain_hybridmim": """
patch_size: [8, 8, 8]
region_size: [16, 16, 16]
window_size: [16, 32, 32]
contrast_features: 8
""",
    "pretrain_mae": """
patch_size: [16, 16, 16]
block_size: [16, 16, 16]
decoder_width: 24
decoder_heads: 2
batch_size: 2
""",
    "pretrain_simmim": """
patch_size: [16, 16, 16]
block_size: [16, 16, 16]
batch_size: 2
""",
    "pretrain_simclr": """
projection_width: 24
projection_features: 8
batch_size: 2
""",
}
UNETR = """
architecture#hidden_size: 24
architecture#mlp_dim: 48
architecture#num_heads: 2
architecture#feature_size: 4
"""
#: ... and those of its network, whatever layer brought it, behind everything: pretrained and fine-tuned alike.
NETWORKS = {
    "BasicUNet": "architecture#features: [4, 4, 8, 8, 16, 4]",
    "SegResNet": "architecture#init_filters: 8",
    "SwinUNETR": """
architecture#feature_size: 12
roi_size: [64, 32, 32]
region_size: [32, 32, 32]
window_size: [64, 32, 32]
""",
    "UNETR": UNETR,
    "UNETRPatch8": UNETR,
}
#: What a bundle's document is tried on where that is not the abdomen, and the small form's own keys.
PHANTOMS = {
    "seg_brats": ("brain_mri", "label_source: msd_task01\n"),
    "seg_msd_liver": ("liver_ct", ""),
    "seg_msd_spleen": ("spleen_ct", ""),
    "seg_msd_hippocampus": ("hippocampus_mri", "spacing: [2.0, 2.0, 2.0]\n"),
}
MIM = "--hidden 24 --mlp 48 --heads 2 --deep 2 16 2 --size 32"
#: Small forms by network; a benchmark's first network is its default.
BENCHMARK = {
    "benchmarks/pretrain_step.py": {
        "basic_unet": "--features 4 4 8 8 16 4 --size 32 --window 32",
        "swin_unetr": "--features 12 --size 64 32 32 --window 64 32 32",
    },
    "benchmarks/mim_step.py": {"unetr": MIM, "unetr_patch8": MIM},
}
#: Flags of what is no config: pytest's, torchrun's, tensorboard's.
OTHER_FLAGS = {"standalone", "nproc_per_node", "logdir", "config_file", "help"}


# --- reading ---------------------------------------------------------------------------------------------


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return re.findall(r"^```([^\n`]*)\n(.*?)^```\s*$", text, flags=re.MULTILINE | re.DOTALL)


def commands(document: str) -> list[list[str]]:
    """The words of every command in a document's bash blocks; what ``&&`` joins is several."""
    found: list[list[str]] = []
    for language, content in blocks((ROOT / document).read_text(encoding="utf-8")):
        if language.strip() != "bash":
            continue
        for line in content.replace("\\\n", " ").splitlines():
            words: list[str] = []
            # shlex would take every # for the start of a comment; bash only one that begins a word.
            for word in [*shlex.split(re.sub(r"(^|\s)#.*", "", line)), "&&"]:
                if word != "&&":
                    words.append(word)
                elif words:
                    found.append(words)
                    words = []
    return found


def split_environment(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """``NAME=value`` words before a command, and the command."""
    count = next((i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


ALL = [(document, words) for document in DOCUMENTS for words in commands(document)]
IDS = [f"{document}:{number}" for number, (document, _) in enumerate(ALL)]


def flags(words: list[str]) -> dict[str, str]:
    """``--key value`` and ``--key=value`` as fire and argparse read them; a flag without value is ''."""
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            found[key] = value if equals else "" if following.startswith("--") else following
    return found


def config_files(words: list[str]) -> list[str]:
    """What ``--config_file`` names."""
    value = flags(words)["config_file"]
    return list(ast.literal_eval(value)) if value.startswith("[") else [value]


def bundle_words(words: list[str]) -> list[str]:
    """The part of a command from ``monai.bundle run`` on."""
    return words[words.index("monai.bundle") + 1 :]


# --- the kinds of commands -------------------------------------------------------------------------------


def run_arguments() -> set[str]:
    """What ``monai.bundle run`` itself takes."""
    return {name for made in (monai_run, ConfigWorkflow.__init__) for name in inspect.signature(made).parameters}


def load(files: list[str]) -> dict[str, Any]:
    """Configs merged in their order."""
    return dict(ConfigParser.load_config_files([str(ROOT / file) for file in files]))


def has_key(config: Any, key: str) -> bool:
    for step in re.split("#|::", key):
        if not isinstance(config, dict) or step not in config:
            return False
        config = config[step]
    return True


def script_flags(*scripts: str) -> set[str]:
    """The options that argparse scripts define, read from their source."""
    sources = [(ROOT / script).read_text(encoding="utf-8") for script in scripts if (ROOT / script).is_file()]
    return set(re.findall(r"""\badd(?:_argument)?\(\s*["']--([\w-]+)""", "\n".join(sources)))


class Sandbox:
    """A copy of the bundles in which a document's commands run, on phantoms of 5 mm and with a tiny network."""

    def __init__(self, folder: Path, data: Path, own_keys: str = "") -> None:
        self.root = folder / "repository"
        self.data = data
        self.own_keys = own_keys
        self.number = 0
        self.epochs = 1
        left_out = shutil.ignore_patterns("eval", "*.pt", "*.card.json", "__pycache__", "runs")
        for name in ("bundles", "benchmarks", "ci", "custom_components"):
            shutil.copytree(ROOT / name, self.root / name, ignore=left_out)
        for name in ("pyproject.toml", "requirements.txt"):
            shutil.copy(ROOT / name, self.root / name)

    def small(self, files: list[str]) -> list[str]:
        """A command's configs with the layers that make them small: behind the view, and behind everything."""
        tasks = [file for file in files if Path(file).name.startswith("task_")]
        first, *layers = (file for file in files if file not in tasks)
        network = load(files)["architecture"]["_target_"].rpartition(".")[2]
        view = self.layer([first, *tasks], TINY, METHODS.get(Path(first).parts[1], ""), self.own_keys)
        return [first, *tasks, view, *layers, self.layer(files, NETWORKS[network])]

    def layer(self, files: list[str], *texts: str) -> str:
        """A file with those keys of some YAML that configs have."""
        config = load(files)
        given = {key: value for text in texts for key, value in (yaml.safe_load(text) or {}).items()}
        path = self.fresh().with_suffix(".yaml")
        own = {key: value for key, value in given.items() if has_key(config, key)}
        path.write_text(yaml.safe_dump(own), encoding="utf-8")
        return str(path)

    def fresh(self) -> Path:
        """A path that does not exist yet."""
        self.number += 1
        return self.root / f"new_{self.number}"

    def unlisted(self) -> Path:
        """A copy of the data without its list."""
        return Path(shutil.copytree(self.data, self.fresh(), ignore=shutil.ignore_patterns("datalist.json")))

    def fill_in(self, word: str, data: Path) -> str:
        """Put paths for the placeholders DATA, OUT and IMAGE.nii.gz; another name in capitals is an error."""
        image = sorted((self.data / "imagesUn").iterdir())[0]
        paths = {"DATA": data, "OUT": self.root / "out", "IMAGE.nii.gz": image}
        parts = word.split("/")
        for number, part in enumerate(parts):
            if part in paths:
                parts[number] = str(paths[part])
            elif re.fullmatch(r"[A-Z_]{3,}(\.\w+)*", part):
                raise AssertionError(f"placeholder {part} is unknown; use {', '.join(paths)}")
        return "/".join(parts)

    def execute(
        self, words: list[str], data: Path | None = None, environment: dict[str, str] | None = None
    ) -> str:
        """Run one command, which must succeed; its stdout and stderr together."""
        filled = [self.fill_in(word, data or self.data) for word in words]
        expanded: list[str] = []
        for word in filled:
            expanded += sorted(glob.glob(str(self.root / word))) if "*" in word else [word]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
        env |= {"OMP_NUM_THREADS": "1", **(environment or {})}
        program = [sys.executable, *expanded[1:]] if expanded[0] == "python" else expanded
        done = subprocess.run(program, cwd=self.root, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr


def check_bundle_keys(words: list[str]) -> None:
    files = config_files(words)
    assert [file for file in files if not (ROOT / file).is_file()] == []
    config = load(files)
    known = run_arguments()
    assert [key for key in flags(bundle_words(words)) if key not in known and not has_key(config, key)] == []
    assert flags(words)["bundle_root"] in {str(Path(file).parents[1]) for file in files}


def run_bundle(words: list[str], sandbox: Sandbox, environment: dict[str, str]) -> None:
    """The command itself, in the small form of its configs and with few epochs."""
    small = list(words)
    if words[0] == "torchrun":
        small = ["python", "-m", "torch.distributed.run", *words[1:]]
    small[small.index("--config_file") + 1] = str(sandbox.small(config_files(words)))
    if "--epochs" in small:  # a later number is a higher one: --epochs may extend a run that is resumed
        sandbox.epochs += 1
        small[small.index("--epochs") + 1] = str(sandbox.epochs)
    sandbox.execute(small, environment=environment)


def check_tool_flags(words: list[str]) -> None:
    assert words[3] in COMMANDS
    assert set(flags(words)) <= set(inspect.signature(COMMANDS[words[3]]).parameters)


def run_tool(words: list[str], sandbox: Sandbox, environment: dict[str, str]) -> None:
    small, data = list(words), sandbox.fresh()
    if words[3] == "phantoms":
        small += [] if "--cases" in small else ["--cases", "0"]
        small[small.index("--cases") + 1] = "4"
        small = ["OUT/phantoms" if word == "OUT" else word for word in small] + ["--size", "tiny"]
    else:
        data = sandbox.unlisted()
    sandbox.execute(small, data, environment)


def check_shell_script(words: list[str]) -> None:
    """Hours or an installation long: its syntax, and the options that it hands on."""
    subprocess.run(["bash", "-n", str(ROOT / words[1])], check=True)
    if words[1] == "ci/quickstart.sh":
        assert set(flags(words)) <= script_flags("ci/quickstart_arguments.py")
    else:
        assert words[1] == "ci/test.sh"


def check_pip(words: list[str]) -> None:
    """Not run: ci/setup.sh does the same in a fresh environment. Nothing but this project is installed."""
    assert words[words.index("install") + 1 :] in (["-e", "."], ["-e", ".[dev]"])
    assert (ROOT / "pyproject.toml").is_file()


def check_benchmark_flags(words: list[str]) -> None:
    assert set(flags(words)) <= script_flags(words[1], "benchmarks/step_cli.py")


def run_benchmark(words: list[str], sandbox: Sandbox, environment: dict[str, str]) -> None:
    """Its result takes its default name, in the sandbox, so that a later command shows it."""
    forms = BENCHMARK[words[1]]
    network = flags(words).get("network", next(iter(forms)))
    small = f"{forms[network]} --repeats 1 --threads 1 --device cpu"
    sandbox.execute(words if "--show" in words else [*words, *small.split()], environment=environment)


def run_tensorboard(words: list[str], sandbox: Sandbox, environment: dict[str, str]) -> None:
    """What it would show, printed: the server itself does not end."""
    told = sandbox.execute(["python", "-m", "tensorboard.main", "--inspect", *words[1:]], environment=environment)
    assert "scalars" in told


def check_package_flags(words: list[str]) -> None:
    assert set(flags(words)) <= script_flags("ci/package.py")


def run_package(words: list[str], sandbox: Sandbox, environment: dict[str, str]) -> None:
    """Without weights, which only training would make."""
    at = words.index("--weights") if "--weights" in words else len(words)
    sandbox.execute(words[:at] + words[at + 2 :], environment=environment)


def check_verify_flags(words: list[str]) -> None:
    """Not run, minutes a bundle: tests/ci/test_verify_bundles.py does."""
    assert set(flags(words)) <= script_flags("ci/verify_bundles.py")


def check_label_environment(words: list[str]) -> None:
    """Not run, 4 GB: what is installed for MONAI Label by hand is what ci/label_roundtrip.sh installs."""
    script = shlex.split((ROOT / "ci" / "label_roundtrip.sh").read_text(encoding="utf-8"), comments=True)
    assert [word for word in words[2:] if word not in script] == []


def check_label_roundtrip(words: list[str]) -> None:
    """Not run, it needs MONAI Label: its syntax, the bundles and options it is given."""
    subprocess.run(["bash", "-n", str(ROOT / words[1])], check=True)
    assert set(flags(words)) <= script_flags("ci/label_roundtrip.py")
    assert [word for word in words[2:] if word.startswith("seg_") and not (ROOT / "bundles" / word).is_dir()] == []


def check_label_server(words: list[str]) -> None:
    """Not run: the options, and the server's settings, are those that ci/label_roundtrip.sh tries."""
    tried = "".join((ROOT / "ci" / name).read_text(encoding="utf-8") for name in LABEL_SCRIPTS)
    settings = [words[k + 1] for k, word in enumerate(words) if word == "--conf"]
    assert [word for word in [words[1], *(f"--{key}" for key in flags(words))] if f'"{word}"' not in tried] == []
    assert [key for key in settings if f'"{key}": ' not in tried] == []


def check_label_request(words: list[str]) -> None:
    """Not run: method and path are among those that ci/label_roundtrip.sh sends."""
    tried = "".join((ROOT / "ci" / name).read_text(encoding="utf-8") for name in LABEL_SCRIPTS)
    path = words[3].removeprefix("http://127.0.0.1:8000")
    for pattern, name in ((r"(?<=/)seg_\w+", "{model}"), (r"(?<=image=)(?!\{)\w+(?=&|$)", "{image}")):
        path = re.sub(pattern, name, path, count=1)
    assert f'"{words[2]}", "{path}"' in tried or f'"{words[2]}", f"{path}"' in tried, path


LABEL_SCRIPTS = ("label_roundtrip.py", "label_server.py")
Check = Callable[[list[str]], None]
Runner = Callable[[list[str], Sandbox, dict[str, str]], None]
#: How a command begins -> what is checked of it, and how its small form runs (None: its check says why not).
CHECKS: dict[str, tuple[Check, Runner | None]] = {
    "python -m monai.bundle run ": (check_bundle_keys, run_bundle),
    "torchrun --standalone --nproc_per_node=2 -m monai.bundle run ": (check_bundle_keys, run_bundle),
    "python -m custom_components ": (check_tool_flags, run_tool),
    **{f"python {script}": (check_benchmark_flags, run_benchmark) for script in BENCHMARK},
    "tensorboard --logdir ": (lambda words: None, run_tensorboard),
    "python ci/package.py ": (check_package_flags, run_package),
    "python ci/verify_bundles.py": (check_verify_flags, None),
    "bash ci/label_roundtrip.sh": (check_label_roundtrip, None),
    "bash ci/": (check_shell_script, None),
    "pip install torch==": (check_label_environment, None),
    "pip install -r requirements.txt": (check_label_environment, None),
    "source .venv-label/bin/activate": (lambda words: None, None),
    "monailabel ": (check_label_server, None),
    "curl -X ": (check_label_request, None),
    "pip install ": (check_pip, None),
}


def kind(words: list[str]) -> tuple[Check, Runner | None]:
    """The entry of `CHECKS` for a command."""
    text = " ".join(words)
    found = [entry for start, entry in CHECKS.items() if text.startswith(start)]
    assert found, f"nothing checks {text!r}: write it as one of {list(CHECKS)}, or add how it is checked"
    assert not {"|", ">", ";", "$", "`"} & set(text), (
        f"{text!r}: one plain command a line, which can be run as it stands"
    )
    return found[0]


# --- tests -----------------------------------------------------------------------------------------------


def test_documents_are_found() -> None:
    names = [path.parents[1].name for path in ROOT.glob("bundles/*/configs/train.yaml")]
    bundles = {f"bundles/{name}/docs/README.md" for name in names}
    assert {"README.md", *bundles} <= set(DOCUMENTS)
    assert len(ALL) > 10


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shell_blocks_are_marked_bash(document: str) -> None:
    shells = {"sh", "shell", "console", "zsh", "bat", "powershell"}
    found = blocks((ROOT / document).read_text(encoding="utf-8"))
    assert not shells & {language.strip() for language, _ in found}
    for language, content in found:
        if not language.strip():
            assert not re.search(r"^\s*\$?\s*(python|bash|pip|torchrun) ", content, flags=re.MULTILINE), content


@pytest.mark.parametrize(("document", "words"), ALL, ids=IDS)
def test_command_is_known_and_so_are_its_keys(document: str, words: list[str]) -> None:
    _, command = split_environment(words)
    check, _ = kind(command)
    check(command)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_override_named_in_the_text_exists(document: str) -> None:
    """In a bundle's README the bundle's own keys; elsewhere any bundle's; and the options of our commands."""
    text = (ROOT / document).read_text(encoding="utf-8")
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    named = {key for code in inline for key in re.findall(r"(?<!\S)--([a-z]\w*(?:(?:#|::)\w+)*)", code)}
    bundle = document.split("/")[1] if document.startswith("bundles/") else "*"
    files = sorted(glob.glob(str(ROOT / "bundles" / bundle / "configs" / "*.yaml")))
    configs = [ConfigParser.load_config_file(file) for file in files]
    known = (
        script_flags("ci/quickstart_arguments.py", "benchmarks/step_cli.py", *BENCHMARK)
        | run_arguments()
        | OTHER_FLAGS
    )
    known |= {name for command in COMMANDS.values() for name in inspect.signature(command).parameters}
    assert [key for key in sorted(named) if key not in known and not any(has_key(c, key) for c in configs)] == []


def test_an_unknown_command_and_a_misspelled_key_fail() -> None:
    with pytest.raises(AssertionError, match="nothing checks"):
        kind(["curl", "https://example.org"])
    start = ["python", "-m", "monai.bundle", "run", "--bundle_root", "bundles/seg_btcv"]
    config = ["--config_file", "bundles/seg_btcv/configs/train.yaml"]
    check_bundle_keys([*start, *config, "--epochs", "1"])
    for key in ("epoch", "train#trainer#max_epoch"):
        with pytest.raises(AssertionError):
            check_bundle_keys([*start, *config, f"--{key}", "1"])


@pytest.fixture(scope="module")
def make_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of phantoms of a kind, written when it is first asked for."""
    parent = tmp_path_factory.mktemp("phantoms")

    def make(kind: str = "abdomen_ct") -> Path:
        sections = {"training": 4, "validation": 2, "test": 1, "unlabelled": 4}
        if not (parent / kind).exists():
            write_phantoms(parent / kind, kind, size="tiny", progress=False, **sections)
        return parent / kind

    return make


def taken(document: str) -> list[str]:
    """The pretraining bundles whose weights a document's commands start from, where none before has made them."""
    made: set[str] = set()
    found = []
    for words in commands(document):
        given = flags(words)
        match = re.fullmatch(r"bundles/(pretrain_\w+)/models/\w+\.pt", given.get("pretrained", ""))
        if match and match[1] not in made:
            found.append(match[1])
        if "config_file" in given and "ckpt_dir" not in given:
            made |= {Path(file).parts[1] for file in config_files(words) if Path(file).name == "train.yaml"}
    return sorted(set(found))


def test_what_a_document_takes_from_anothers_commands_is_known() -> None:
    assert [document for document in DOCUMENTS if not set(taken(document)) <= set(METHODS)] == []
    assert set(METHODS) == {path.parents[1].name for path in ROOT.glob("bundles/pretrain_*/configs/train.yaml")}


@pytest.fixture(scope="module")
def make_pretrained(
    make_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Weights of a pretraining bundle, made when first asked for: some documents start from another's."""
    folder = tmp_path_factory.mktemp("pretrained")

    def make(bundle: str) -> Path:
        models = folder / bundle / "models"
        if not models.exists():
            words = ["python", "-m", "monai.bundle", "run", "--bundle_root", f"bundles/{bundle}"]
            words += ["--config_file", f"bundles/{bundle}/configs/train.yaml"]
            words += ["--dataset_dir", "DATA", "--ckpt_dir", str(models)]
            run_bundle(words, Sandbox(folder / bundle, make_data("abdomen_ct")), {})
        return models

    return make


@pytest.mark.slow
@pytest.mark.parametrize("document", [document for document in DOCUMENTS if commands(document)])
def test_commands_run_in_small_form(
    document: str, make_data: Callable[[str], Path], make_pretrained: Callable[[str], Path], tmp_path: Path
) -> None:
    kind_of_data, own_keys = PHANTOMS.get(Path(document).parts[1] if "/" in document else "", ("abdomen_ct", ""))
    sandbox = Sandbox(tmp_path, make_data(kind_of_data), own_keys)
    for bundle in taken(document):
        shutil.copytree(make_pretrained(bundle), sandbox.root / "bundles" / bundle / "models", dirs_exist_ok=True)
    for words in commands(document):
        environment, command = split_environment(words)
        _, runner = kind(command)
        if runner is not None:
            runner(command, sandbox, environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bundle", "layer", "segment"),
    [
        ("pretrain_mae", None, "unetr.yaml"),
        ("pretrain_simmim", "swin_unetr.yaml", "swin_unetr.yaml"),
        ("pretrain_simclr", "unetr_patch8.yaml", "unetr_patch8.yaml"),
    ],
)
def test_small_forms_of_pretraining_and_fine_tuning_are_of_one_network(
    bundle: str, layer: str | None, segment: str, make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """As the documents' table of networks says it in words: weights of a layer go behind that of a seg bundle."""
    sandbox = Sandbox(tmp_path, make_data("abdomen_ct"))
    for root, layers, more in (
        (bundle, [layer] if layer else [], []),
        ("seg_btcv", [segment], ["--pretrained", f"bundles/{bundle}/models/model.pt"]),
    ):
        files = [f"bundles/{root}/configs/{name}" for name in ("train.yaml", *layers)]
        words = [
            "python",
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            str(files),
            "--bundle_root",
            f"bundles/{root}",
        ]
        run_bundle([*words, "--dataset_dir", "DATA", *more], sandbox, {})
    report = json.loads((sandbox.root / "bundles" / "seg_btcv" / "models" / "transfer.json").read_text())
    assert report["counts"]["matched"] > 0
