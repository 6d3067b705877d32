"""A server on this machine that sends what a test wants, whole or not; a registry of weights that it serves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from custom_components import published


@dataclass
class Server:
    """What the server sends, and the paths that it was asked for.

    Attributes:
        url: of its folder.
        contents: name -> content of a file; other names are answered with 404.
        cut: names of files of which only half arrives.
        types: name -> another content type than application/octet-stream.
        asked: names in the order of the requests.
    """

    url: str
    contents: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve() -> Iterator[Server]:
    """Run a `Server` in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            state.asked.append(name)
            if name not in state.contents:
                self.send_error(404)
                return
            data = state.contents[name]
            self.send_response(200)
            self.send_header("Content-Type", state.types.get(name, "application/octet-stream"))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if name in state.cut else data)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Write no line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        state = Server(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def entry(files: Mapping[str, bytes], bundle: str = "pretrain_hybridmim", **fields: Any) -> dict[str, Any]:
    """Return an entry of the registry for files with these contents."""
    stated = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
    }
    given = {"bundle": bundle, "layers": [], "keys": {}, "files": stated, "licence": "CC BY-SA 4.0"}
    given |= {"attribution": "the phantoms", "command": "python -m monai.bundle run", "seed": 0, "result": None}
    return {**given, **fields}


def publish(
    patch: pytest.MonkeyPatch,
    folder: Path,
    entries: Mapping[str, Any],
    aliases: Mapping[str, str] | None = None,
    base_url: str | None = None,
) -> None:
    """Put a registry, ``weights`` and a cache below a folder in the place of the project's own."""
    folder.mkdir(exist_ok=True)
    content = {"base_url": base_url, "aliases": aliases or {}, "weights": entries}
    (folder / "published.json").write_text(json.dumps(content), encoding="utf-8")
    patch.setattr(published, "REGISTRY", folder / "published.json")
    patch.setattr(published, "LOCAL", folder / "weights")
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    patch.delenv(published.URL_VARIABLE, raising=False)
