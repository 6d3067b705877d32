"""A single run of a study: its folder, its command, and the record that says that it is done."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom_components.atomic import read_json, write_json, write_text
from custom_components.config_text import as_argument
from custom_components.transfer.cards import git_commit
from custom_components.transfer.read import load_torch_file
from mim3d.catalog import ROOT
from mim3d.study.configs import RunConfig
from mim3d.study.definition import Keys

DONE, STARTED, RESUME, LOG, COMMAND = "done.json", "started.json", "resume.pt", "log.txt", "command.sh"
#: Kind of run -> files that it must leave.
RESULTS: dict[str, tuple[str, ...]] = {
    "pretraining": ("model.pt",),
    "training": ("model.pt", "model.card.json"),
    "test": ("summary.json", "cases.csv"),
    "picture": (),
}


@dataclass(frozen=True)
class Run:
    """One ``monai.bundle run`` of a study.

    Attributes:
        kind: pretraining, training, test or picture.
        title: for people.
        config: files and keys.
        places: config keys that say where things are; they do not count as a change of the run.
        folder: for its log, its record and (training) its weights.
        digest: hash of what the run computes: config, data list, pretrained weights.
        epochs: of a training; 0: not a training, which can be resumed.
        steps: optimizer steps of a training; for the others, cases.
        needs: digests of runs that must be done before.
    """

    kind: str
    title: str
    config: RunConfig
    places: Keys
    folder: Path
    digest: str
    epochs: int = 0
    steps: int = 0
    needs: tuple[str, ...] = field(default=())

    def command(self, resume: bool = False) -> list[str]:
        """Return the command line."""
        start = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(list(self.config.files))]
        places = {"bundle_root": self.config.bundle, **self.places}
        # Keys are as in the study file; MONAI ignores None on the command line.
        words = {key: "$None" if value is None else str(value) for key, value in self.config.keys.items()}
        words |= {key: as_argument(value) for key, value in places.items()}
        words |= {"resume": "True"} if resume else {}
        return start + [word for key, text in words.items() for word in (f"--{key}", text)]

    @property
    def done(self) -> Keys | None:
        """The record of a run that ended well and computed the same; None if there is none."""
        try:
            record = read_json(self.folder / DONE)
        except ValueError:
            return None
        return record if record.get("digest") == self.digest else None

    def recover(self) -> None:
        """Write the record of a training that ended after the study was killed."""
        if self.done is None and 0 < self.epochs <= self._saved_epoch() and not self._missing():
            self.finish(self._seconds_before())  # not those until now, which may be days later

    def prepare(self, environment: Mapping[str, str]) -> list[str]:
        """Make the folder ready and return the command: a half-done training resumes, anything else starts anew.

        Args:
            environment: variables that the command gets; kept with it.
        """
        resume = self.epochs > 0 and self.resumable
        before = self._seconds_before() if resume else 0.0
        if self.folder.exists() and not resume:
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command(resume)
        variables = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
        lines = ["#!/bin/sh", f"# {self.title}", f"cd {shlex.quote(str(ROOT))}"]
        write_text(self.folder / COMMAND, "\n".join([*lines, " ".join([*variables, shlex.join(command)]), ""]))
        write_json(
            self.folder / STARTED, {"digest": self.digest, "started": time.time(), "seconds_before": before}
        )
        return command

    @property
    def resumable(self) -> bool:
        """Whether the folder holds a half-done training of this very run."""
        return 0 < self._saved_epoch() < self.epochs

    def _saved_epoch(self) -> int:
        """Return the last epoch whose state this very run saved; 0 if there is none."""
        try:
            if read_json(self.folder / STARTED)["digest"] != self.digest:
                return 0
            return int(load_torch_file(self.folder / RESUME, "resume")["trainer"]["epoch"])
        except (ValueError, KeyError, TypeError):
            return 0

    def _seconds_before(self) -> float:
        """Return the seconds of earlier attempts, until their last saved epoch."""
        started = read_json(self.folder / STARTED)
        saved = (self.folder / RESUME).stat().st_mtime
        return float(started["seconds_before"]) + max(0.0, saved - float(started["started"]))

    def finish(self, seconds: float | None = None) -> None:
        """Write the record, and delete the state that only an unfinished training needs.

        Args:
            seconds: that the run took; None: until now.

        Raises:
            ValueError: if the run did not leave its result.
        """
        if missing := self._missing():
            raise ValueError(f"it ended without {', '.join(missing)} in {self.folder}; see its {LOG}")
        started = read_json(self.folder / STARTED)
        until_now = started["seconds_before"] + time.time() - started["started"]
        # `patience` may have ended a pretraining early.
        epochs = self._saved_epoch() if self.kind == "pretraining" else 0
        record = {
            "digest": self.digest,
            "title": self.title,
            "steps": self.steps * epochs // self.epochs if epochs else self.steps,
            "seconds": until_now if seconds is None else seconds,
            "commit": git_commit(ROOT, "custom_components", "bundles"),
        }
        write_json(self.folder / DONE, record)
        (self.folder / RESUME).unlink(missing_ok=True)

    def _missing(self) -> list[str]:
        """Return the files that the run should have left and did not."""
        return [name for name in RESULTS[self.kind] if not (self.folder / name).is_file()]


def digest_of(*parts: str) -> str:
    """Return the first 12 hexadecimal digits of a hash over texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def folder_name(*parts: Any) -> str:
    """Return a short folder name of plain characters."""
    text = "_".join(str(part) for part in parts)
    return re.sub(r"[^A-Za-z0-9.=-]+", "_", text).strip("_")[:120]
