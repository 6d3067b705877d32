"""Which volumes are of one subject, so that no subject is on both sides of a split.

Where nothing is stated, names decide. Two volumes are of one subject if their paths are the same after these are
taken away:

- at the end of a name: session and time point (``ses-2``, ``visit1``, ``baseline``, ``fu2``, ``post``), sequence
  and modality (``T1w``, ``FLAIR``, ``CT``);
- behind a name with a digit: dates and numbers of scan, run, frame or month (``P7_run-1``, ``P7_m12``), unless one
  name has more of them than there are such names beside it (``flare22_scan_001``: here the scan is the subject);
- folders that name only a session, date, sequence or modality.

``sub-01`` (BIDS) is a subject wherever it is; since BraTS 2023 the patient's number is. Files in folders beside
each other are one subject per folder if no folder has more files than there are folders, and none is named like a
collection (``train``, ``site2``). A doubtful pair is kept together: that costs little, and a leak spoils scores.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from custom_components.data.brats import patient_of
from custom_components.data.names import IMAGE_WORDS, SEQUENCE_WORDS, Item, case_id, first_image, is_image_folder

_SHOWS = "|".join((*SEQUENCE_WORDS, *IMAGE_WORDS))
_SESSION = (
    r"(?:ses|sess|session|visit|vis|timepoint|tp|followup|follow[-_ ]?up|fu)[-_ ]?[a-z]?\d*"
    r"|baseline|bl|pre|post|(?:pre|post|intra)[-_ ]?op(?:erative)?"
)
_DATE = r"(?:19|20)\d\d(?P<sep>[-_.]?)(?:0[1-9]|1[0-2])(?P=sep)(?:0[1-9]|[12]\d|3[01])"
_NUMBERED = (
    r"(?:scan|exam|study|series|run|acq|rec|frame|phase|echo|time|month|week|day|year|mr|ct)[-_ ]?\d+"
    r"|[tmwydv]\d+"
)
_START = r"(?:^|[\s_.-]+)"
_ENDING = re.compile(rf"{_START}(?:{_SHOWS}|{_SESSION})$", re.IGNORECASE)
_ENDING_AFTER_NUMBER = re.compile(rf"(?<=.)[\s_.-]+(?:{_DATE}|{_NUMBERED})$", re.IGNORECASE)
_SESSION_FOLDER = re.compile(rf"(?:{_SHOWS}|{_SESSION}|{_DATE}|(?:19|20)\d\d)", re.IGNORECASE)
_BIDS = re.compile(r"(?:^|/)(sub-[^_/.]+)", re.IGNORECASE)
_COLLECTION = re.compile(
    r"(?:data|raw|nifti|niftis|scans?|volumes?|un?labell?ed|labell?ed|train|training|val|valid|validation|test|testing"
    r"|more|extra|others?|public|private|source|target"
    r"|(?:site|hosp|clinic|cent(?:er|re)|batch|part|fold|(?:sub|data)?set|ds|task|group|cohort|vendor|scanner)\w*)",
    re.IGNORECASE,
)
Place = tuple[str, ...]


class Subjects:
    """The subject of each case of a data list.

    Args:
        items: all cases. An item's own key ``subject`` goes first; it holds for its image in every section.
        pattern: regular expression whose first group is the subject in the path of a case's (first) image; None:
            names decide, see this module.

    Raises:
        ValueError: if ``pattern`` is not a regular expression, does not match a case, or has no group.
    """

    def __init__(self, items: Sequence[Item], pattern: str | None = None) -> None:
        cases = {first_image(item): item for item in items}
        stated = {first_image(item): str(item["subject"]) for item in items if item.get("subject") is not None}
        named = {image: item for image, item in cases.items() if image not in stated}
        if pattern is not None:
            matched = {image: subject_in(image, pattern) for image in named}
        else:
            matched = _by_name(named)
        self._subject = {**matched, **stated}

    def of(self, item: Item) -> str:
        """Return the subject of one of the cases."""
        return self._subject[first_image(item)]

    def group(self, items: Iterable[Item]) -> dict[str, list[Item]]:
        """Return subject -> its cases, both in the order of ``items``."""
        groups: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            groups[self.of(item)].append(item)
        return dict(groups)


def subject_in(image: str, pattern: str) -> str:
    """Return the first group of a pattern in an image's path.

    Raises:
        ValueError: if the pattern is no regular expression, does not match, or has no group.
    """
    try:
        match = re.search(pattern, image)
    except re.error as error:
        raise ValueError(f"subject_pattern {pattern!r} is not a regular expression: {error}") from None
    if match is None or not match.groups() or match.group(1) is None:
        found = "does not match" if match is None else "has no group in"
        raise ValueError(f"subject_pattern {pattern!r} {found} {image}")
    return str(match.group(1))


def path_of_case(item: Item) -> str:
    """Return the path of a case's (first) image without its suffix."""
    image = first_image(item)
    return f"{PurePosixPath(image).parent.as_posix()}/{case_id(image)}"


def _by_name(cases: dict[str, Item]) -> dict[str, str]:
    """Return image -> subject by the rules of this module."""
    subjects: dict[str, str] = {}
    shorter: dict[str, Place] = {}
    shortest: dict[str, Place] = {}
    for image, item in cases.items():
        case = case_id(item["image"])
        bids = _BIDS.search(image)
        if bids:
            subjects[image] = bids.group(1)
        elif patient := patient_of(_without_endings(case, numbered=False)):
            subjects[image] = patient
        else:
            folders = tuple(
                part for part in PurePosixPath(image).parts[:-1] if not _SESSION_FOLDER.fullmatch(part)
            )
            shorter[image] = _place(folders, _without_endings(case, numbered=False))
            shortest[image] = _place(folders, _without_endings(case, numbered=True))
    places = _unless_crowded(shorter, shortest)
    of_patients = _patient_folders(set(places.values()))
    for image, place in places.items():
        kept = place[:-1] if place[:-1] in of_patients else place
        subjects[image] = "/".join(kept) if len(kept) > 1 else "/".join((".", *kept))
    return subjects


def _place(folders: Place, name: str) -> Place:
    return (*folders, name) if name else folders


def _without_endings(name: str, numbered: bool) -> str:
    while True:
        shorter = _ENDING.sub("", name)
        if numbered and re.search(r"\d", _ENDING_AFTER_NUMBER.sub("", shorter)):
            shorter = _ENDING_AFTER_NUMBER.sub("", shorter)
        if shorter == name:
            return name
        name = shorter


def _unless_crowded(shorter: dict[str, Place], shortest: dict[str, Place]) -> dict[str, Place]:
    """Return the shortest places, but in folders where one of them holds more cases than there are places."""
    joined: dict[Place, dict[Place, set[Place]]] = defaultdict(lambda: defaultdict(set))
    for image, place in shortest.items():
        joined[place[:-1]][place].add(shorter[image])
    crowded = {folder for folder, places in joined.items() if max(map(len, places.values())) > max(1, len(places))}
    return {image: shorter[image] if place[:-1] in crowded else place for image, place in shortest.items()}


def _patient_folders(places: set[Place]) -> set[Place]:
    """Return the folders whose files are of one subject each."""
    inside: dict[Place, int] = defaultdict(int)
    for place in places:
        if len(place) > 1 and not (_COLLECTION.fullmatch(place[-2]) or is_image_folder(place[-2])):
            inside[place[:-1]] += 1
    beside: dict[Place, list[int]] = defaultdict(list)
    for folder, count in inside.items():
        beside[folder[:-1]].append(count)
    # A folder is also a subject's if one of its files only says what it shows, such as ct.nii.gz.
    return {
        folder for folder in inside if folder in places or max(beside[folder[:-1]]) <= len(beside[folder[:-1]]) > 1
    }
