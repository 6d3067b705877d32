"""The results folder of a study: whose it is, and that one process works in it at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom_components.atomic import read_json, write_json
from mim3d.study.data import StudyData

MARKER, LOCK = "study.json", ".lock"


@contextmanager
def open_folder(out: Path, name: str) -> Iterator[None]:
    """Make or enter the results folder of a study and lock it; the lock ends with this process.

    Args:
        out: the folder.
        name: of the study.

    Raises:
        ValueError: if the folder holds anything else than this study's results, or another process works in it.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    if out.is_dir() and any(path.name != LOCK for path in out.iterdir()):
        if not (out / MARKER).is_file():
            raise ValueError(f"--out {out} is not empty and holds no study; give another folder")
        if (found := read_json(out / MARKER).get("study")) != name:
            raise ValueError(f"--out {out} holds the study {found}, this is {name}; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--out {out} is in use by another mim3d study; wait for it, or end it") from None
        except OSError:  # a file system without locks
            print(f"warning: {out} cannot be locked; do not start this study twice")
        if not (out / MARKER).is_file():
            write_json(out / MARKER, {"study": name})
        yield


def check_same_data(out: Path, data: StudyData) -> None:
    """Compare the data with those that the folder's results belong to, and remember them.

    Raises:
        ValueError: for another data folder, or another list of test cases.
    """
    before = read_json(out / MARKER)
    now = {"dataset_dir": str(data.folder), "test": [item["image"] for item in data.sections["test"]]}
    for key, value in now.items():
        if key in before and before[key] != value:
            what = before[key] if key == "dataset_dir" else f"{len(before[key])} other test cases"
            raise ValueError(f"{out} holds results on {what}; now {key} differs; give another --out")
    write_json(out / MARKER, {**before, **now, "source": data.source})
