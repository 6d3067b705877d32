"""Checks: can a folder be made and written to?"""

from __future__ import annotations

import os
from pathlib import Path


class OutputFolder:
    """The folder of results must be writable; it need not exist yet.

    Args:
        output_dir: the folder.
    """

    def __init__(self, output_dir: str) -> None:
        self.output_dir = output_dir

    def __call__(self) -> None:
        """Raise ValueError naming the folder and what is in its way."""
        check_folder("output_dir", self.output_dir)


def check_folder(key: str, path: str) -> Path:
    """Return the nearest existing folder above (or at) ``path``, into which it can be made.

    Args:
        key: the config key, for the message.
        path: the folder; it need not exist yet.

    Raises:
        ValueError: if a file is in its way, or the nearest existing folder is not writable.
    """
    folder = Path(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        found = "a file" if folder.exists() else "a link to nowhere"
        raise ValueError(f"{key} {path} cannot be made: {folder} is {found}; choose another folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{key} {path} cannot be written to: {folder} is not writable; choose another folder")
    return folder
