"""What the cases of a folder must be: as a bundle's config says, or as far as the data list tells by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle.config_parser import ConfigParser

from custom_components.checks import LabelFiles
from custom_components.checks.examine import Expected
from custom_components.checks.volumes import image_header
from custom_components.data import DataList
from custom_components.data.channels import names_ct
from custom_components.data.names import Item, files_of
from custom_components.faults import first_cause
from mim3d.package.layers import find_layer
from mim3d.segment.config import check_keys, parse_value

#: Checks of a config that look at the whole list. The others look at single cases, or at the run.
LIST_CHECKS = ("channels", "label_source", "cases", "labels", "batches", "contrast", "memory")
# Without a config nothing says which part of the HU matters, so that no clipping is reported.
_NO_WINDOW = (math.inf, -math.inf)
_SAMPLE = 32  # volumes whose voxels are read before a training, unless its key intensity_volumes says otherwise
_FIXED = {"bundle_root": "--bundle", "dataset_dir": "DATA", "datalist": "--datalist"}


class Expectations(NamedTuple):
    """What is checked.

    Attributes:
        data_list: the list.
        expected: what every case must be.
        sample: images whose voxels are read without ``--full``; None: all.
        list_checks: checks of the whole list, by name, made when the bad cases are left out of it.
    """

    data_list: DataList
    expected: Expected
    sample: int | None
    list_checks: Mapping[str, Callable[[], Callable[[], str | None]]]


def of_bundle(
    bundle: Path, layers: Sequence[str], keys: Mapping[str, str], dataset_dir: str, datalist: str | None
) -> Expectations:
    """Return what a bundle's ``train.yaml`` expects.

    Args:
        bundle: its folder.
        layers: names in its configs, or paths.
        keys: further keys of the config, as written on the command line.
        dataset_dir: the data folder.
        datalist: a list elsewhere than in this folder.

    Raises:
        ValueError: for a missing layer, an unknown key, and values that the config refuses.
    """
    files = [bundle / "configs" / "train.yaml", *(find_layer(bundle, layer) for layer in layers)]
    check_keys(files, keys, _FIXED, "mim3d check")
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    own = {"bundle_root": str(bundle), "dataset_dir": dataset_dir, "datalist": datalist}
    parser.update({**{key: parse_value(written) for key, written in keys.items()}, **own})
    try:
        cases = parser.get_parsed_content("checks#bad_cases")
        sample = parser.get_parsed_content("intensity_volumes")
    except Exception as error:  # a wrong value can fail anywhere while the config is resolved
        raise ValueError(str(first_cause(error))) from None
    made = {name: _maker(parser, name) for name in LIST_CHECKS if parser["checks"].get(name)}
    return Expectations(cases.data_list, cases.expected, sample, made)


def _maker(parser: ConfigParser, name: str) -> Callable[[], Callable[[], str | None]]:
    def make() -> Any:
        return parser.get_parsed_content(f"checks#{name}")

    return make


def of_list(dataset_dir: str, datalist: str | None) -> Expectations:
    """Return what can be expected without a config: equal channels, listed label values, HU if a channel is CT.

    Args:
        dataset_dir: the data folder.
        datalist: a list elsewhere than in this folder.

    Raises:
        ValueError: if the list cannot be read.
    """
    data_list = DataList(dataset_dir, datalist)
    values = sorted({0, *data_list.labels}) if data_list.labels else None
    expected = Expected(
        channels=len(data_list.channels) or _most_common_channels(data_list),
        label_values=values,
        window=_NO_WINDOW if names_ct(data_list.channels) else None,
    )
    return Expectations(data_list, expected, _SAMPLE, {"labels": lambda: _labels(data_list)} if values else {})


def _labels(data_list: DataList) -> Callable[[], str | None]:
    """Return the check for classes that no training case has."""
    training, validation = (
        [item for item in data_list.items(name) if item.get("label")] if name in data_list.sections else []
        for name in ("training", "validation")
    )
    values = sorted({0, *data_list.labels})
    names = [data_list.labels.get(value, "background") for value in values]
    known = {"listed": [value for value in values if value]}
    return LabelFiles(training, names, validation, values, "listed", known)


def _most_common_channels(data_list: DataList) -> int | None:
    counts: Counter[int] = Counter()
    for item in listed_cases(data_list).values():
        try:
            counts[sum(image_header(path).channels for path in files_of(item))] += 1
        except ValueError:
            continue  # reported with the case
    return counts.most_common(1)[0][0] if counts else None


def listed_cases(data_list: DataList) -> dict[str, Item]:
    """Return every case of a list by its (first) image, with its label if one of its sections has it."""
    cases: dict[str, Item] = {}
    for section in data_list.sections:
        for item in data_list.listed(section):
            image = files_of(item)[0]
            if image not in cases or item.get("label"):
                cases[image] = {**item, "section": section}
    return cases
