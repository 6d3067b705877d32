"""Downloading one file with MONAI's client, in one clear line where it fails."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import ContentTooShortError, HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from custom_components.faults import Fault
from custom_components.machine import readable

SCHEMES = ("https", "http", "file")
#: Seconds without an answer after which a download ends.
TIMEOUT = 60
_QUIET = threading.Lock()  # the level of a logger and the timeout belong to the whole process


def receive(
    url: str,
    target: Path,
    digest: str | None = None,
    size: int | None = None,
    at_most: int | None = None,
    progress: bool = False,
    hash_type: str = "sha256",
) -> None:
    """Download a file.

    The server is asked for the size first, so that a page, a wrong file or a file that is too large is refused
    before it is on disk.

    Args:
        url: https, http or file.
        target: the file to write; it must not exist, and its folder must exist.
        digest: hexadecimal hash of the content; None: not verified.
        size: bytes of the content; None: not known.
        at_most: bytes that the content may have; None: no limit.
        progress: whether to show a bar.
        hash_type: of ``digest``: one that MONAI's client knows, such as sha256 or md5.

    Raises:
        Fault: if the server cannot be reached or sends anything else. Then ``target`` does not exist.
        OSError: if ``target`` cannot be written, for example because the disk is full.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise Fault(f"{url} is no URL that can be downloaded; allowed: {', '.join(SCHEMES)}")
    with _network_faults(url):
        _look(url, size, at_most)
        _transfer(url, target, digest, hash_type, progress)
    if not target.is_file():  # MONAI's client passes over a refusal of the system
        raise Fault(f"{url} cannot be downloaded: {target} cannot be written; is the folder writable?")


def _look(url: str, size: int | None, at_most: int | None) -> None:
    """Ask the server what it would send; raise Fault if that is not the file."""
    with urlopen(url, timeout=TIMEOUT) as response:
        head, stated = response.read(64).lstrip(), response.headers.get("Content-Length", "")
        page = head.startswith(b"<") or "text/html" in response.headers.get("Content-Type", "")
    if page:
        raise Fault(f"{url} is a web page, not the file; check the address, and whether it asks for a login")
    if not stated.isdigit():
        raise Fault(f"{url}: the server does not say how large the file is, so its size cannot be checked")
    if size is not None and int(stated) != size:
        raise Fault(f"{url} has {stated} bytes, expected {size}: it is truncated, or another file")
    if at_most is not None and int(stated) > at_most:
        raise Fault(f"{url} has {readable(int(stated))}; allowed: {readable(at_most)}")


def _transfer(url: str, target: Path, digest: str | None, hash_type: str, progress: bool) -> None:
    """Download with MONAI's client, without the lines that it logs; one error is raised instead."""
    # Here, because monai.apps takes a second to import.
    from monai.apps.utils import HashCheckError, download_url

    with _QUIET, warnings.catch_warnings():
        log = logging.getLogger("monai.apps")
        level, timeout = log.level, socket.getdefaulttimeout()
        log.setLevel(logging.CRITICAL)
        socket.setdefaulttimeout(TIMEOUT)  # the client sets none, and would wait for ever
        warnings.filterwarnings("ignore", message="No hash value provided")
        try:
            download_url(url, target, digest, hash_type, progress=progress)
        except HashCheckError:
            reason = f"its {hash_type} is not {digest}; it was changed or damaged"
            raise Fault(f"{url} cannot be used: {reason}") from None
        finally:
            log.setLevel(level)
            socket.setdefaulttimeout(timeout)


@contextmanager
def _network_faults(url: str) -> Iterator[None]:
    """Turn an error of the connection into one line; errors of the disk pass."""
    host = urlsplit(url).hostname or url
    try:
        yield
    except HTTPError as error:
        raise Fault(f"{url} cannot be downloaded: the server answered {error.code} {error.reason}") from None
    except ContentTooShortError:
        raise Fault(f"{url} cannot be downloaded: the connection ended before the whole file arrived") from None
    except URLError as error:
        raise Fault(f"{url} cannot be downloaded: no connection to {host} ({error.reason})") from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise Fault(f"{url} cannot be downloaded: the connection to {host} failed ({reason})") from None
