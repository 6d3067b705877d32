"""All decisions about a folder, in the order in which they depend on each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from custom_components.data.descriptions import IGNORE
from mim3d.catalog import Method
from mim3d.plan.bundle_keys import pretraining_network
from mim3d.plan.cost import Cost, work
from mim3d.plan.decisions import PRETRAIN, SEGMENT, Decision, value_of
from mim3d.plan.labels import Classes, decide_augmentation, decide_labels, structure_diameter
from mim3d.plan.masking import decide_masks
from mim3d.plan.schedule import decide_cache, decide_contrast, decide_length, decide_rates, length
from mim3d.plan.sets import Sets
from mim3d.plan.sizes import Request, Sizes, choose_sizes, decide_network, decide_sizes
from mim3d.plan.survey import Survey
from mim3d.plan.view import (
    decide_channels,
    decide_intensity,
    decide_non_finite,
    decide_orientation,
    decide_spacing,
    find_modality,
)


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes:
        method: the pretraining method.
        network: key of ``NETWORKS``; None: the method's default.
        gpu_memory: GB.
        small: whether for a CPU.
    """

    method: Method
    network: str | None
    gpu_memory: float
    small: bool


@dataclass
class Decided:
    """What was decided.

    Attributes:
        made: the decisions.
        warnings: what the user should look at.
    """

    made: list[Decision] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def value(self, key: str, layer: str = "pretrain") -> Any:
        """Return the value of a key in a layer."""
        return value_of(self.made, key, layer)


def decide(found: Survey, sets: Sets, options: Options) -> Decided:
    """Decide everything about a folder.

    Args:
        found: what the folder holds.
        sets: its cases by use.
        options: what the user asked for.

    Raises:
        ValueError: if no training fits the folder or the memory.
    """
    done = Decided()
    modality = find_modality(found)
    done.warnings += [modality.warning] if modality.warning else []
    done.made += [
        decide_channels(found, modality),
        decide_orientation(found),
        decide_spacing(found, options.small),
    ]
    done.made += [*decide_intensity(found, modality, options.method), *decide_non_finite(found)]
    done.warnings += [made.reason for made in done.made if made.key == "non_finite"]
    classes = Classes(found) if sets.segmented else None
    done.warnings += _label_warnings(found, sets, classes)
    spacing = [float(side) for side in done.value("spacing")]
    shape = np.ceil(found.extents / spacing).tolist()
    asked = Request(
        options.method,
        options.network or options.method.default,
        found.channels,
        len(classes.values) + 1 if classes else 0,
        options.small,
        options.gpu_memory,
        len(sets.pretraining),
        len(sets.training),
    )
    network = decide_network(asked, options.network is not None)
    sizes = choose_sizes(shape, spacing, asked)
    decided = [*decide_sizes(sizes, shape, asked), *_masks(found, sizes, asked, spacing)]
    if classes is not None:
        decided += decide_labels(classes, len(sets.training) + len(sets.validation))
        decided += decide_augmentation(classes, sizes.roi_size, spacing)
    decided += decide_contrast(options.method, sizes.batch_size)
    # A network's layer brings keys such as patch_size, which the plan decides itself.
    own = {(made.key, layer) for made in decided for layer in made.layers}
    done.made += [made for made in network if not {(made.key, layer) for layer in made.layers} & own]
    done.made += decided
    done.made += _schedule(done, sizes, sets, asked)
    return done


def _masks(found: Survey, sizes: Sizes, asked: Request, spacing: list[float]) -> list[Decision]:
    keys = pretraining_network(asked.method, asked.network, asked.small)
    own = work(keys.pop("architecture"), asked.channels, asked.channels, sizes.roi_size)
    return decide_masks(asked.method, keys, own, sizes.roi_size, spacing, structure_diameter(found))


def _schedule(done: Decided, sizes: Sizes, sets: Sets, asked: Request) -> list[Decision]:
    channels, spacing = done.value("channels"), done.value("spacing")
    rates = decide_rates(
        asked.method,
        asked.network,
        asked.small,
        sizes.segmentation is not None,
        {made.key for made in done.made if "pretrain" in made.layers},
    )

    def lengths(volumes: int, batch: int, samples: int, taken: Cost, layer: tuple[str, ...]) -> list[Decision]:
        planned = length(volumes, batch, samples, layer == PRETRAIN, taken, asked.small)
        return decide_length(planned, taken, asked.small, layer)

    first = lengths(len(sets.pretraining), sizes.batch_size, sizes.num_samples, sizes.pretraining, PRETRAIN)
    images = [*sets.pretraining, *sets.pretraining_validation]
    made = [*rates, *first, decide_cache(images, channels, spacing, PRETRAIN)]
    if sizes.segmentation is None:
        return made
    cases = [*sets.training, *sets.validation]
    second = lengths(len(sets.training), sizes.seg_batch_size, sizes.seg_num_samples, sizes.segmentation, SEGMENT)
    return [*made, *second, decide_cache(cases, channels, spacing, SEGMENT)]


def _label_warnings(found: Survey, sets: Sets, classes: Classes | None) -> list[str]:
    """Return what is wrong with the labels, or missing."""
    if classes is None:
        if not found.labelled:
            return ["No case has a label, so there is a layer for pretraining alone."]
        return [
            f"The list has {len(sets.training)} labelled cases for training and {len(sets.validation)} for"
            " validation, so there is no layer for segmentation: it needs both."
        ]
    warnings = []
    if classes.missing:
        absent = ", ".join(f"{found.labels[value]} ({value})" for value in classes.missing)
        warnings.append(f"None of the {classes.read} label maps read holds {absent}, which the list names.")
    if IGNORE in map(str.lower, classes.names):
        warnings.append(f"The list names the class {IGNORE!r}; the losses here learn it and do not ignore it.")
    if not classes.named:
        warnings.append("The list does not name every label value; label_names has names such as `value 7`.")
    return warnings
