"""No subject on two sides: the check of a data list for leaks, and the held-out share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from custom_components.data.names import Item, first_image
from custom_components.data.subjects import Subjects
from custom_components.data.walk import real_file
from custom_components.number_checks import is_number

# The order in which volumes are numbered; other sections follow by name.
SECTIONS = ("unlabelled", "training", "validation", "test")
Sections = dict[str, list[Item]]
# Pretraining on training cases leaks nothing.
_MAY_SHARE = {("unlabelled", "training")}


def ordered(sections: Mapping[str, Sequence[Item]]) -> list[str]:
    """Return the sections' names in the order in which volumes are numbered."""
    known = [name for name in SECTIONS if name in sections]
    return known + sorted(set(sections) - set(SECTIONS))


def check_no_leak(
    sections: Mapping[str, Sequence[Item]],
    source: str = "the data list",
    folder: Path | None = None,
    subject_pattern: str | None = None,
) -> None:
    """Check that no case, no file and no subject is in two sections, and no case or file twice in one.

    Images and subjects of ``training`` may also be ``unlabelled``, because pretraining on them leaks nothing.
    Those of ``validation`` and ``test`` may not.

    Args:
        sections: items by section.
        source: the list, for messages.
        folder: the folder that paths are relative to; then links to one real file are one file. None: paths are
            compared as they are.
        subject_pattern: see `custom_components.data.subjects.Subjects`.

    Raises:
        ValueError: naming the case, and both sections.
    """
    subjects = Subjects([item for items in sections.values() for item in items], subject_pattern)
    files: dict[str, tuple[str, str]] = {}
    members: dict[str, tuple[str, str]] = {}
    for name in ordered(sections):
        for item in sections[name]:
            image, subject = first_image(item), subjects.of(item)
            real = real_file(folder / image) if folder else image
            if (before := files.get(real)) and (before[0], name) not in _MAY_SHARE:
                raise ValueError(f"{source}: {_same_file(before, (name, image))}; a case belongs to one section")
            before = members.get(subject)
            if before and before[0] != name and (before[0], name) not in _MAY_SHARE:
                raise ValueError(
                    f"{source}: {before[1]} of section {before[0]!r} and {image} of {name!r} are of one subject"
                    f" ({subject}); a subject belongs to one section. If they are of two, state it by the key"
                    " 'subject' of these items"
                )
            files[real] = members[subject] = (name, image)


def hold_out(
    sections: Sections, holdout: float | int, seed: int, source: str, subject_pattern: str | None = None
) -> None:
    """Move the held-out subjects of ``unlabelled`` into ``validation``, unless the list has a validation.

    Args:
        sections: items by section; changed in place.
        holdout: share or number of the subjects; where each volume is a subject, of the volumes.
        seed: seed of the draw.
        source: the list, for messages.
        subject_pattern: see `custom_components.data.subjects.Subjects`.

    Raises:
        ValueError: if nothing would be left, and for a share or number out of range.
    """
    if sections.get("validation") or not sections.get("unlabelled"):
        return
    subjects = Subjects([item for items in sections.values() for item in items], subject_pattern)
    items = sorted(sections["unlabelled"], key=first_image)
    groups = list(subjects.group(items))
    count = share(holdout, len(groups), "holdout")
    if count >= len(groups):
        of = f" ({len(groups)} subjects)" if len(groups) < len(items) else ""
        raise ValueError(f"holdout={holdout} leaves none of the {len(items)} unlabelled images{of} of {source}")
    held = {groups[k] for k in np.random.RandomState(seed).permutation(len(groups))[:count]}
    sections["validation"] = [item for item in items if subjects.of(item) in held]
    # A held-out subject may have training cases too. They then leave training, or training would see validation
    # subjects.
    for name in ("unlabelled", "training"):
        if name in sections:
            sections[name] = [item for item in sections[name] if subjects.of(item) not in held]


def share(wanted: float | int | None, of: int, name: str) -> int:
    """Return a share (float in [0, 1]) or number (int) of ``of`` cases as a number; 0 for None.

    A share above 0 gives at least one case; the rounding is Python's ``round``.

    Raises:
        ValueError: outside these ranges, naming the argument.
    """
    if wanted is None:
        return 0
    if not is_number(wanted) or wanted < 0:
        raise ValueError(f"{name} is {wanted!r}; allowed: a share in [0, 1] or a number of cases")
    if isinstance(wanted, int):
        if wanted > of:
            raise ValueError(f"{name} asks for {wanted} cases, there are {of}")
        return wanted
    if wanted > 1:
        raise ValueError(
            f"{name} is {wanted!r}; a share lies in [0, 1], a number of cases is written without a dot"
        )
    return max(1, round(wanted * of)) if wanted > 0 and of else 0


def _same_file(before: tuple[str, str], now: tuple[str, str]) -> str:
    """Say in which sections one file is listed twice; each argument is a section and a path."""
    where = f"twice in section {now[0]!r}" if before[0] == now[0] else f"in sections {before[0]!r} and {now[0]!r}"
    return f"{now[1]} is {where}" + (f", first as {before[1]} (links to one file)" if before[1] != now[1] else "")
