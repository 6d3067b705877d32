"""Decisions on the length of the trainings, on rates, and on the cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from custom_components.checks.memory import CacheMemory, free_memory
from custom_components.data.names import Item
from custom_components.machine import readable
from mim3d.catalog import NETWORKS, Method
from mim3d.plan.bundle_keys import SEG, shipped, small_keys
from mim3d.plan.cost import Cost
from mim3d.plan.decisions import PRETRAIN, SEGMENT, Decision

#: Crops that a training sees: HybridMIM's published code trains for 100,000 steps of 2 crops.
CROPS = 200_000
SMALL_CROPS = 2_000
_MOST_EPOCHS = 1000
_VALIDATIONS = 50
_SMALL_VALIDATIONS = 5
_CACHE_SHARE = 0.5  # of the free memory


class Length(NamedTuple):
    """How long a training is.

    Attributes:
        steps: of the whole training.
        per_epoch: steps of an epoch.
        epochs: their number.
        seconds: of all steps, without reading and validation; None: not measured on the device.
    """

    steps: int
    per_epoch: int
    epochs: int
    seconds: float | None


def length(volumes: int, batch: int, samples: int, drop_last: bool, taken: Cost, small: bool) -> Length:
    """Return the length of a training that sees about ``CROPS`` crops, in at most 1,000 epochs.

    Args:
        volumes: to train on.
        batch: volumes of a step.
        samples: crops of each.
        drop_last: whether an incomplete step at the end of an epoch is left out.
        taken: what a step takes.
        small: whether for a CPU.
    """
    per_epoch = max(1, volumes // batch if drop_last else math.ceil(volumes / batch))
    crops = batch * samples
    wanted = (SMALL_CROPS if small else CROPS) / (crops * per_epoch)
    epochs = max(1, min(_MOST_EPOCHS, round(wanted)))
    steps = epochs * per_epoch
    seconds = None if taken.seconds_per_crop is None else steps * crops * taken.seconds_per_crop
    return Length(steps, per_epoch, epochs, seconds)


def decide_length(planned: Length, taken: Cost, small: bool, layer: tuple[str, ...]) -> list[Decision]:
    """Decide epochs and the distance of validations."""
    aim = f"{SMALL_CROPS if small else CROPS:,} crops"
    aim += " (small form)" if small else " (HybridMIM's published code: 100,000 steps of 2)"
    most = planned.epochs == _MOST_EPOCHS
    why = f"{planned.steps:,} steps, {planned.per_epoch:,} in each epoch: "
    why += f"{_MOST_EPOCHS:,} epochs at most, fewer than {aim} need. " if most else f"about {aim}. "
    why += time_text(planned, taken)
    every = max(1, planned.epochs // (_SMALL_VALIDATIONS if small else _VALIDATIONS))
    end = "@epochs" if layer == PRETRAIN else "@train#trainer#max_epochs"
    return [
        Decision("epochs", planned.epochs, why, layer),
        Decision("val_interval", f"$min({every}, {end})", "Epochs between validations.", layer, shown=False),
    ]


def time_text(planned: Length, taken: Cost) -> str:
    """Return how long a training takes, and how sure that is."""
    if planned.seconds is None:
        return "Time on a GPU: not measured."
    sure = "estimated" if taken.estimated else "as measured"
    return (
        f"Time: about {readable_time(planned.seconds)} on {taken.step.machine}, {sure} from {taken.step.source},"
        " without reading and validation."
    )


def readable_time(seconds: float) -> str:
    """Return a time in words: ``40 minutes``."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def decide_rates(method: Method, network: str, small: bool, labelled: bool, given: set[str]) -> list[Decision]:
    """Decide the learning rates, and return what else the small form changes.

    Args:
        method: the pretraining method.
        network: key of ``NETWORKS``.
        small: whether for a CPU.
        labelled: whether there is a segmentation.
        given: keys of the pretraining layer that are already decided.
    """
    recipe = "smoke" if small else "train"
    why = "Of smoke.yaml, for the small network." if small else f"The default of {method.bundle.name}."
    if network != method.default and "learning_rate" in given and not small:
        made = []
    else:
        made = [Decision("learning_rate", shipped(method.bundle, recipe)["learning_rate"], why, PRETRAIN)]
    taken = {"learning_rate", "cache_rate", *given}
    if small:
        extra = {key: value for key, value in small_keys(method.bundle).items() if key not in taken}
        made += [Decision(key, value, "Small form.", PRETRAIN, shown=False) for key, value in extra.items()]
    if not labelled:
        return made
    rate = shipped(SEG, recipe)["learning_rate"]
    about = "Of smoke.yaml, for the small network." if small else f"The default of {SEG.name}."
    if small and NETWORKS[network].transformer:
        rate, about = 1.0e-3, "A transformer learns at a tenth of the rate of a CNN."
    made.append(Decision("learning_rate", rate, about, SEGMENT))
    if small:
        extra = {
            key: value for key, value in small_keys(SEG).items() if key not in ("learning_rate", "cache_rate")
        }
        made += [Decision(key, value, "Small form.", SEGMENT, shown=False) for key, value in extra.items()]
    return made


def decide_cache(
    items: Sequence[Item], channels: Sequence[str], spacing: Sequence[float], layer: tuple[str, ...]
) -> Decision:
    """Decide the cached share of the volumes, by the memory that is free on this machine."""
    needed, free = CacheMemory(items, channels, spacing).upper_bound(), free_memory()
    rate = min(1.0, math.floor(20 * _CACHE_SHARE * free / max(1, needed)) / 20)
    why = (
        f"All {len(items)} volumes take at most {readable(needed)} once prepared; {readable(free)} are free here."
    )
    return Decision("cache_rate", rate, why, layer)


def decide_contrast(method: Method, batch: int) -> list[Decision]:
    """Switch the contrast term off where a step has one volume and so no negative.

    Raises:
        ValueError: for a method that has no other term.
    """
    weights: dict[str, Any] = dict(shipped(method.bundle)["loss_weights"])
    if batch > 1 or not weights.get("contrast"):
        return []
    if len(weights) == 1:
        raise ValueError(f"{method.title} contrasts volumes; there is one to train on, and it needs two or more")
    why = "There is one volume to pretrain on; the contrast term needs two."
    return [Decision("loss_weights", {**weights, "contrast": 0.0}, why, PRETRAIN)]
