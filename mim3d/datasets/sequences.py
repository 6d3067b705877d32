"""Joins files that differ in their MRI sequence only into one case with several channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from custom_components.checks.volumes import image_header
from custom_components.data.channels import BRATS_CHANNELS, sequence_of
from custom_components.data.grids import orientation_onto
from custom_components.data.layouts import Layout
from custom_components.data.names import SEQUENCE_WORDS, Item, first_image, stem_of
from custom_components.data.pairs import SEVERAL_IMAGES, Key, case_key

_ORDER = [sequence_of(name) for name in BRATS_CHANNELS]


def join_sequences(layout: Layout, folder: Path) -> Layout:
    """Make one case of ``p1_FLAIR``, ``p1_T1`` and ``p1_label``: the label map fits each of these images.

    This is done if every image without a label belongs to such a group, all groups have the same sequences, the
    files of a group lie on one grid, and at least one group has a label map. Otherwise nothing is changed.

    Args:
        layout: what :func:`custom_components.data.layouts.scan` found.
        folder: the folder that paths are relative to.

    Returns:
        The layout with joined cases; channels are in the order FLAIR, T1, T1ce, T2, others behind them by name.
    """
    labels: dict[Key | None, list[str]] = {}
    for label in layout.left_out.get(SEVERAL_IMAGES, []):
        labels.setdefault(case_key(label, True), []).append(label)
    groups: dict[Key | None, dict[str, str]] = {}
    for image in map(first_image, layout.unlabelled):
        group = groups.setdefault(case_key(image, False), {})
        sequence = sequence_of(sequence_name(image))
        if not sequence or sequence in group:
            return layout
        group[sequence] = image
    kinds = {frozenset(group) for group in groups.values()}
    found = {key: files[0] for key, files in labels.items() if key in groups and len(files) == 1}
    if layout.labelled or len(kinds) != 1 or len(min(kinds, key=len)) < 2 or not found:
        return layout
    order = sorted(kinds.pop(), key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    if not all(_on_one_grid([folder / group[name] for name in order]) for group in groups.values()):
        return layout
    cases: list[Item] = [
        {"image": [group[name] for name in order], **({"label": found[key]} if key in found else {})}
        for key, group in groups.items()
    ]
    first = next(iter(groups.values()))
    rest = [label for label in layout.left_out[SEVERAL_IMAGES] if label not in found.values()]
    left = {reason: files for reason, files in layout.left_out.items() if reason != SEVERAL_IMAGES}
    return layout._replace(
        labelled=[item for item in cases if "label" in item],
        unlabelled=[item for item in cases if "label" not in item],
        meta={**layout.meta, "channels": [sequence_name(first[name]) for name in order]},
        left_out={**left, **({SEVERAL_IMAGES: rest} if rest else {})},
    )


def sequence_name(path: str) -> str:
    """Return the part of a file's name that names its sequence, as it is spelled; empty if there is none."""
    words = re.split(r"[\s_.-]+", stem_of(path))
    return "_".join(word for word in words if word.lower() in SEQUENCE_WORDS)


def _on_one_grid(paths: Sequence[Path]) -> bool:
    headers = [image_header(str(path)) for path in paths]
    try:
        for path, header in zip(paths[1:], headers[1:], strict=True):
            orientation_onto(str(path), header, str(paths[0]), headers[0])
    except ValueError:
        return False
    return all(header.channels == 1 for header in headers)
