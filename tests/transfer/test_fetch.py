"""Weights by name: a copy in the repository, the cache, a download; and what is refused."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch

from custom_components.checks import PretrainedWeights
from custom_components.faults import Fault
from custom_components.published import URL_VARIABLE, asset_name
from custom_components.transfer import fetch_weights, file_sha256, load_pretrained, weights_file, weights_sha256
from tests.loopback import Server, entry, publish, serve

NAME = "hippocampus/pretrain_hybridmim"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture
def files(source: torch.nn.Module) -> dict[str, bytes]:
    """Content of a weights file and its card."""
    buffer = io.BytesIO()
    torch.save(source.state_dict(), buffer)
    digest = entry({"model.pt": buffer.getvalue()})["files"]["model.pt"]["sha256"]
    card = {"sha256": digest, "view": {"channels": ["MR"]}}
    return {"model.pt": buffer.getvalue(), "model.card.json": json.dumps(card).encode()}


@pytest.fixture
def registered(
    server: Server, files: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """``registered(**options of publish)``: name these weights in a registry; returns the folder of all copies."""

    def register(**options: str) -> Path:
        folder = tmp_path / "project"
        publish(monkeypatch, folder, {NAME: entry(files)}, {"hippocampus": NAME}, **options)
        return folder

    server.contents |= {asset_name(NAME, name): data for name, data in files.items()}
    return register


def downloaded(folder: Path) -> list[Path]:
    """Everything below the cache that is a file."""
    return sorted(path for path in (folder / "torch").rglob("*") if path.is_file())


def test_a_name_is_downloaded_once_with_its_card(
    registered: Callable[..., Path], server: Server, files: Mapping[str, bytes], target: torch.nn.Module
) -> None:
    folder = registered(base_url=server.url)
    path = fetch_weights("hippocampus")
    assert {file.name: file.read_bytes() for file in downloaded(folder)} == files
    assert path == weights_file(NAME)
    assert path.parent == fetch_weights(NAME, "model.card.json").parent
    assert len(server.asked) == 4  # for each file, its size and the file itself
    assert weights_sha256("hippocampus") == file_sha256(path)
    assert PretrainedWeights(target, "hippocampus", ["MR"])() == f"{path}, 100% of the encoder fits"
    assert load_pretrained(target, "hippocampus").path == str(path)
    assert len(server.asked) == 4


def test_weights_of_another_network_are_refused_with_the_keys_of_their_training(
    server: Server,
    files: Mapping[str, bytes],
    make_network: Callable[..., torch.nn.Module],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.contents |= {asset_name(NAME, name): data for name, data in files.items()}
    keys = {"architecture#features": [4, 4, 8, 8, 16, 4]}
    publish(monkeypatch, tmp_path / "p", {NAME: entry(files, keys=keys)}, base_url=server.url)
    other = make_network("SegResNet", 1, 3)
    told = rf"; {NAME} was trained with --architecture#features '\[4, 4, 8, 8, 16, 4\]': add that$"
    with pytest.raises(ValueError, match=told):
        load_pretrained(other, NAME)
    with pytest.raises(ValueError, match=r"needed \([^;]*(; [^;]*){2}\)$"):
        load_pretrained(other, fetch_weights(NAME))


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    registered: Callable[..., Path], server: Server, files: Mapping[str, bytes]
) -> None:
    registered(base_url=server.url)
    path = fetch_weights(NAME)
    path.write_bytes(files["model.pt"][:-7] + b"damaged")
    assert fetch_weights(NAME).read_bytes() == files["model.pt"]
    fetch_weights(NAME, "model.card.json").unlink()
    assert fetch_weights(NAME, "model.card.json").read_bytes() == files["model.card.json"]


def test_a_copy_in_the_repository_comes_first_and_must_be_the_published_one(
    registered: Callable[..., Path], server: Server, files: Mapping[str, bytes]
) -> None:
    folder = registered(base_url=server.url)
    local = folder / "weights" / NAME
    local.mkdir(parents=True)
    for name, data in files.items():
        (local / name).write_bytes(data)
    assert fetch_weights("hippocampus") == local / "model.pt"
    (local / "model.card.json").write_text("{}")
    with pytest.raises(Fault, match=r"model\.card\.json has sha256 .* but the registry .* says .*; restore it"):
        fetch_weights("hippocampus")
    (local / "model.card.json").unlink()
    with pytest.raises(Fault, match=r"model\.card\.json does not exist; restore it"):
        fetch_weights("hippocampus")
    assert server.asked == []
    assert downloaded(folder) == []


def test_weights_without_an_address_say_where_a_copy_is_looked_for(
    registered: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = registered()
    with pytest.raises(Fault) as refused:
        fetch_weights("hippocampus")
    message = str(refused.value)
    assert message.startswith(f"weights {NAME} are not published for download yet")
    assert str(folder / "weights" / NAME) in message
    assert str(folder / "torch" / "hub" / "mim3d" / NAME) in message
    assert len(message.splitlines()) == 1
    monkeypatch.setenv(URL_VARIABLE, server.url)
    assert fetch_weights("hippocampus").is_file()


def test_a_folder_serves_a_machine_without_internet(
    registered: Callable[..., Path], files: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered()
    for name, data in files.items():
        (tmp_path / asset_name(NAME, name)).write_bytes(data)
    monkeypatch.setenv(URL_VARIABLE, tmp_path.as_uri())
    assert fetch_weights(NAME).read_bytes() == files["model.pt"]


@pytest.mark.parametrize("spoiled", ["model.pt", "model.card.json"])
@pytest.mark.parametrize("how", ["changed", "truncated", "cut", "page", "missing"])
def test_a_bad_download_leaves_nothing(
    how: str, spoiled: str, registered: Callable[..., Path], server: Server, files: Mapping[str, bytes]
) -> None:
    folder, name = registered(base_url=server.url), asset_name(NAME, spoiled)
    data = server.contents.pop(name)
    bad = {"changed": data[::-1], "truncated": data[:-1], "cut": data, "page": b"<html>" + data[6:]}
    server.contents |= {name: bad[how]} if how in bad else {}
    server.cut |= {name} if how == "cut" else set()
    told = {"changed": "sha256 is not", "truncated": f"expected {len(data)}", "cut": "ended before the whole file"}
    told |= {"page": "is a web page", "missing": "answered 404"}
    with pytest.raises(Fault, match=f"{re.escape(server.url)}/{re.escape(name)} .*{told[how]}"):
        fetch_weights(NAME)
    assert list((folder / "torch" / "hub" / "mim3d").iterdir()) == []


def test_what_is_neither_a_file_nor_a_name_says_so(registered: Callable[..., Path], tmp_path: Path) -> None:
    registered()
    own = tmp_path / "hippocampus"
    own.write_bytes(b"mine")
    assert weights_file(own) == own
    assert weights_file(tmp_path / "model.pt") == tmp_path / "model.pt"
    assert weights_file(tmp_path) == tmp_path
    with pytest.raises(ValueError, match="'hippocampos'; did you mean hippocampus"):
        weights_file("hippocampos")


def test_ranks_may_download_at_the_same_time(
    registered: Callable[..., Path], server: Server, files: Mapping[str, bytes]
) -> None:
    folder = registered(base_url=server.url)
    faults: list[BaseException] = []

    def fetch() -> None:
        try:
            assert fetch_weights(NAME).read_bytes() == files["model.pt"]
        except BaseException as error:
            faults.append(error)

    ranks = [threading.Thread(target=fetch) for _ in range(4)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert faults == []
    assert {file.name for file in downloaded(folder)} == set(files)


def test_a_full_disk_is_one_line(
    registered: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = registered(base_url=server.url)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("custom_components.transfer.fetch.receive", full)
    with pytest.raises(Fault, match=rf"weights {NAME} cannot be written: No space left on device \(.* free in "):
        fetch_weights(NAME)
    assert downloaded(folder) == []
