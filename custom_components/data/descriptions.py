"""Class and channel names of a data list, of the decathlon's ``dataset.json`` and of nnU-Net's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from custom_components.data.names import Item

# Keys that name the channels: our lists, the decathlon, nnU-Net.
_CHANNEL_KEYS = ("channels", "modality", "channel_names")
IGNORE = "ignore"


def label_names(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the class names of a data list or ``dataset.json`` by number; empty if it has none.

    nnU-Net writes ``{"spleen": 1}``, or for regions ``{"whole tumor": [1, 2], "core": [2]}``. A value of the label
    files is then named by the smallest region that holds it; if several values would get one name, the value is
    added: ``core (2)``.

    Raises:
        ValueError: if ``labels`` is neither names by number nor numbers by name.
    """
    labels = description.get("labels") or {}
    if isinstance(labels, list):
        labels = {str(number): name for number, name in enumerate(labels)}
    if not isinstance(labels, dict):
        raise ValueError(f"labels is {labels!r}; allowed: names by number, such as {{'0': 'background'}}")
    if regions_of(description):
        return _named_by_region(labels)
    if labels and all(isinstance(value, int) for value in labels.values()):
        return {str(value): name for name, value in labels.items()}
    if not all(isinstance(name, str) and str(number).isdigit() for number, name in labels.items()):
        raise ValueError(f"labels is {labels!r}; allowed: names by number, such as {{'0': 'background'}}")
    return dict(labels)


def regions_of(description: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return nnU-Net's regions: name -> values of the label files; empty if labels are not regions.

    Raises:
        ValueError: for a region that is not made of whole numbers.
    """
    labels = description.get("labels") or {}
    if not isinstance(labels, dict) or not any(isinstance(values, list) for values in labels.values()):
        return {}
    regions = {name: values if isinstance(values, list) else [values] for name, values in labels.items()}
    wrong = [name for name, values in regions.items() if not all(isinstance(value, int) for value in values)]
    if wrong:
        raise ValueError(f"label {wrong[0]!r} is {labels[wrong[0]]!r}; allowed: a whole number or a list of them")
    return regions


def _named_by_region(labels: Mapping[str, Any]) -> dict[str, str]:
    regions = sorted(regions_of({"labels": labels}).items(), key=lambda region: len(region[1]))
    values = sorted({value for _, inside in regions for value in inside})
    names = {value: next(name for name, inside in regions if value in inside) for value in values}
    shared = [name for name in names.values() if list(names.values()).count(name) > 1]
    return {str(value): f"{name} ({value})" if name in shared else name for value, name in names.items()}


def channel_names(description: Mapping[str, Any]) -> list[str]:
    """Return the channel names of a data list or ``dataset.json`` in order; empty if it has none.

    Raises:
        ValueError: if channels are neither names, nor named by numbers.
    """
    found: Any = next((description[key] for key in _CHANNEL_KEYS if description.get(key)), [])
    if isinstance(found, dict):
        if not all(str(key).isdigit() for key in found):
            raise ValueError(f"the channels are {found!r}; allowed: names by number, such as {{'0': 'CT'}}")
        found = [found[key] for key in sorted(found, key=int)]
    if not isinstance(found, (list, str)):
        raise ValueError(f"the channels are {found!r}; allowed: a list of names")
    return [str(name) for name in found] if isinstance(found, list) else [found]


def listed_items(entries: Any, section: str) -> list[Item]:
    """Return the entries of a section as items, with paths in plain POSIX form.

    Args:
        entries: ``{"image": "./a", "label": "./b"}`` or ``"./a"``, one for each case; ``image`` may be a list.
        section: name of the section, for messages.

    Raises:
        ValueError: for entries of another form.
    """
    if not isinstance(entries, list):
        raise ValueError(f"section {section!r} is a {type(entries).__name__}; allowed: a list of cases")
    return [_item(entry, section) for entry in entries]


def _item(entry: Any, section: str) -> Item:
    item = {"image": entry} if isinstance(entry, str) else entry
    if not isinstance(item, dict):
        raise ValueError(f"an item of section {section!r} is {entry!r}; allowed: {{'image': path, ...}}")
    if not item.get("image"):
        raise ValueError(f"an item of section {section!r} has no 'image': {item}")
    return {
        key: _plain(value, key, section) if key in ("image", "label") else value for key, value in item.items()
    }


def _plain(value: Any, key: str, section: str) -> Any:
    if value is None or value == []:
        return value
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) and path for path in paths):
        raise ValueError(
            f"an item of section {section!r} has the {key} {value!r}; allowed: a path, or a list of them"
        )
    plain = [PurePosixPath(path).as_posix() for path in paths]
    return plain if isinstance(value, list) else plain[0]
