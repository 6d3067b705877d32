"""Decisions on labels: names of the classes, and the mapping from what the files hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mim3d.plan.decisions import SEGMENT, Decision
from mim3d.plan.survey import Survey

_MOST_CLASSES = 255  # label maps are bytes
#: Words that name a side of the body along each axis: right, anterior, superior.
_SIDES = (
    r"left|right|l|r|lh|rh",
    r"anterior|posterior|front|back|ventral|dorsal",
    r"superior|upper|lower|cranial|caudal",
)
_FLIP = 0.1  # as in the segmentation bundles


class Classes:
    """The classes of a segmentation.

    Args:
        found: what the folder holds.

    Attributes:
        values: values in the label files, without 0.
        names: their names.
        named: whether the list names all of them, or there is one only.
        missing: values that the list names and no label that was read holds.

    Raises:
        ValueError: for more than 255 classes, or none.
    """

    def __init__(self, found: Survey) -> None:
        labels = [case.label_values for case in found.read if case.label_values is not None]
        held = {value for values in labels for value in values}
        listed = {value: name for value, name in found.labels.items() if value != 0}
        self.read = len(labels)
        self.values = sorted(held | listed.keys())
        single = len(self.values) == 1  # which needs no name
        self.names = [listed.get(value, "foreground" if single else f"value {value}") for value in self.values]
        self.named = single or all(value in listed for value in self.values)
        self.missing = sorted(listed.keys() - held)
        self.background = found.labels.get(0, "background")
        if not self.values:
            raise ValueError(
                f"the {self.read} label maps read hold the background (0) alone; nothing can be learned"
            )
        if not 0 < min(self.values) <= max(self.values) or len(self.values) > _MOST_CLASSES:
            raise ValueError(
                f"the label maps hold {len(self.values)} values, from {min(self.values)} to {max(self.values)};"
                f" allowed: 1 to {_MOST_CLASSES} values above 0"
            )

    @property
    def consecutive(self) -> bool:
        """Whether the files already number the classes 1, 2, 3, ..."""
        return self.values == list(range(1, len(self.values) + 1))


def decide_labels(classes: Classes, labelled: int) -> list[Decision]:
    """Decide names and mapping of the classes.

    Args:
        classes: the classes.
        labelled: number of cases with a label.
    """
    reason = f"Values in {classes.read} of {labelled} label maps, and in the list."
    reason += "" if classes.named else " The list does not name every value; rename them here."
    made = [Decision("label_names", [classes.background, *classes.names], reason, SEGMENT)]
    if classes.consecutive:
        return made
    numbers = list(range(1, len(classes.values) + 1))
    pairs = ", ".join(f"{value} → {number}" for value, number in zip(classes.values, numbers, strict=True))
    why = f"The files' values become consecutive classes: {pairs}. Masks that this bundle writes hold the classes."
    source = "$'files' if @dataset_dir else 'masks'"
    held = "$@source_values.get(@label_source, [])"
    mapping = {
        "_target_": "MapLabelValued",
        "keys": "label",
        "orig_labels": held,
        "target_labels": numbers,
        "dtype": "$torch.uint8",
    }
    follows = "It follows from source_values."
    label_app = "MONAI Label gives no dataset_dir; its labels are masks that this bundle wrote."
    return [
        *made,
        Decision("source_values", {"files": classes.values, "masks": numbers}, why, SEGMENT),
        Decision("label_source", source, label_app, SEGMENT, shown=False),
        Decision("label_values", f"$[0, *sorted({held[1:]})]", follows, SEGMENT, shown=False),
        Decision("label_mapping", mapping, follows, SEGMENT, shown=False),
    ]


def decide_augmentation(classes: Classes, roi_size: Sequence[int], spacing: Sequence[float]) -> list[Decision]:
    """Decide flips and rotations: only where no class has a side along that axis."""
    text = " ".join(classes.names).lower().replace("_", " ")
    free = [classes.named and not re.search(rf"\b(?:{words})\b", text) for words in _SIDES]
    flips = [_FLIP if allowed else 0.0 for allowed in free]
    if not classes.named:
        why = "No flips: classes without a name may be left and right of one organ."
    elif all(free):
        why = "No class has a side by its name, so flips are safe, as in the other segmentation bundles."
    else:
        why = "No flips along an axis on which a class has a side by its name (left, anterior, upper, ...)."
    planes = [
        [a, b]
        for a, b in ((0, 1), (0, 2), (1, 2))
        if free[a] and free[b] and roi_size[a] == roi_size[b] and spacing[a] == spacing[b]
    ]
    plane = planes[0] if planes else None
    about = (
        "Both axes have one spacing, one crop length and no sides."
        if plane
        else "No two axes have one spacing, one crop length and no sides."
    )
    return [
        Decision("flip_prob", flips, why, SEGMENT),
        Decision("rotation_axes", plane, about, SEGMENT),
    ]


def structure_diameter(found: Survey) -> float | None:
    """Return the diameter in mm of a ball as large as the median structure; None without labels."""
    volumes = [
        volume for case in found.read for value, volume in (case.label_values or {}).items() if value and volume
    ]
    return float((6 * np.median(volumes) / np.pi) ** (1 / 3)) if volumes else None
