"""Text for ``monai.bundle run``: values that MONAI's config reading would change, and how to write them.

MONAI reads ``#`` in any value as ``::``, a value that begins with ``@``, ``%`` or ``$`` as a reference or an
expression, and the command line reads ``2024`` as a number and ``a,b`` as a list.
"""

from __future__ import annotations

import os
import re
from typing import Any

from fire.parser import DefaultParseValue

#: How a value begins that is more than text.
_SIGNS = ("$", "@", "%")


def as_argument(value: Any) -> str:
    """Return a value as a word for the command line of ``monai.bundle run``, which reads it unchanged.

    Args:
        value: text and paths are kept as text; numbers, lists and booleans are written as in Python. None becomes
            an expression, because MONAI ignores None on the command line.
    """
    if value is None:
        return "$None"
    if not isinstance(value, (str, os.PathLike)):
        return str(value)
    text = os.fspath(value)
    return quoted(text) if "#" in text or text.startswith(_SIGNS) or not _is_text(text) else text


def quoted(text: str) -> str:
    """Return text as an expression for a config: it has no ``#`` and no ``@`` that MONAI would change."""
    return "$" + repr(text).replace("#", r"\x23").replace("@", r"\x40")


def check_no_hash(path: str | os.PathLike[str], name: str) -> None:
    """Check a folder whose path other programs hand to MONAI as it is.

    Args:
        path: the folder; its absolute path counts.
        name: of the argument or variable that sets it.

    Raises:
        ValueError: if the path has a ``#``.
    """
    absolute = os.path.abspath(path)
    if "#" in absolute:
        raise ValueError(f"{name} {absolute} has a # in its path, which MONAI reads as ::; choose another folder")


def misread_path(key: str, written: str) -> str | None:
    """Return why MONAI would not read a path as it is written; None if it would.

    Args:
        key: the config's key.
        written: the word on the command line, or the text in a config file.
    """
    if written.startswith("$") and not re.fullmatch(r"\$[\w./-]+", written):
        return None  # an expression
    if written.startswith(_SIGNS):
        return f"{key} is {written!r}, which MONAI reads as a reference, not as a path; write ./{written}"
    if "#" in written and written.startswith(("[", "(", "{")):
        return f"{key} is {written!r}, and MONAI reads # as ::; rename what has a # in its name"
    if "#" in written:
        return f'{key} is {written!r}, and MONAI reads # as ::; write --{key} "{quoted(written)}"'
    if not _is_text(written):
        return f"{key} is {written!r}, which is read as a number or a list, not as a path; write ./{written}"
    return None


def _is_text(word: str) -> bool:
    """Return whether the command line reads a word as text."""
    return bool(DefaultParseValue(word) == word)
