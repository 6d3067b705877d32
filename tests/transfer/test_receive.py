"""One file from a server: whole, or one clear line and nothing on disk."""

from __future__ import annotations

import hashlib
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_components.faults import Fault
from custom_components.transfer import receive as module
from custom_components.transfer.receive import receive
from tests.loopback import Server, serve

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()
GOOD = {"digest": SHA256, "size": len(DATA)}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        state.contents["a.pt"] = DATA
        yield state


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of MONAI's temporary files, which must be empty after each download."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def refusal(url: str, folder: Path, capfd: pytest.CaptureFixture[str], **expected: object) -> str:
    """The message of a refused download, which is one line, printed by nobody else, and leaves nothing."""
    capfd.readouterr()
    with pytest.raises(Fault) as refused:
        receive(url, folder / "a.pt", **expected)  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    assert capfd.readouterr() == ("", "")
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message.replace(url, "URL")


def test_the_file_arrives_as_it_is(server: Server, tmp_path: Path) -> None:
    receive(f"{server.url}/a.pt", tmp_path / "b.pt", **GOOD, at_most=len(DATA))
    assert (tmp_path / "b.pt").read_bytes() == DATA
    receive(f"{server.url}/a.pt", tmp_path / "c.pt")
    assert (tmp_path / "c.pt").read_bytes() == DATA
    md5 = hashlib.md5(DATA).hexdigest()
    receive(f"{server.url}/a.pt", tmp_path / "e.pt", md5, hash_type="md5")
    assert (tmp_path / "e.pt").read_bytes() == DATA
    receive((tmp_path / "b.pt").as_uri(), tmp_path / "d.pt", **GOOD)
    assert (tmp_path / "d.pt").read_bytes() == DATA


def test_another_content_of_the_same_size_is_refused(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.contents["a.pt"] = DATA[::-1]
    message = refusal(f"{server.url}/a.pt", tmp_path, capfd, **GOOD)
    assert message == f"URL cannot be used: its sha256 is not {SHA256}; it was changed or damaged"


def test_a_connection_that_ends_early_is_refused(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.cut.add("a.pt")
    message = refusal(f"{server.url}/a.pt", tmp_path, capfd, **GOOD)
    assert message == "URL cannot be downloaded: the connection ended before the whole file arrived"


def test_a_truncated_file_is_refused_before_it_is_downloaded(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.contents["a.pt"] = DATA[:-1]
    message = refusal(f"{server.url}/a.pt", tmp_path, capfd, **GOOD)
    assert message == "URL has 10239 bytes, expected 10240: it is truncated, or another file"
    assert server.asked == ["a.pt"]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_named(server: Server, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    server.contents["a.pt"] = b"\n <!DOCTYPE html><html>please log in</html>"
    server.types["a.pt"] = kind
    message = refusal(f"{server.url}/a.pt", tmp_path, capfd, **GOOD)
    assert message == "URL is a web page, not the file; check the address, and whether it asks for a login"


def test_no_connection_and_a_missing_file_are_named(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = refusal(f"{server.url}/b.pt", tmp_path, capfd)
    assert message == "URL cannot be downloaded: the server answered 404 Not Found"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # nobody listens there
        message = refusal(f"http://127.0.0.1:{port}/a.pt", tmp_path, capfd)
    assert message.startswith("URL cannot be downloaded: no connection to 127.0.0.1 (")
    assert "refused" in message
    message = refusal("http://server.invalid/a.pt", tmp_path, capfd)
    assert "no connection to server.invalid" in message


def test_a_server_that_never_answers_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        message = refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/a.pt", tmp_path, capfd)
    assert message == "URL cannot be downloaded: the connection to 127.0.0.1 failed (timed out)"


def test_a_file_over_the_limit_is_not_downloaded(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(f"{server.url}/a.pt", tmp_path, capfd, at_most=9000) == "URL has 10.2 kB; allowed: 9 kB"
    assert server.asked == ["a.pt"]


@pytest.mark.parametrize("url", ["ftp://host/a.pt", "a.pt", "/etc/passwd", "data:,x"])
def test_other_schemes_are_refused(url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    message = refusal(url, tmp_path, capfd)
    assert re.fullmatch(r".* is no URL that can be downloaded; allowed: https, http, file", message)


@pytest.mark.parametrize("refusal", [PermissionError, NotADirectoryError])
def test_a_refusal_of_the_system_is_named_although_monai_passes_over_it(
    refusal: type[OSError], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise refusal(1, "refused")

    monkeypatch.setattr("shutil.move", refuse)
    with pytest.raises(Fault, match=r"a\.pt cannot be written; is the folder writable"):
        receive(f"{server.url}/a.pt", tmp_path / "a.pt", **GOOD)
