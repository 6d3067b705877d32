"""Checks of a segmentation config's labels: its settings, the data list's numbers, and the label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custom_components.checks.all_ranks import map_over_ranks
from custom_components.checks.volumes import check_labels
from custom_components.data import DataList
from custom_components.data.names import Item
from custom_components.distributed import rank
from custom_components.metrics.segmentation import check_score_regions


class LabelSettings:
    """Settings per class must fit the classes.

    Args:
        label_names: of the label map's values, background first.
        crop_ratios: share of crops centred on each of them; None: equal.
        regions: unions of values that are scored; None: each value.
        largest_component: values of which together only the largest component is kept; None: all are kept.
    """

    def __init__(
        self,
        label_names: Sequence[str],
        crop_ratios: Sequence[float] | None = None,
        regions: Mapping[str, Sequence[int]] | None = None,
        largest_component: Sequence[int] | None = None,
    ) -> None:
        self.label_names, self.crop_ratios = label_names, crop_ratios
        self.regions, self.largest_component = regions, largest_component

    def __call__(self) -> None:
        """Raise ValueError naming the key, what was found and what is allowed."""
        names, ratios, kept = self.label_names, self.crop_ratios, self.largest_component
        if ratios is not None and (len(ratios) != len(names) or min(ratios) < 0 or sum(ratios) <= 0):
            raise ValueError(
                f"crop_ratios is {list(ratios)}; allowed: null, or {len(names)} numbers from 0, one for each of"
                f" {', '.join(names)}"
            )
        if self.regions is not None:
            check_score_regions(self.regions, names)
        if kept is not None and not set(kept) <= set(range(1, len(names))):
            raise ValueError(f"largest_component is {list(kept)}; allowed: null, or values 1 to {len(names) - 1}")


class LabelSource:
    """The label source must be known, and the data list must number the classes as the config does.

    Two sources may use the same numbers for different tissues, and the label files do not show it; but most lists
    state what their numbers mean. Names are compared without regard to case; a name on one side only is ignored.

    Args:
        data_list: the list.
        label_names: of the label map's values, background first.
        label_source: key of ``source_values``; None: label files hold the label map's values.
        source_values: source -> values in the files of ``label_names`` without the background; None: one source.
    """

    def __init__(
        self,
        data_list: DataList,
        label_names: Sequence[str],
        label_source: str | None = None,
        source_values: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.data_list, self.label_names = data_list, label_names
        self.label_source, self.source_values = label_source, source_values

    def __call__(self) -> None:
        """Raise ValueError naming the sources, or the class and both numbers."""
        source, sources = self.label_source, self.source_values
        if sources is not None and (source is None or source not in sources):
            raise ValueError(f"label_source is {source!r}; allowed: {', '.join(sources)}")
        known = sources is not None and source is not None
        values = [0, *sources[source]] if known else range(len(self.label_names))  # type: ignore[index]
        listed = {name.casefold(): number for number, name in self.data_list.labels.items()}
        for name, value in zip(self.label_names, values, strict=True):
            found = listed.get(name.casefold(), value)
            if found != value:
                ours = f"with label_source {source!r} it is" if source else "the config has it as"
                raise ValueError(f"{self.data_list.source} lists {name!r} as {found}; {ours} {value}")


class LabelFiles:
    """Every label map must lie on its image's grid and hold allowed values only; a class must occur to be learned.

    Ranks share the files, because reading the voxels takes about 0.1 s a CT.

    Args:
        items: cases with labels.
        label_names: of the label map's values, background first.
        validation_items: the validation cases; None: none.
        label_values: values that label files may hold, before any mapping; None: those of ``label_names``.
        label_source: whose values these are, for messages.
        source_values: source -> values in the files of ``label_names`` without the background; None: one source.
        for_training: whether ``items`` are trained on. Evaluation takes cases without any class, too.
    """

    def __init__(
        self,
        items: Sequence[Item],
        label_names: Sequence[str],
        validation_items: Sequence[Item] | None = None,
        label_values: Sequence[int] | None = None,
        label_source: str | None = None,
        source_values: Mapping[str, Sequence[int]] | None = None,
        for_training: bool = True,
    ) -> None:
        self.items, self.validation_items = items, validation_items
        self.values = list(range(len(label_names))) if label_values is None else sorted(label_values)
        self.label_source, self.for_training = label_source, for_training
        self.names = _names_of_values(self.values, label_names, label_values is None, source_values, label_source)

    def __call__(self) -> str:
        """Return the allowed values and what is missing; raise ValueError naming the file."""
        everything = [*self.items, *(self.validation_items or [])]
        found = map_over_ranks(
            lambda items: check_labels(items, self.values, self.label_source, progress=rank() == 0), everything
        )
        source = f" ({self.label_source})" if self.label_source else ""
        lines = [f"values {describe_values(self.values)}{source}"]
        if self.for_training and found:
            lines += self._missing(found[: len(self.items)], found[len(self.items) :])
        return "\n".join(lines)

    def _missing(self, training: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]) -> list[str]:
        """Return a warning for each class that no training case has; raise ValueError if nothing is labelled."""
        uses = ((training, "training", self.items), (validation, "validation", self.validation_items or []))
        for cases, use, items in uses:
            if cases and not any(any(values) for values in cases):
                classes = " or ".join(list(self.names.values())[1:])
                raise ValueError(
                    f"all {len(cases)} {use} labels are empty, such as {items[0]['label']}: they hold the"
                    f" background (0) alone; allowed: at least one {use} case with {classes}"
                )
        there = {value for values in training for value in values}
        return [
            f"warning: no training case has {name} in its label, so it cannot be learned"
            for value, name in self.names.items()
            if value and value not in there
        ]


def _names_of_values(
    values: Sequence[int],
    label_names: Sequence[str],
    same: bool,
    source_values: Mapping[str, Sequence[int]] | None,
    source: str | None,
) -> dict[int, str]:
    """Return what to call each value of the label files; a mapping that is not known leaves its number."""
    listed = range(1, len(label_names)) if same else (source_values or {}).get(source or "", ())
    named = dict(zip([0, *listed], label_names, strict=False))
    return {value: f"{named[value]!r} (value {value})" if value in named else f"value {value}" for value in values}


def describe_values(values: Sequence[int]) -> str:
    """Return label values in few words: ``0 to 13``, or ``0, 1, 2, 4``."""
    consecutive = list(values) == list(range(len(values)))
    return f"0 to {len(values) - 1}" if consecutive else ", ".join(map(str, values))
