"""Zips that were damaged or made to do harm are refused before anything is written outside their folder."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.download import unpack as module
from mim3d.download.unpack import check_sums, unpack


def special(name: str, kind: int) -> zipfile.ZipInfo:
    """A member that claims to be a link or a device."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    return member


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """``refused(data, **options)``: the message of a zip that must be refused; nothing may be written."""

    def check(data: bytes, **options: int) -> str:
        (tmp_path / "a.zip").write_bytes(data)
        (tmp_path / "inside" / "out").mkdir(parents=True)
        with pytest.raises(ValueError) as error:
            unpack(tmp_path / "a.zip", tmp_path / "inside" / "out", **options)
        left = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert left == [tmp_path / "a.zip"]
        assert len(str(error.value).splitlines()) == 1
        return str(error.value)

    return check


def test_a_good_zip_gives_its_files(zipped: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(("seg_a/docs/", b""), ("seg_a/docs/README.md", b"text")))
    root = unpack(tmp_path / "a.zip", tmp_path)
    assert root == tmp_path / "seg_a"
    assert (root / "docs" / "README.md").read_bytes() == b"text"
    assert (root / "configs" / "metadata.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    "name",
    ["../x", "seg_a/../../x", "/x", "seg_a/./x", "seg_a//x", "seg_a\\..\\..\\x", "C:/x", "seg_a/x\0.txt", ".."],
)
def test_a_name_that_climbs_out_is_refused(
    name: str, zipped: Callable[..., bytes], refused: Callable[..., str]
) -> None:
    member = zipfile.ZipInfo("placeholder")
    member.filename = name  # not its constructor, which would clean the name
    assert "leads out of the folder, or is no plain path" in refused(zipped((member, b"x")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(
    kind: int, zipped: Callable[..., bytes], refused: Callable[..., str]
) -> None:
    message = refused(zipped((special("seg_a/x", kind), b"/etc/passwd")))
    assert message == "a.zip is refused: 'seg_a/x' is a link or a device; only files and folders are allowed"


def test_a_zip_bomb_is_refused_by_its_stated_sizes(
    zipped: Callable[..., bytes], refused: Callable[..., str]
) -> None:
    data = zipped(("seg_a/zeros", bytes(3_000_000)))
    assert len(data) < 10_000
    message = refused(data, most_bytes=2_000_000)
    assert message == "a.zip is refused: its files have 3 MB; allowed: 2 MB"


def test_too_many_files_are_refused(
    zipped: Callable[..., bytes], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    message = refused(zipped(*((f"seg_a/{number}", b"") for number in range(3))))
    assert message == "a.zip is refused: it holds 4 files; allowed: 3"


def test_a_bomb_that_understates_its_size_is_not_inflated(zipped: Callable[..., bytes], tmp_path: Path) -> None:
    data = zipped(("seg_a/zeros", bytes(3_000_000)))
    stated = (3_000_000).to_bytes(4, "little")
    assert data.count(stated) == 2  # in the local header and in the directory
    (tmp_path / "a.zip").write_bytes(data.replace(stated, (10).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"a\.zip is no zip archive that can be read: Bad CRC-32"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("zeros")) <= 10


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04"], ids=["empty", "page", "cut"])
def test_what_is_no_zip_is_refused(data: bytes, refused: Callable[..., str]) -> None:
    assert refused(data).startswith("a.zip is no zip archive that can be read: ")


def test_a_truncated_zip_and_a_flipped_byte_are_refused(zipped: Callable[..., bytes], tmp_path: Path) -> None:
    content = hashlib.sha256(b"incompressible").digest()
    good = zipped(("seg_a/x", content * 9))
    at = good.index(b"seg_a/x") + 20
    for number, data in enumerate((good[:-30], good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :])):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.zip is no zip archive that can be read"):
            unpack(tmp_path / "a.zip", tmp_path / str(number))


@pytest.mark.parametrize("name", ["other/x", "x"])
def test_more_than_one_folder_is_refused(
    name: str, zipped: Callable[..., bytes], refused: Callable[..., str]
) -> None:
    assert "allowed: one folder with configs/metadata.json" in refused(zipped((name, b"x")))


def test_names_that_are_one_file_on_some_systems_are_refused(
    zipped: Callable[..., bytes], refused: Callable[..., str]
) -> None:
    assert "a name twice" in refused(zipped(("seg_a/x", b"1"), ("seg_a/X", b"2")))


def test_an_unusual_compression_is_refused(zipped: Callable[..., bytes], refused: Callable[..., str]) -> None:
    member = zipfile.ZipInfo("seg_a/x")
    member.compress_type = zipfile.ZIP_LZMA
    file = io.BytesIO(zipped())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(member, b"x")
    assert "is compressed by method 14" in refused(file.getvalue())


def test_files_are_compared_with_their_sums(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    check_sums(tmp_path)  # a bundle of others, without sums
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'a').hexdigest()}  a.txt\n")
    check_sums(tmp_path)
    (tmp_path / "a.txt").write_text("b")
    with pytest.raises(ValueError, match=r"a\.txt is not as SHA256SUMS lists it"):
        check_sums(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("added")
    with pytest.raises(ValueError, match=r"b\.txt is not as SHA256SUMS"):
        check_sums(tmp_path)
    (tmp_path / "b.txt").unlink()
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ValueError, match=r"a\.txt is not as SHA256SUMS"):
        check_sums(tmp_path)
