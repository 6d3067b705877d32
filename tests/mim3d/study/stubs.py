"""Runs of a study that are small scripts in place of trainings."""

from __future__ import annotations

import sys
from pathlib import Path

from mim3d.catalog import BUNDLES
from mim3d.study.configs import RunConfig
from mim3d.study.runs import Run

CONFIG = RunConfig(BUNDLES / "seg_btcv", ("train.yaml",), {})
#: Trains two epochs; each writes what a training leaves, and the second waits until the file ``go`` exists.
TRAINING = """
import sys, time, torch
from pathlib import Path
folder = Path({folder!r})
begin = torch.load(folder / "resume.pt")["trainer"]["epoch"] if "--resume" in sys.argv else 0
print("begins after epoch", begin, flush=True)
for epoch in range(begin + 1, 3):
    while epoch == 2 and not Path({go!r}).exists():
        time.sleep(0.05)
    for name in ("model.pt", "model.card.json"):
        (folder / name).write_text("{{}}")
    torch.save({{"trainer": {{"epoch": epoch}}}}, folder / "resume.pt")
"""


class Stub(Run):
    """A run whose command is a script."""

    script: str

    def command(self, resume: bool = False) -> list[str]:
        return [sys.executable, "-c", self.script, *(["--resume"] if resume else [])]


def stub(out: Path, name: str, script: str = "pass", needs: tuple[str, ...] = (), epochs: int = 0) -> Stub:
    """A run in ``out/name`` that executes a script; with epochs it is a training, otherwise it leaves nothing."""
    kind = "training" if epochs else "picture"
    run = Stub(kind, name, CONFIG, {}, out / name, name, epochs, max(1, epochs), needs)
    object.__setattr__(run, "script", script)
    return run


def training(out: Path, name: str = "train") -> Stub:
    """A training of two epochs whose second waits for the file ``out/go``."""
    return stub(out, name, TRAINING.format(folder=str(out / name), go=str(out / "go")), epochs=2)
