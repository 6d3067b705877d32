"""Everything that is wrong with one case: the checks of images, label maps and intensities, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from custom_components.checks.intensities import describe_file
from custom_components.checks.volumes import check_image, check_label, check_label_values, image_header
from custom_components.data.label_like import label_like
from custom_components.data.names import Item, files_of, first_image


class Expected(NamedTuple):
    """What a config, or a data list, says about its cases.

    Attributes:
        channels: channels of an image; None: any number.
        needs_label: whether each case must have a label.
        label_values: values that label files may hold; None: any whole numbers.
        label_source: whose values these are, for messages.
        window: lower and upper end in HU of the window of a CT; None: intensities without a unit.
        non_finite: what NaN and infinity do when an image is loaded: ``raise`` or ``replace``.
        include_label_like: whether an image may look like a label map.
    """

    channels: int | None = None
    needs_label: bool = False
    label_values: Sequence[int] | None = None
    label_source: str | None = None
    window: tuple[float, float] | None = None
    non_finite: str = "raise"
    include_label_like: bool = False


class CaseFinding(NamedTuple):
    """Something wrong with a case.

    Attributes:
        file: path of the file.
        what: what is wrong with it, and what to do.
        is_error: whether a run would refuse the case; otherwise it would warn.
    """

    file: str
    what: str
    is_error: bool = True


def examine(item: Item, expected: Expected, voxels: bool = True) -> list[CaseFinding]:
    """Return all findings about a case; empty for a good one.

    Files are read as training reads them. What reads them remembers its result, so that later checks of the same
    run read no voxels again.

    Args:
        item: ``image``, a path or one per channel, and perhaps ``label``.
        expected: what the case must be.
        voxels: read the voxels of images, too; otherwise only headers, the start of an image and label maps.
    """
    images, labels = files_of(item), files_of(item, "label")
    found = [finding for path in (*images, *labels) for finding in _refused(path, partial(image_header, path))]
    bad = {finding.file for finding in found}
    image_is_whole = not bad & set(images)
    if image_is_whole:
        found += _refused(images[0], lambda: check_image(item, expected.channels))
    if expected.needs_label and not labels:
        found.append(CaseFinding(first_image(item), "has no label"))
    if labels and not bad & set(labels):
        values, source = expected.label_values, expected.label_source
        if image_is_whole:
            found += _refused(labels[0], lambda: check_label(item, values, source))
        else:
            found += _refused(labels[0], lambda: check_label_values(labels[0], values, source))
    for path in (path for path in images if path not in bad):
        found += _look_at(path, expected, voxels)
    return found


def _look_at(path: str, expected: Expected, voxels: bool) -> list[CaseFinding]:
    """Return findings about the voxels of an image file whose header is in order."""
    found = []
    if not expected.include_label_like and (why := label_like(path)):
        found.append(CaseFinding(path, f"is listed as an image, but {why}, like a label map"))
    if voxels:
        try:
            rows = describe_file(path, expected.window, expected.non_finite)
        except ValueError as error:
            return [*found, CaseFinding(path, _without(path, error))]
        for name, low, high, finding in rows:
            channel = name.removeprefix(path)
            text = f"holds {low:g} to {high:g}{channel}: {finding.looks}; {finding.advice}"
            found.append(CaseFinding(path, text, is_error=False))
    return found


def _refused(path: str, check: Callable[[], object]) -> list[CaseFinding]:
    try:
        check()
    except ValueError as error:
        return [CaseFinding(path, _without(path, error))]
    return []


def _without(path: str, error: ValueError) -> str:
    """Return a message in one line, without the path that it begins with."""
    return " ".join(str(error).split()).removeprefix(f"{path} ")
