"""Running the runs of a study: in parallel over slots, each after what it needs, others going on if one fails."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim3d.children import end_groups
from mim3d.study.devices import Slot
from mim3d.study.forks import Fork
from mim3d.study.job import Job
from mim3d.study.processes import Launcher
from mim3d.study.progress import Times, clock, say

_POLL = 0.2  # seconds
PATIENCE = 60.0  # seconds that runs get to save their state when the study is ended
LINES = 6  # of a failed run's log that are shown


@dataclass(frozen=True)
class Failure:
    """A run that failed or could not start.

    Attributes:
        job: the run.
        reason: for people; the last lines of its log.
    """

    job: Job
    reason: str


@dataclass
class _Running:
    job: Job
    slot: Slot
    process: subprocess.Popen[Any] | Fork
    since: float


class Scheduler:
    """Runs jobs on slots and remembers which failed.

    Args:
        slots: one for each run that may go on at a time.
        log_name: name of the log file in a job's folder.
    """

    def __init__(self, slots: Sequence[Slot], log_name: str = "log.txt") -> None:
        self.slots, self.log_name = list(slots), log_name
        self.times = Times()
        self.failures: list[Failure] = []
        self._done: set[str] = set()
        self._later: list[Job] = []
        self._launcher = Launcher(threads=max(1, *(len(slot.cores) for slot in self.slots)))

    def run(self, jobs: Sequence[Job], later: Sequence[Job] = ()) -> None:
        """Run jobs until each is done, has failed, or needs one that failed.

        Args:
            jobs: in the order in which to start them; a job that comes twice runs once.
            later: further work that is known of already, for the time left.

        Raises:
            KeyboardInterrupt, Stopped: when the study is to end; its runs have then ended.
        """
        waiting = [job for job in {job.digest: job for job in jobs}.values() if not self._known(job)]
        self._later = list(later)
        running: list[_Running] = []
        try:
            while waiting or running:
                self._start(waiting, running)
                ended = [entry for entry in running if entry.process.poll() is not None]
                for entry in ended:
                    running.remove(entry)
                    self._end(entry, [*waiting, *(other.job for other in running)])
                if not ended:
                    time.sleep(_POLL)
        finally:
            end_groups([entry.process for entry in running], PATIENCE)

    @property
    def failed(self) -> set[str]:
        """Digests of the jobs that failed or could not start."""
        return {failure.job.digest for failure in self.failures}

    def _known(self, job: Job) -> bool:
        """Return whether a job is done or has failed already."""
        if job.digest in self._done or job.digest in self.failed:
            return True
        job.recover()
        record = job.done
        if record is not None:
            self._done.add(job.digest)
            self.times.learn(job, float(record["seconds"]))
        return record is not None

    def _start(self, waiting: list[Job], running: list[_Running]) -> None:
        for job in list(waiting):
            if lost := self.failed.intersection(job.needs):
                waiting.remove(job)
                cause = next(failure.job.title for failure in self.failures if failure.job.digest in lost)
                self.failures.append(Failure(job, f"not started, because {cause!r} failed"))
                continue
            free = list(self.slots)
            for entry in running:
                free.remove(entry.slot)
            if not free or not self._done.issuperset(job.needs):
                continue
            waiting.remove(job)
            command = job.prepare(free[0].environment)
            log = job.folder / self.log_name
            process = self._launcher.start(command, log, free[0].environment, free[0].cores)
            running.append(_Running(job, free[0], process, time.monotonic()))
            say(f"start {job.title} ({free[0].device})")

    def _end(self, entry: _Running, rest: Sequence[Job]) -> None:
        status, job, seconds = entry.process.returncode, entry.job, time.monotonic() - entry.since
        outcome = self._judge(job, status)
        if outcome is None:
            self._done.add(job.digest)
            self.times.learn(job, seconds)
        else:
            self.failures.append(Failure(job, outcome))
        left = clock(self.times.left([*rest, *self._later], len(self.slots)))
        word = "done" if outcome is None else "FAILED"
        counted = len(self._done) + len(self.failures)
        total = counted + len(rest) + len(self._later)
        say(f"{word} {job.title} in {clock(seconds)}; {counted} of {total} runs, time left {left}")

    def _judge(self, job: Job, status: int | None) -> str | None:
        """Write the record of a run that ended well; return why another did not."""
        if status == 0:
            try:
                job.finish()
                return None
            except (ValueError, OSError) as error:
                return str(error)
        return f"exit status {status}; {last_lines(job.folder / self.log_name)}"


def last_lines(log: Path, count: int = LINES) -> str:
    """Return the last lines of a log that say something, shortened, in one text."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"its log cannot be read: {error}"
    lines = [line.split("\r")[-1].rstrip() for line in text.splitlines()]
    lines = [line[:300] for line in lines if line.strip()]
    return f"end of {log}:\n" + "\n".join(f"    {line}" for line in lines[-count:])
