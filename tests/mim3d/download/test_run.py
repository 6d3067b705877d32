"""``mim3d download``: a bundle with its listed files, weights by name, and what leaves nothing behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from custom_components.published import asset_name
from mim3d.cli import main
from tests.loopback import Server, entry, publish

WEIGHTS = b"weights" * 99


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``command(source, *words)``: exit status, stdout and stderr of mim3d download into tmp_path/out."""

    def run(source: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main(["download", source, "--out", str(tmp_path / "out"), *words])
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def bundle(server: Server, zipped: Callable[..., bytes]) -> Callable[..., str]:
    """``bundle(**fields)``: serve a zip that lists weights with these fields changed; returns its URL."""

    def serve(**fields: Any) -> str:
        server.contents["model.pt"] = WEIGHTS
        listed = {"path": "models/model.pt", "url": f"{server.url}/model.pt"}
        listed |= {"hash_val": digest(WEIGHTS), "hash_type": "sha256", **fields}
        text = yaml.safe_dump({"large_files": [listed]})
        server.contents["a.zip"] = zipped(("seg_a/large_files.yml", text.encode()))
        return f"{server.url}/a.zip"

    return serve


def test_a_bundle_arrives_with_the_files_that_it_lists(
    command: Callable[..., tuple[int, str, str]], bundle: Callable[..., str], server: Server, tmp_path: Path
) -> None:
    url = bundle()
    assert command(url, "--sha256", digest(server.contents["a.zip"])) == (0, f"{tmp_path / 'out' / 'seg_a'}\n", "")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"seg_a/configs/metadata.json", "seg_a/large_files.yml", "seg_a/models/model.pt"}
    assert (tmp_path / "out" / "seg_a" / "models" / "model.pt").read_bytes() == WEIGHTS
    status, _, said = command(url)
    assert (status, said) == (1, f"error: {tmp_path / 'out' / 'seg_a'} exists; give another --out, or remove it\n")


def test_hashes_of_the_zoo_are_md5(
    command: Callable[..., tuple[int, str, str]], bundle: Callable[..., str], tmp_path: Path
) -> None:
    fields = {"hash_val": hashlib.md5(WEIGHTS).hexdigest(), "hash_type": "md5"}
    assert command(bundle(**fields))[0] == 0
    assert (tmp_path / "out" / "seg_a" / "models" / "model.pt").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hash_val": "0" * 64}, f"its sha256 is not {'0' * 64}"),
        ({"hash_val": ""}, "large_files.yml has a file without url or hash"),
        ({"hash_type": "crc"}, "allowed kinds of hash: md5, sha1, sha256, sha512"),
        ({"path": "../model.pt"}, "large_files.yml puts a file at ../model.pt: outside the bundle"),
        ({"path": "/model.pt"}, "large_files.yml puts a file at /model.pt: outside the bundle"),
        ({"path": "configs/metadata.json"}, "or where a file is"),
        ({"url": "ftp://host/model.pt"}, "is no URL that can be downloaded"),
        ({"url": None}, "without url"),
    ],
)
def test_a_bad_listed_file_leaves_nothing(
    fields: dict[str, Any],
    told: str,
    command: Callable[..., tuple[int, str, str]],
    bundle: Callable[..., str],
    tmp_path: Path,
) -> None:
    status, said, error = command(bundle(**fields))
    assert (status, said) == (1, "")
    assert told in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["hash", "cut", "page", "no zip", "missing", "large", "climbs"])
def test_a_bad_zip_leaves_nothing(
    how: str,
    command: Callable[..., tuple[int, str, str]],
    bundle: Callable[..., str],
    zipped: Callable[..., bytes],
    server: Server,
    tmp_path: Path,
) -> None:
    url, words, told = bundle(), [], ""
    if how == "hash":
        words, told = ["--sha256", "0" * 64], "its sha256 is not 000"
    elif how == "cut":
        server.cut.add("a.zip")
        told = "ended before the whole file arrived"
    elif how == "large":
        words, told = ["--max_gb", "1e-7"], "allowed: 100 bytes"
    else:
        changed = {"page": b"<html>", "no zip": b"PK?", "climbs": zipped(("../x", b"x"))}
        told = {"page": "is a web page", "no zip": "is no zip archive", "climbs": "leads out of the folder"}.get(
            how, "answered 404"
        )
        server.contents = {"a.zip": changed[how]} if how in changed else {}
    status, said, error = command(url, *words)
    assert (status, said) == (1, "")
    assert told in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_weights_are_copied_with_their_card(
    command: Callable[..., tuple[int, str, str]], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, files = "hippocampus/seg_a", {"model.pt": WEIGHTS, "model.card.json": b"{}"}
    server.contents |= {asset_name(name, file): data for file, data in files.items()}
    publish(monkeypatch, tmp_path / "p", {name: entry(files)}, {"hippocampus": name}, base_url=server.url)
    status, said, _ = command("hippocampus")
    copies = tmp_path / "out" / name
    assert (status, said) == (0, f"licence: CC BY-SA 4.0; the phantoms\n{copies / 'model.pt'}\n")
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == files
    status, _, error = command("hippocampus")
    assert (status, error) == (1, f"error: {copies} exists; give another --out, or remove it\n")
    status, _, error = command("hippocampos")
    assert status == 1
    assert "did you mean hippocampus?" in error
