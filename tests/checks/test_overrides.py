"""Misspelled keys on a ``monai.bundle run`` command line, in every way that it may be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components.checks import command_line
from custom_components.checks.command_line import merged_config, parse_command
from custom_components.checks.overrides import Overrides, unknown_overrides

MAIN = "/x/site-packages/monai/bundle/__main__.py"
TRAIN = """
epochs: 10
dataset_dir: ""
loss_weights: {reconstruction: 1.0, count: 0.1}
network:
  _target_: monai.networks.nets.BasicUNet
  in_channels: 1
short: {_target_: BasicUNet}
train:
  handlers:
  - _target_: StatsHandler
run: ["$print(1)"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "smoke.yaml").write_text("smoke_size: 3\nepochs: 1\n")
    (tmp_path / "train.yaml").write_text(TRAIN)
    return tmp_path / "train.yaml"


def unknown(config: Path | str, *words: str) -> list[tuple[str, str | None]]:
    return unknown_overrides([MAIN, "run", "--config_file", str(config), *words])


def test_config_files_are_parsed_once_until_they_change(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[list[str]] = []
    load = command_line.ConfigParser.load_config_files

    def counted(files: list[str]) -> dict:
        parsed.append(files)
        return load(files)

    monkeypatch.setattr(command_line.ConfigParser, "load_config_files", counted)
    merged_config([str(config)])["loss_weights"]["count"] = 9  # the caller's copy
    Overrides([MAIN, "run", "--config_file", str(config), "--epochs", "3"])()
    assert merged_config([str(config)])["loss_weights"] == {"reconstruction": 1.0, "count": 0.1}
    assert parsed == [[str(config)]]
    config.write_text(TRAIN + "more: 1\n", encoding="utf-8")
    assert merged_config([str(config)])["more"] == 1


@pytest.mark.parametrize("words", [("--epoch", "3"), ("--epoch=3",), ("--epoch",), ("--epoch", "-3")])
def test_a_misspelled_key_is_found_with_its_nearest(config: Path, words: tuple[str, ...]) -> None:
    assert unknown(config, *words) == [("epoch", "epochs")]


@pytest.mark.parametrize(
    "words",
    [
        ("--epochs", "3"),
        ("--epochs=3", "--dataset_dir", "/data"),
        ("--dataset-dir", "/data"),  # fire turns "-" into "_"
        ("--network#features", "[8,8]"),  # an argument that the file leaves at its default
        ("--network::in_channels=4", "--network#_disabled_", "true"),
        ("--loss_weights#count", "0"),
        ("--train#handlers#0#_target_", "X"),
        ("--run_id", "evaluate", "--meta_file", "m.json", "--workflow_type", "train"),
        ("training", "--epochs", "3"),  # a positional run_id
        ("--network", "%other.yaml", "--network#anything", "1"),
        ("--_meta_#version", "1"),
        ("--tracking", "mlflow", "--experiment_name", "x"),
        ("--epochs", "3", "--", "--verbose"),  # what follows "--" is fire's own
    ],
)
def test_known_keys_pass(config: Path, words: tuple[str, ...]) -> None:
    assert unknown(config, *words) == []


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("--network#in_chanels", "network::in_channels"),
        ("--network::featurs", "network::features"),
        ("--short#featurs", "short::features"),  # a class that MONAI finds by its name
        ("--loss_weights#reconstruct", "loss_weights::reconstruction"),
        ("--train#handlers#7", None),
        ("--xyzzy", None),
        ("--config_fil", "config_file"),
        ("--experiment_name", None),
        ("--+epochs", "epochs"),  # "+" merges in files only
    ],
)
def test_unknown_keys_of_every_depth_are_found(config: Path, word: str, nearest: str | None) -> None:
    assert unknown(config, word, "1") == [(word[2:], nearest)]


def test_all_forms_of_config_file_are_merged(config: Path) -> None:
    both = [str(config), str(config.parent / "smoke.yaml")]
    for form in (repr(both), str(both).replace(" ", ""), ",".join(both)):
        assert unknown(form, "--smoke_size", "2", "--epochs", "1") == []
        assert unknown(form, "--smoke_sise", "2") == [("smoke_sise", "smoke_size")]
    assert unknown(config, "--smoke_size", "2") != []


def test_args_file_is_read_too(config: Path, tmp_path: Path) -> None:
    args = {"config_file": str(config), "epoch": 2, "dataset_dir": "x"}
    for name, text in (("a.json", json.dumps(args)), ("a.yaml", f"config_file: {config}\nepoch: 2\n")):
        (tmp_path / name).write_text(text)
        argv = [MAIN, "run", "--args_file", str(tmp_path / name)]
        assert unknown_overrides(argv) == [("epoch", "epochs")]


def test_the_message_names_key_nearest_and_file_in_one_line(config: Path) -> None:
    argv = [MAIN, "run", "--config_file", str(config), "--epoch", "3", "--xyzzy", "1"]
    with pytest.raises(ValueError, match=r"'epoch' \(nearest: 'epochs'\); 'xyzzy'.*train.yaml") as caught:
        Overrides(argv)()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["/x/pytest", "--epoch", "3"],
        [MAIN],
        [MAIN, "download", "--nam", "x"],
        [MAIN, "run", "--epoch", "3"],
        [MAIN, "run", "--config_file", "/no/such.yaml", "--epoch", "3"],
        ["/x/monailabel/main.py", "start_server", "--app", "x"],
    ],
)
def test_other_processes_are_left_alone(argv: list[str]) -> None:
    assert unknown_overrides(argv) == []
    Overrides(argv)()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("null", "MONAI reads null as text on the command line; write --epochs '$None'"),
        ("None", "MONAI ignores None on the command line; write --epochs '$None'"),
        ("false", "MONAI reads false as text on the command line; write --epochs False"),
    ],
)
def test_a_word_that_monai_would_misread_is_named_with_how_to_write_it(
    config: Path, written: str, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Overrides([MAIN, "run", "--config_file", str(config), "--epochs", written])()
    assert str(caught.value) == f"epochs is {written}, and {message}"


def test_words_that_monai_reads_as_meant_pass(config: Path) -> None:
    (config.parent / "smoke.yaml").write_text("nothing: null\n")
    words = ["--epochs", "$None", "--nothing", "None", "--tracking", "None"]
    files = str([str(config), str(config.parent / "smoke.yaml")])
    Overrides([MAIN, "run", "--config_file", files, *words])()


def test_the_running_process_is_looked_at_by_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Overrides()()  # pytest
    monkeypatch.setattr("sys.argv", [MAIN, "run", "--config_file", str(config), "--epoch", "3"])
    with pytest.raises(ValueError, match="unknown override 'epoch'"):
        Overrides()()


def test_positional_arguments_have_the_names_of_run() -> None:
    command, options = parse_command([MAIN, "run", "mine", "init", "--x", "1", "final"])
    assert command == "run"
    assert options == {"run_id": "mine", "init_id": "init", "final_id": "final", "x": "1"}
