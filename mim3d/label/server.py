"""A MONAI Label server on this machine, and the requests that a viewer would send to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from mim3d.children import end_groups, start_child

START_SECONDS, INFER_SECONDS, TRAIN_SECONDS, STOP_SECONDS = 300, 1800, 3600, 20
TAIL = 40  # lines of the log to show after a failure


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def brief(content: Any, length: int = 300) -> str:
    """Return text or JSON as one line of limited length."""
    text = content if isinstance(content, str) else json.dumps(content)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


class LabelServer:
    """``monailabel start_server`` with the monaibundle app, as a context manager.

    It runs in the log's folder without PYTHONPATH. So it imports only what is installed beside MONAI Label, and
    the bundles.

    Args:
        app: folder of the monaibundle app, with the bundles in its ``model`` folder.
        studies: folder of the images.
        models: names of the bundles to serve.
        log: file for the output of the server.
    """

    def __init__(self, app: Path, studies: Path, models: list[str], log: Path) -> None:
        self.app, self.studies, self.models, self.log = app, studies, models, log
        self.port = free_port()

    def __enter__(self) -> LabelServer:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["start_server", "--app", self.app, "--studies", self.studies]
        for key, value in {"models": ",".join(self.models), "zoo_source": "ngc", "sam2": "false"}.items():
            arguments += ["--conf", key, value]
        arguments += ["--host", "127.0.0.1", "--port", self.port]
        shown = [os.path.relpath(a) if isinstance(a, Path) else str(a) for a in arguments]
        print(f"$ monailabel {' '.join(shown)}", flush=True)
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env["MONAI_LABEL_SESSION_PATH"] = str(self.log.parent / "sessions")
        with open(self.log, "w", encoding="utf-8") as file:
            self.process = start_child(
                [sys.executable, "-m", "monailabel.main", *map(str, arguments)],
                cwd=self.log.parent,
                env=env,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            self._show_log()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if kind is not None:
            self._show_log()

    def _wait(self) -> None:
        start = time.monotonic()
        while time.monotonic() - start < START_SECONDS:
            if self.process.poll() is not None:
                raise ChildProcessError(
                    f"the server ended with exit status {self.process.returncode}; see {self.log}"
                )
            try:
                if requests.get(self.url("/info/"), timeout=60).ok:
                    print(f"  up after {time.monotonic() - start:.0f} s", flush=True)
                    return
            except requests.RequestException:
                pass
            time.sleep(0.5)
        raise TimeoutError(f"the server did not answer within {START_SECONDS} s; see {self.log}")

    def _stop(self) -> None:
        """End the server and every process that it started."""
        end_groups([self.process], STOP_SECONDS)

    def _show_log(self) -> None:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        print(f"--- the last lines of {self.log}", *lines, "---", sep="\n", file=sys.stderr, flush=True)

    def url(self, path: str) -> str:
        """Return the address of a path on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, method: str, path: str, timeout: float = 60, **content: Any) -> requests.Response:
        """Send one request and return the answer; raise ConnectionError if it is not a success."""
        answer = requests.request(method, self.url(path), timeout=timeout, **content)
        if not answer.ok:
            raise ConnectionError(f"{method} {path} -> {answer.status_code}: {brief(answer.text)}")
        return answer

    def infer(self, model: str, image: str, out: Path) -> None:
        """Segment a study and write its mask to ``out``."""
        answer = self.ask("POST", f"/infer/{model}?image={image}&output=image", timeout=INFER_SECONDS)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(answer.content)

    def put_label(self, image: str, label: Path) -> Any:
        """Hand in a finished label of a study and return the answer."""
        with open(label, "rb") as file:
            files = {"label": (label.name, file, "application/octet-stream")}
            return self.ask("PUT", f"/datastore/label?image={image}", files=files).json()

    def train(self, model: str, parameters: dict[str, Any]) -> float:
        """Train on the finished labels, wait for the end, and return the seconds."""
        start = time.monotonic()
        task = self.ask("POST", f"/train/{model}", json=parameters).json()
        print(f"POST /train/{model} {json.dumps(parameters)} -> {task['status']}", flush=True)
        while time.monotonic() - start < TRAIN_SECONDS:
            now = self.ask("GET", "/train/").json()
            if now["id"] == task["id"] and now["status"] not in ("SUBMITTED", "RUNNING"):
                seconds = time.monotonic() - start
                print(f"GET  /train/ -> {now['status']} after {seconds:.0f} s", flush=True)
                if now["status"] != "DONE":
                    lines = [line for line in now.get("details", []) if line.strip()]
                    reason = brief(lines[-1] if lines else "")
                    raise ChildProcessError(f"training {model} ended as {now['status']}: {reason}")
                return seconds
            time.sleep(1)
        raise TimeoutError(f"training {model} did not end within {TRAIN_SECONDS} s")
