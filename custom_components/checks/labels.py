"""Do a config's label settings fit one another and the data list? Each check raises ValueError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custom_components.data.lists import listed_labels
from custom_components.metrics.segmentation import check_score_regions


def check_label_settings(
    label_names: Sequence[str],
    crop_ratios: Sequence[float] | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
    label_source: str | None = None,
    label_sources: Mapping[str, Sequence[int]] | None = None,
    largest_component: Sequence[int] | None = None,
) -> list[int]:
    """Check what a segmentation config says of its labels, before a crop or a score finds out.

    Args:
        label_names: of the label map's values, background first.
        crop_ratios: share of crops centred on each of them; None: all alike.
        regions: unions of values that are scored; None: each value.
        label_source: key of ``label_sources``; None: label files hold the label map's values.
        label_sources: name -> the files' values of ``label_names`` but the background.
        largest_component: values of which together only the largest component is kept; None: all are kept.

    Returns:
        the files' values of ``label_names``, in the same order.

    Raises:
        ValueError: naming the key, what was found and what is allowed.
    """
    if crop_ratios is not None and (
        len(crop_ratios) != len(label_names) or min(crop_ratios) < 0 or sum(crop_ratios) <= 0
    ):
        raise ValueError(
            f"crop_ratios is {list(crop_ratios)}; allowed: null, or {len(label_names)} numbers from 0, one for"
            f" each of {', '.join(label_names)}"
        )
    if regions is not None:
        check_score_regions(regions, label_names)
    if largest_component is not None and not set(largest_component) <= set(range(1, len(label_names))):
        raise ValueError(
            f"largest_component is {list(largest_component)}; allowed: null, or values 1 to {len(label_names) - 1}"
        )
    if label_sources is None:
        return list(range(len(label_names)))
    if label_source is None or label_source not in label_sources:
        raise ValueError(f"label_source is {label_source!r}; allowed: {', '.join(label_sources)}")
    return [0, *label_sources[label_source]]


def check_listed_labels(
    label_names: Sequence[str],
    values: Sequence[int],
    dataset_dir: str,
    datalist: str | None = None,
    label_source: str | None = None,
) -> None:
    """Refuse a data list that gives a class of the same name another number.

    Two sources may use the same numbers for other tissues, which nothing in the files tells; but most lists say
    what their numbers mean. Names are compared without regard to case; those that only one side has are not.

    Args:
        label_names: of the label map's values, background first.
        values: the files' values of the same classes, in the same order.
        dataset_dir: the data folder; empty: nothing is compared (MONAI Label gives lists).
        datalist: list file, as in ``load_datalist``.
        label_source: the config's name for whose values these are, for the message.

    Raises:
        ValueError: naming the class and both numbers.
    """
    if not dataset_dir:
        return
    listed = {name.casefold(): number for number, name in listed_labels(dataset_dir, datalist).items()}
    for name, value in zip(label_names, values, strict=True):
        found = listed.get(name.casefold(), value)
        if found != value:
            told = f"with label_source {label_source!r} it is" if label_source else "the config has it as"
            raise ValueError(f"{datalist or dataset_dir} lists {name!r} as {found}; {told} {value}")
