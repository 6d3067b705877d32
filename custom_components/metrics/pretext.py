"""Scores of pretext outputs beside the loss terms, and what a validation averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from ignite.metrics import Average
from torch import Tensor

from custom_components.averages import masked_mean
from custom_components.losses import REGISTRY, VIEWS, outputs_read

Outputs = Mapping[str, Tensor]


def _reconstruction_scores(outputs: Outputs) -> tuple[Tensor, Tensor]:
    # Normalised targets have no unit: score the reconstruction that was scaled back to the image's unit.
    reconstruction = outputs.get("rescaled_reconstruction", outputs["reconstruction"])
    target = outputs.get("rescaled_target", outputs["reconstruction_target"])
    error = (reconstruction - target).abs().float().mean(1, keepdim=True)
    masked = outputs["reconstruction_mask"]
    return masked_mean(error, masked), masked_mean(error, ~masked)


def _count_scores(outputs: Outputs) -> tuple[Tensor, Tensor]:
    distance = (outputs["count_logits"].argmax(-1) - outputs["count_target"]).abs().float()
    valid = outputs["region_valid"]
    return masked_mean((distance == 0).float(), valid), masked_mean(distance, valid)


def _position_scores(outputs: Outputs) -> tuple[Tensor]:
    correct = (outputs["position_logits"] > 0) == outputs["position_target"].bool()
    return (masked_mean(correct.float(), outputs["patch_valid"]),)


class Score(NamedTuple):
    """Scores that one function computes.

    Attributes:
        reads: the output that must exist.
        function: from outputs to one scalar per name.
        names: names of the scalars.
    """

    reads: str
    function: Callable[[Outputs], tuple[Tensor, ...]]
    names: tuple[str, ...]


SCORES = (
    Score("reconstruction", _reconstruction_scores, ("masked_mae", "visible_mae")),
    Score("count_logits", _count_scores, ("count_accuracy", "count_error")),
    Score("position_logits", _position_scores, ("position_accuracy",)),
)


def pretext_scores(outputs: Outputs) -> dict[str, Tensor]:
    """Score a pretext network's outputs, for the heads that exist.

    ``masked_mae``: mean absolute error over masked valid voxels, in units of the network's input.
    ``visible_mae``: the same over visible voxels (padding included); only the loss term ``visible`` trains them.
    ``count_accuracy``: share of valid regions with the correct number of masked patches.
    ``count_error``: mean distance of the most likely number from the true one, in patches.
    ``position_accuracy``: share of valid patches that are correctly called masked or visible.
    """
    return {
        name: value
        for score in SCORES
        if score.reads in outputs
        for name, value in zip(score.names, score.function(outputs), strict=True)
    }


def validation_names(terms: Sequence[str], views: bool = False) -> list[str]:
    """Return the names of everything that a validation measures for these terms, from the registered functions.

    Args:
        terms: active loss terms; unknown names are ignored here, because the loss refuses them.
        views: whether the validation data carry two views. HybridMIM's views are made by dropout in training only.
    """
    known = [term for term in terms if term in REGISTRY]
    outputs = outputs_read(known) if views else outputs_read(known) - VIEWS
    measured = [name for term in known if outputs_read([term]) <= outputs for name in REGISTRY[term].returns]
    return ["loss", *measured, *(name for score in SCORES if score.reads in outputs for name in score.names)]


def term_metrics(names: Sequence[str], prefix: str = "val_") -> dict[str, Average]:
    """Return one ignite `Average` over batches and ranks for each named scalar of the engine's output."""
    return {prefix + name: Average(output_transform=itemgetter(name)) for name in names}


def loss_terms(output: dict[str, float]) -> dict[str, float]:
    """Return the engine's output for MONAI's loggers (``output_transform``); it already holds scalars by name."""
    return output
