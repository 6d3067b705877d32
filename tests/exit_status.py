"""Run a command of mim3d in this process."""

from __future__ import annotations

from mim3d.cli import main


def exit_status(*words: str) -> int:
    """Run ``mim3d <words>`` and return its exit status."""
    try:
        main([*words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
