"""Names of image channels: one sequence has many spellings, and their order is part of the data.

Four MRI sequences in another order than the network learned give wrong masks without a word, so lists and configs
name their channels, and the guards compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The order of BraTS cases (one file per sequence) here, which is that of MSD Task01's 4D files.
BRATS_CHANNELS = ("FLAIR", "T1", "T1ce", "T2")
# One sequence -> how data sets spell it: BraTS to 2021, BraTS from 2023, the decathlon, and usual others.
_SPELLINGS = {
    "flair": ("flair", "t2f", "t2flair"),
    "t1": ("t1", "t1w", "t1n"),
    "t1ce": ("t1ce", "t1c", "t1gd", "t1wce", "t1post", "t1contrast"),
    "t2": ("t2", "t2w"),
}
_SEQUENCE = {spelling: sequence for sequence, spellings in _SPELLINGS.items() for spelling in spellings}


def sequence_of(name: str) -> str:
    """One spelling for all names of a sequence: ``T1Gd``, ``t1c`` and ``T1-post`` are ``t1ce``.

    Names that are no known MRI sequence come back in lower case, without spaces, ``-`` and ``_``.
    """
    plain = re.sub(r"[\s_-]", "", str(name)).lower()
    return _SEQUENCE.get(plain, plain)


def check_channel_names(listed: Sequence[str], expected: Sequence[str], source: str) -> None:
    """Refuse data whose channels are other sequences than expected, or lie in another order.

    A single channel is not compared: lists name it loosely (MRI, T1, MR), and its number is checked elsewhere.

    Args:
        listed: names that the data list gives, in the order of the channels; empty where it gives none.
        expected: names of the config.
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
