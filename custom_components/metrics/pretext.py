"""Scores of pretext outputs beside the loss terms, and the averages that a validation reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from ignite.engine import Engine, Events
from ignite.metrics import Average
from torch import Tensor

from custom_components.averages import masked_mean
from custom_components.distributed import gather_objects
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
    ``visible_mae``: the same over visible voxels (padding included), which no loss term trains.
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
        terms: active loss terms.
        views: whether the validation data carry two views. HybridMIM's views are made by dropout in training only.
    """
    outputs = outputs_read(terms) if views else outputs_read(terms) - VIEWS
    measured = [name for term in terms if outputs_read([term]) <= outputs for name in REGISTRY[term].returns]
    return ["loss", *measured, *(name for score in SCORES if score.reads in outputs for name in score.names)]


class OutputAverages:
    """Handler that averages every scalar of the engine's output over all batches and ranks.

    The averages go into ``engine.state.metrics`` under the scalar's name with the prefix ``val_``.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, before handlers that read the metrics."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self.values: dict[str, list[float]] = {}

    def _add(self, engine: Engine) -> None:
        output: Any = engine.state.output
        for name, value in output.items():
            self.values.setdefault(name, []).append(value)

    def _finish(self, engine: Engine) -> None:
        values: dict[str, list[float]] = {}
        for of_one_rank in gather_objects(self.values):
            for name, found in of_one_rank.items():
                values.setdefault(name, []).extend(found)
        engine.state.metrics.update({f"val_{name}": sum(found) / len(found) for name, found in values.items()})


def term_metrics(names: Sequence[str], prefix: str = "val_") -> dict[str, Average]:
    """Return one ignite `Average` for each named scalar of the engine's output."""
    return {prefix + name: Average(output_transform=itemgetter(name)) for name in names}


def loss_terms(output: dict[str, float]) -> dict[str, float]:
    """Return the engine's output for MONAI's loggers (``output_transform``); it already holds scalars by name."""
    return output
