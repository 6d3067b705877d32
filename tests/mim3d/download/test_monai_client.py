"""What MONAI's own client checks and what it lets pass; docs/weights.md tells users.

If one of these tests fails with another version of MONAI, its table in docs/weights.md is out of date.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import ContentTooShortError, HTTPError

import pytest
import yaml
from monai.apps.utils import HashCheckError
from monai.bundle.scripts import download, download_large_files

from tests.loopback import Server

DATA = b"weights" * 99


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[[bytes], Path]:
    """``get(data)``: download a zip as monai.bundle does; returns the folder of bundles."""

    def run(data: bytes) -> Path:
        server.contents["seg_a.zip"] = data
        folder = tmp_path / "bundles"
        download(name="seg_a", url=f"{server.url}/seg_a.zip", bundle_dir=str(folder), progress=False)
        return folder

    return run


@pytest.fixture
def listed(server: Server, tmp_path: Path) -> Callable[..., Path]:
    """``listed(**fields)``: a bundle that lists weights; returns its folder."""

    def make(**fields: str) -> Path:
        server.contents["model.pt"] = DATA
        entry = {"path": "models/model.pt", "url": f"{server.url}/model.pt"}
        entry |= {"hash_val": hashlib.sha256(DATA).hexdigest(), "hash_type": "sha256", **fields}
        folder = tmp_path / "seg_a"
        folder.mkdir()
        (folder / "large_files.yml").write_text(yaml.safe_dump({"large_files": [entry]}))
        return folder

    return make


@pytest.mark.parametrize("name", ["../x", "/x"])
def test_a_name_that_climbs_out_is_refused_after_other_files_and_then_accepted(
    name: str, get: Callable[[bytes], Path], zipped: Callable[..., bytes], tmp_path: Path
) -> None:
    data = zipped((name, b"x"))
    with pytest.raises(ValueError, match="Unsafe path"):
        get(data)
    assert (tmp_path / "bundles" / "seg_a" / "configs" / "metadata.json").is_file()
    assert not (tmp_path / "x").exists()
    get(data)  # the folder is there, so the archive is not looked at again


def test_a_link_becomes_a_text_file(get: Callable[[bytes], Path], zipped: Callable[..., bytes]) -> None:
    member = zipfile.ZipInfo("seg_a/x")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    path = get(zipped((member, b"/etc/passwd"))) / "seg_a" / "x"
    assert not path.is_symlink()
    assert path.read_text(encoding="utf-8") == "/etc/passwd"


def test_there_is_no_limit_of_sizes(get: Callable[[bytes], Path], zipped: Callable[..., bytes]) -> None:
    data = zipped(("seg_a/zeros", bytes(3_000_000)))
    assert (get(data) / "seg_a" / "zeros").stat().st_size == 3_000_000 > 300 * len(data)


def test_a_web_page_stays_and_is_in_the_way_of_the_next_download(
    get: Callable[[bytes], Path], zipped: Callable[..., bytes], tmp_path: Path
) -> None:
    for data in (b"<html>", zipped()):  # the second time the server sends the zip
        with pytest.raises(zipfile.BadZipFile):
            get(data)
    assert (tmp_path / "bundles" / "seg_a.zip").read_bytes() == b"<html>"


def test_without_a_name_it_ends_with_an_error_after_unpacking(
    server: Server, zipped: Callable[..., bytes], tmp_path: Path
) -> None:
    server.contents["seg_a_v1.0.0.zip"] = zipped()
    with pytest.raises(TypeError, match="NoneType"):
        download(url=f"{server.url}/seg_a_v1.0.0.zip", bundle_dir=str(tmp_path), progress=False)
    assert (tmp_path / "seg_a" / "configs" / "metadata.json").is_file()


def test_a_connection_that_ends_early_and_a_missing_file_leave_nothing(
    get: Callable[[bytes], Path], zipped: Callable[..., bytes], server: Server, tmp_path: Path
) -> None:
    server.cut.add("seg_a.zip")
    with pytest.raises(ContentTooShortError):
        get(zipped())
    with pytest.raises(HTTPError):
        download(name="b", url=f"{server.url}/b.zip", bundle_dir=str(tmp_path / "bundles"), progress=False)
    assert not (tmp_path / "bundles").exists()


def test_the_hash_of_a_listed_file_is_compared(listed: Callable[..., Path]) -> None:
    folder = listed()
    download_large_files(str(folder))
    assert (folder / "models" / "model.pt").read_bytes() == DATA


def test_a_listed_file_with_another_hash_leaves_nothing(listed: Callable[..., Path]) -> None:
    folder = listed(hash_val="0" * 64)
    with pytest.raises(HashCheckError):
        download_large_files(str(folder))
    assert not (folder / "models").exists()


def test_a_listed_file_without_a_hash_is_not_verified(listed: Callable[..., Path], server: Server) -> None:
    folder = listed(hash_val="")
    server.contents["model.pt"] = b"<html>"
    download_large_files(str(folder))
    assert (folder / "models" / "model.pt").read_bytes() == b"<html>"


def test_a_listed_file_outside_the_bundle_is_refused(listed: Callable[..., Path], tmp_path: Path) -> None:
    folder = listed(path="../model.pt")
    with pytest.raises(ValueError, match="Unsafe path"):
        download_large_files(str(folder))
    assert not (tmp_path / "model.pt").exists()
