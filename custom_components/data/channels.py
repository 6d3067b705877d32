"""Names of image channels: one sequence has many spellings, and the order of channels is part of the data.

If four MRI sequences arrive in another order than the network learned, its masks are wrong and no error shows. So
lists and configs name their channels, and a check before the run compares them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The order of BraTS cases (one file per sequence) here; MSD Task01's 4D files have the same order.
BRATS_CHANNELS = ("FLAIR", "T1", "T1ce", "T2")
# Sequence -> its spellings in BraTS until 2021, in BraTS since 2023, in the decathlon, and elsewhere.
_SPELLINGS = {
    "flair": ("flair", "t2f", "t2flair"),
    "t1": ("t1", "t1w", "t1n"),
    "t1ce": ("t1ce", "t1c", "t1gd", "t1wce", "t1post", "t1contrast"),
    "t2": ("t2", "t2w"),
}
_SEQUENCE = {spelling: sequence for sequence, spellings in _SPELLINGS.items() for spelling in spellings}


def sequence_of(name: str) -> str:
    """Return one spelling for all names of a sequence: ``T1Gd``, ``t1c`` and ``T1-post`` become ``t1ce``.

    Other names are returned in lower case, without spaces, ``-`` and ``_``.
    """
    plain = re.sub(r"[\s_-]", "", str(name)).lower()
    return _SEQUENCE.get(plain, plain)


def names_ct(channels: Sequence[str]) -> bool:
    """Return whether one of the channels is CT: ``CT``, ``venous CT``, ``ct1``; not ``contrast``."""
    return any(re.search(r"(?i)ct(?![a-z])", name) for name in channels)


def check_channel_names(listed: Sequence[str], expected: Sequence[str], source: str) -> None:
    """Check that the listed channels are the expected sequences in the expected order.

    A single channel is not compared: lists name it loosely (MRI, T1, MR), and the number of channels is checked
    elsewhere.

    Args:
        listed: names in the data list, in the order of the channels; empty if the list names none.
        expected: names in the config.
        source: the list, for the message.

    Raises:
        ValueError: naming both lists.
    """
    if len(listed) < 2 or len(expected) < 2:
        return
    found, wanted = ([sequence_of(name) for name in names] for names in (listed, expected))
    if found != wanted:
        wrong = "in another order than" if sorted(found) == sorted(wanted) else "others than"
        raise ValueError(
            f"{source} lists the channels {', '.join(listed)}: {wrong} {', '.join(expected)} expected"
        )
