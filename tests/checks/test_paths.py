"""Paths that MONAI's config reading or the command line would change: found, with how to write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fire.parser import DefaultParseValue
from monai.bundle.config_parser import ConfigParser

from custom_components.checks import Overrides
from custom_components.checks.paths import misread_paths
from custom_components.config_text import as_argument

MAIN = "/x/site-packages/monai/bundle/__main__.py"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "train.yaml").write_text("dataset_dir: ''\nckpt_dir: out\nweights: a.pt\nnote: ''\n")
    return tmp_path / "train.yaml"


def command(config: Path, *words: str) -> list[str]:
    return [MAIN, "run", "--config_file", str(config), *words]


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("dataset_dir", "in#1", r"""MONAI reads # as ::; write --dataset_dir "$'in\x231'" """),
        ("note", "run #3", r"""write --note "$'run \x233'" """),
        ("dataset_dir", "['a#b']", "MONAI reads # as ::; rename what has a # in its name"),
        ("dataset_dir", "@in", "MONAI reads as a reference, not as a path; write ./@in"),
        ("weights", "$in/w.pt", "MONAI reads as a reference, not as a path; write ./$in/w.pt"),
        ("ckpt_dir", "%out", "MONAI reads as a reference, not as a path; write ./%out"),
        ("dataset_dir", "2024", "is read as a number or a list, not as a path; write ./2024"),
        ("dataset_dir", "1e3", "is read as a number or a list, not as a path; write ./1e3"),
        ("dataset_dir", "a,b", "is read as a number or a list, not as a path; write ./a,b"),
    ],
)
def test_a_path_that_would_change_is_named_with_how_to_write_it(
    config: Path, key: str, written: str, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Overrides(command(config, f"--{key}={written}"))()
    assert f"{key} is {written!r}" in str(caught.value)
    assert str(caught.value).endswith(message.strip())


@pytest.mark.parametrize(
    "written",
    ["data", "./2024", "/a b/c", "@ckpt_dir", "$@ckpt_dir + '/x'", r"$'in\x231'", "['a','b']", "None", ""],
)
def test_other_paths_pass(config: Path, written: str) -> None:
    assert misread_paths(command(config, "--dataset_dir", written, "--note", "2024")) == []


def test_config_files_are_looked_at_too(config: Path) -> None:
    layer = config.with_name("mine.yaml")
    layer.write_text("dataset_dir: /data/in#1\n")
    both = str([str(config), str(layer)])
    assert len(misread_paths([MAIN, "run", "--config_file", both])) == 1
    assert misread_paths([MAIN, "run", "--config_file", both, "--dataset_dir", "x"]) == []


@pytest.mark.parametrize("path", ["in#1", "@in", "%in", "$in", "2024", "a,b", "it's", "plain", "/a b/[c]", 'q"#'])
def test_an_argument_is_read_as_the_path_that_it_was_made_of(path: str) -> None:
    parser = ConfigParser(
        {"dataset_dir": DefaultParseValue(as_argument(Path(path))), "used": "$@dataset_dir + '/x'"}
    )
    assert parser.get_parsed_content("dataset_dir") == path
    assert parser.get_parsed_content("used") == f"{path}/x"
