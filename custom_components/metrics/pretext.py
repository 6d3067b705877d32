"""Scores of pretext outputs beside the loss terms, and what a validation averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from ignite.metrics import Average, Metric, MetricsLambda
from torch import Tensor

from custom_components.averages import masked_mean
from custom_components.losses import REGISTRY, VIEWS, outputs_read

from .reconstruction import RECONSTRUCTION_SCORES, explained_names, explained_share, reconstruction_scores

Outputs = Mapping[str, Tensor]
#: Parts of the names of metrics of which higher values are better.
HIGHER_IS_BETTER = ("accuracy", "explained", "probe", "effective_rank")
#: Parts of the names of metrics that do not depend on the weights, or do not say which weights are better.
NO_CHOICE = ("negatives", "val_mean_fill", "val_gaussian_fill", "effective_rank")


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
    Score("count_logits", _count_scores, ("count_accuracy", "count_error")),
    Score("position_logits", _position_scores, ("position_accuracy",)),
)


def pretext_scores(
    outputs: Outputs, valid: Tensor | None = None, patch_size: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """Score a pretext network's outputs, for the heads that exist.

    A reconstruction: see `reconstruction_scores`.
    ``count_accuracy``: share of valid regions with the correct number of masked patches.
    ``count_error``: mean distance of the most likely number from the true one, in patches.
    ``position_accuracy``: share of valid patches that are correctly called masked or visible.

    Args:
        outputs: of a pretext network in eval mode, for the whole crop.
        valid: bool ``(B, 1, D, H, W)``; None: all voxels count.
        patch_size: voxels along each axis of a patch; None: the outputs hold no reconstruction.

    Raises:
        ValueError: for a reconstruction without ``patch_size``.
    """
    scores: dict[str, Tensor] = {}
    if "reconstruction" in outputs:
        if patch_size is None:
            raise ValueError("patch_size is None; a reconstruction is scored with the patch_size of its mask")
        scores = reconstruction_scores(outputs, valid, patch_size)
    return scores | {
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
    reconstruction = RECONSTRUCTION_SCORES if "reconstruction" in outputs else ()
    heads = [name for score in SCORES if score.reads in outputs for name in score.names]
    return ["loss", *measured, *reconstruction, *heads]


def term_metrics(names: Sequence[str], prefix: str = "val_") -> dict[str, Metric]:
    """Return one ignite metric for each named scalar of the engine's output: its average over batches and ranks.

    Where a masked error and a fill's error are named, the explained share of their averages follows.
    """
    averages: dict[str, Metric] = {name: Average(output_transform=itemgetter(name)) for name in names}
    shares: dict[str, Metric] = {
        name: MetricsLambda(explained_share, averages[error], averages[fill])
        for name, (error, fill) in explained_names(names).items()
    }
    return {prefix + name: metric for name, metric in (averages | shares).items()}


def key_metrics(names: Sequence[str], prefix: str = "val_") -> list[str]:
    """Return the validated values that can tell better weights from worse ones.

    Args:
        names: of the engine's output, see `validation_names`.
        prefix: of the metrics, see `term_metrics`.
    """
    metrics = [prefix + name for name in (*names, *explained_names(names))]
    return [name for name in metrics if not any(part in name for part in NO_CHOICE)]


def best_mode(metric: str) -> str:
    """Return ``"max"`` if higher values of a validated metric are better, else ``"min"``."""
    return "max" if any(part in metric for part in HIGHER_IS_BETTER) else "min"


def loss_terms(output: dict[str, float]) -> dict[str, float]:
    """Return the engine's output for MONAI's loggers (``output_transform``); it already holds scalars by name."""
    return output
