"""Every command in the documents is known, has known keys, and runs in tiny form.

The commands of a document run in their order in a copy of the repository, so that default paths hold and a later
command finds what an earlier one wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from mim3d.catalog import METHODS, ROOT, TASKS
from mim3d.cli import COMMANDS, parser_of
from mim3d.phantoms import write_phantoms
from mim3d.plan.make_plan import FILES as PLANNED
from mim3d.quickstart.definition import FILE as QUICK_START
from mim3d.verify.config_ids import has
from mim3d.verify.readme_commands import blocks, commands, run_arguments, split_environment
from tests.docs.kinds import BENCHMARKS, check_bundle, kind, script_flags
from tests.docs.sandbox import Sandbox, write_foreign

BUNDLES = [group.bundle for group in (*METHODS.values(), *TASKS.values())]
PHANTOMS = {task.bundle.name: task.phantoms for task in TASKS.values()}
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "benchmarks" / "README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *(bundle / "docs" / "README.md" for bundle in BUNDLES),
    )
}
WEIGHTS = "docs/weights.md"  # its commands name published weights
RELEASE = "docs/release.md"  # a release has them
ALL = [(document, words) for document, text in TEXTS.items() for words in commands(text)]
#: Flags of other tools that texts name: torchrun, tensorboard, monai.bundle, MONAI Label, ci/test.sh.
OTHER_FLAGS = {
    "coverage",
    "standalone",
    "nproc_per_node",
    "logdir",
    "config_file",
    "help",
    "lowest",
    "conf",
    "host",
    "check",
    "url",
    "bundle_dir",
    "bundle_path",
}


@cache
def configs_of(bundle: Path) -> list[dict[str, Any]]:
    return [ConfigParser.load_config_file(file) for file in sorted(bundle.glob("configs/*.yaml"))]


@pytest.mark.parametrize("document", TEXTS)
def test_shell_blocks_are_marked_bash(document: str) -> None:
    for language, content in blocks(TEXTS[document]):
        assert language not in {"sh", "shell", "console", "zsh"}
        if not language:
            assert not re.search(r"^\s*\$?\s*(python|bash|pip|torchrun|mim3d) ", content, flags=re.MULTILINE), (
                content
            )


@pytest.mark.parametrize(("document", "words"), ALL, ids=[f"{name}:{n}" for n, (name, _) in enumerate(ALL)])
def test_command_is_known_and_so_are_its_keys(document: str, words: list[str]) -> None:
    _, command = split_environment(words)
    check, _ = kind(command)
    check(command)


@pytest.mark.parametrize("document", TEXTS)
def test_every_override_named_in_the_text_exists(document: str) -> None:
    """In a bundle's README the keys of that bundle; elsewhere those of any bundle; and options of our commands."""
    prose = re.sub(r"^```.*?^```", "", TEXTS[document], flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", prose)
    named = {key for code in inline for key in re.findall(r"(?<!\S)--([a-z]\w*(?:(?:#|::)\w+)*)", code)}
    known = (
        OTHER_FLAGS
        | run_arguments()
        | script_flags("benchmarks/step_cli.py", *BENCHMARKS, "tests/robustness/fuzz.py")
    )
    known |= {flag[2:] for name in COMMANDS for flag in parser_of(name).flags}
    bundles = [bundle for bundle in BUNDLES if f"/{bundle.name}/" in document] or BUNDLES
    configs = [config for bundle in bundles for config in configs_of(bundle)]
    assert [key for key in sorted(named - known) if not any(has(config, key) for config in configs)] == []


@pytest.mark.parametrize("document", TEXTS)
def test_files_and_layers_named_in_the_text_exist(document: str) -> None:
    """Links, and YAML files in code; `mine.yaml` stands for the reader's own, and `mim3d` writes some."""
    folder, text = (ROOT / document).parent, TEXTS[document]
    links = re.findall(r"\]\(([^):]+)\)", text)
    assert [link for link in links if not (folder / link.partition("#")[0]).exists()] == []
    layers = {path.name for bundle in BUNDLES for path in bundle.glob("configs/*.yaml")}
    sources = {path.name for folder in ("bundles", "benchmarks") for path in (ROOT / folder).glob("**/*.yaml")} | {
        "mine.yaml",
        "merging.yaml",
        QUICK_START,
        *PLANNED,
    }
    named = re.findall(r"`(?:[\w/-]+/)?([\w-]+\.yaml)`", text)
    assert [name for name in named if name not in layers | sources] == [] or document == "CHANGELOG.md"


def test_no_placeholder_is_left_in_a_document() -> None:
    assert [name for name, text in TEXTS.items() if re.search(r"@[A-Z_]+@|<<|<%", text)] == []


def test_an_unknown_command_and_a_misspelled_key_fail() -> None:
    with pytest.raises(AssertionError, match="nothing checks"):
        kind(["curl", "https://example.org"])
    start = ["python", "-m", "monai.bundle", "run", "--bundle_root", "bundles/seg_btcv"]
    config = ["--config_file", "bundles/seg_btcv/configs/train.yaml"]
    check_bundle([*start, *config, "--epochs", "1"])
    for key in ("epoch", "train#trainer#max_epoch"):
        with pytest.raises(AssertionError):
            check_bundle([*start, *config, f"--{key}", "1"])


@pytest.fixture(scope="module")
def make_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of phantoms of a kind, written when it is first asked for."""
    parent = tmp_path_factory.mktemp("phantoms")

    def make(kind: str) -> Path:
        sections = {"training": 4, "validation": 2, "test": 1, "unlabelled": 4}
        if not (parent / kind).exists():
            write_phantoms(parent / kind, kind, size="tiny", progress=False, **sections)
        return parent / kind

    return make


@pytest.mark.slow
@pytest.mark.parametrize("document", [document for document, text in TEXTS.items() if commands(text)])
def test_commands_run_in_tiny_form(
    document: str, make_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(document).parts[1] if document.startswith("bundles/") else None
    kind_of_data = PHANTOMS.get("seg_msd_hippocampus" if document == WEIGHTS else bundle or "", "abdomen_ct")
    sandbox = Sandbox(tmp_path, make_data(kind_of_data), bundle)
    if document in (WEIGHTS, RELEASE):
        sandbox.publish(monkeypatch)
    write_foreign(sandbox.root / "out", TEXTS[document])
    for words in commands(TEXTS[document]):
        environment, command = split_environment(words)
        _, run = kind(command)
        if run is not None:
            run(command, sandbox, environment)
