"""``mim3d weights``: an entry and its files are written together, or nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from custom_components.published import FILES, find_published
from custom_components.transfer import fetch_weights, write_card
from mim3d.catalog import BUNDLES
from mim3d.cli import main
from mim3d.weights import add
from tests.loopback import publish

BUNDLE, NAME = "seg_msd_hippocampus", "hippocampus/seg_msd_hippocampus"
FEATURES = [4, 4, 8, 8, 16, 4]
FIELDS = {
    "--name": NAME,
    "--bundle": BUNDLE,
    "--licence": "CC BY-SA 4.0",
    "--attribution": "Trained on Task04.",
    "--command": f"python -m monai.bundle run --bundle_root bundles/{BUNDLE} --dataset_dir DATA",
    "--architecture#features": str(FEATURES),
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Weights with their card, as training writes them."""
    path = tmp_path / "run" / "best.pt"
    path.parent.mkdir()
    torch.save(BasicUNet(3, 1, 3, FEATURES).state_dict(), path)
    write_card(path, {"view": {"channels": ["MR"]}})
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``command(*words)``: exit status of mim3d weights with an empty registry in tmp_path/p, stdout, stderr."""
    publish(monkeypatch, tmp_path / "p", {})

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main(["weights", *map(str, words)])
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return (status, *capsys.readouterr())

    return run


def words_of(**changed: Any) -> list[str]:
    """The command line, with flags changed; None leaves one out."""
    fields = {**FIELDS, **{f"--{name}": value for name, value in changed.items()}}
    return [str(word) for name, value in fields.items() if value is not None for word in (name, value)]


def test_added_weights_are_found_by_both_names(command: Command, trained: Path, tmp_path: Path) -> None:
    assert command("list") == (0, "none yet\n", "")
    status, said, error = command("add", trained, *words_of(), "--short", "hippocampus", "--seed", "3")
    assert (status, error) == (0, "")
    assert said.startswith(f"added {NAME}: 0.")
    assert said.endswith("MB; now run mim3d render\n")
    folder = tmp_path / "p" / "weights" / NAME
    assert fetch_weights("hippocampus") == folder / "model.pt"
    assert (folder / "model.pt").read_bytes() == trained.read_bytes()
    assert (folder / "model.card.json").read_text(encoding="utf-8") == trained.with_suffix(".card.json").read_text(
        encoding="utf-8"
    )
    weights = find_published(NAME)
    assert (weights.bundle, weights.layers, weights.keys) == (BUNDLE, (), {"architecture#features": FEATURES})
    assert (weights.seed, weights.result, weights.command) == (3, None, FIELDS["--command"])
    status, said, _ = command("list")
    assert (status, said) == (0, f"{NAME} (hippocampus): {weights.size / 1e6:.1f} MB, CC BY-SA 4.0, {folder}\n")


def test_a_bundle_that_reconstructs_brings_its_head_too(command: Command, tmp_path: Path) -> None:
    bundle, layers = "pretrain_mae", ["task_msd_hippocampus.yaml", "basic_unet.yaml"]
    files = [str(BUNDLES / bundle / "configs" / name) for name in ("inference.yaml", *layers)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.update({"architecture#features": FEATURES})
    for name, key in {"model": "network_def", "pretext": "pretext"}.items():
        torch.save(parser.get_parsed_content(key).state_dict(), tmp_path / f"{name}.pt")
        write_card(tmp_path / f"{name}.pt", {"view": {"channels": ["MR"]}})
    words = words_of(name=f"hippocampus/{bundle}", bundle=bundle, command=f"run bundles/{bundle}")
    status, _, error = command("add", tmp_path / "model.pt", *words, "--layer", *layers)
    assert (status, error) == (0, "")
    weights = find_published(f"hippocampus/{bundle}")
    assert weights.layers == tuple(layers)
    assert {file.name for file in weights.files} == set(FILES)
    for name in FILES:
        assert fetch_weights(weights.name, name).read_bytes() == (tmp_path / name).read_bytes()
    torch.save({"other": torch.zeros(3)}, tmp_path / "pretext.pt")
    (tmp_path / "pretext.card.json").unlink()
    status, _, error = command("add", tmp_path / "model.pt", *words, "--layer", *layers)
    assert (status, "pretext.pt do not fit this" in error) == (1, True)


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"licence": None}, 2, "mim3d weights add needs --licence"),
        ({"name": "Hippocampus"}, 1, "the name is 'Hippocampus'; allowed: like hippocampus/pretrain_mae"),
        ({"architecture#features": None}, 1, "do not fit this BasicUNet"),
        ({"architecture#featurs": "8"}, 1, "unknown key --architecture#featurs"),
        ({"command": "python train.py"}, 1, f"the command does not name bundles/{BUNDLE}"),
        ({"command": f"run bundles/{BUNDLE} /home/me/data"}, 1, "holds /home/me/data, a path of this machine"),
        ({"result": "benchmarks/none.json"}, 1, "the result benchmarks/none.json is no file"),
        ({"bundle": "seg_none"}, 1, "'seg_none' is not a bundle"),
    ],
)
def test_a_mistake_writes_nothing(
    changed: dict[str, Any], status: int, told: str, command: Command, trained: Path, tmp_path: Path
) -> None:
    found, said, error = command("add", trained, *words_of(**changed))
    assert (found, said) == (status, "")
    assert told in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "p" / "weights").exists()
    assert json.loads((tmp_path / "p" / "published.json").read_text(encoding="utf-8"))["weights"] == {}


def test_weights_without_a_card_and_too_many_are_refused(
    command: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "p" / "weights" / "a" / "b" / "model.pt"
    other.parent.mkdir(parents=True)
    other.write_bytes(bytes(1000))
    monkeypatch.setattr(add, "MOST_BYTES", 1000 + trained.stat().st_size)
    status, _, error = command("add", trained, *words_of())
    assert (status, "all weights together would have" in error) == (1, True)
    status, _, error = command("add", trained.with_name("none.pt"), *words_of())
    assert (status, error) == (1, f"error: {trained.with_name('none.pt')} does not exist\n")
    trained.with_suffix(".card.json").unlink()
    status, _, error = command("add", trained, *words_of())
    assert (status, "has no card beside it (best.card.json)" in error) == (1, True)
    assert [path for path in (tmp_path / "p" / "weights").rglob("*") if path.is_file()] == [other]


def test_an_entry_is_replaced_with_its_files(command: Command, trained: Path, tmp_path: Path) -> None:
    command("add", trained, *words_of())
    torch.save(BasicUNet(3, 1, 3, FEATURES).state_dict(), trained)
    write_card(trained, {})
    assert command("add", trained, *words_of())[0] == 0
    assert fetch_weights(NAME).read_bytes() == trained.read_bytes()


def test_list_takes_no_more(command: Command) -> None:
    assert command("list", "file.pt")[0] == 2
    assert command("add", *words_of())[2] == "error: mim3d weights add needs FILE\n"
