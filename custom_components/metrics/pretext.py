"""What a validation of a pretext network reports, beside its loss parts."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from ignite.metrics import Average
from torch import Tensor


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of ``values`` where ``where`` holds; 0 where it holds nowhere."""
    where = where.to(values.dtype)
    return (values * where).sum() / where.sum().clamp(min=1)


def pretext_accuracies(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scores of a pretext network's outputs, by name, for the heads that exist.

    ``masked_mae``: mean absolute error over masked valid voxels, in units of the network's input.
    ``visible_mae``: the same over visible voxels of the crop (padding included), which no loss term trains.
    ``count_accuracy``: share of valid regions whose number of masked patches is met.
    ``count_error``: mean distance of the most likely number from the true one, in patches.
    ``position_accuracy``: share of valid patches whose state, hidden or not, is met.
    """
    scores: dict[str, Tensor] = {}
    if "reconstruction" in outputs:
        # Normalised targets have no unit: then the painting, which is back in the image's, is what is scored.
        painted = outputs.get("painting", outputs["reconstruction"])
        target = outputs.get("rescaled_target", outputs["reconstruction_target"])
        error = (painted - target).abs().float().mean(1, keepdim=True)
        hidden = outputs["reconstruction_mask"]
        scores["masked_mae"], scores["visible_mae"] = _mean(error, hidden), _mean(error, ~hidden)
    if "count_logits" in outputs:
        distance = (outputs["count_logits"].argmax(-1) - outputs["count_target"]).abs().float()
        scores["count_accuracy"] = _mean((distance == 0).float(), outputs["region_valid"])
        scores["count_error"] = _mean(distance, outputs["region_valid"])
    if "position_logits" in outputs:
        met = (outputs["position_logits"] > 0) == outputs["position_target"].bool()
        scores["position_accuracy"] = _mean(met.float(), outputs["patch_valid"])
    return scores


def validation_names(terms: Sequence[str], views: bool = False) -> list[str]:
    """Names of everything that a `PretrainEvaluator` with `pretext_accuracies` measures for these terms.

    Args:
        terms: active loss terms.
        views: whether the data carry two views. Where dropout makes them, there are none in validation, and
            contrast is no part of it.
    """
    names = ["loss", *(term for term in terms if term != "contrast")]
    if views and "contrast" in terms:
        names += ["contrast", "negatives"]
    if "reconstruction" in terms:
        names += ["masked_mae", "visible_mae"]
    if {"count", "consistency"} & set(terms):
        names += ["count_accuracy", "count_error"]
    if {"position", "consistency"} & set(terms):
        names += ["position_accuracy"]
    return names


def term_metrics(names: Sequence[str], prefix: str = "val_") -> dict[str, Average]:
    """One ignite `Average` over batches (and ranks) for each named scalar of the engine's output."""
    return {prefix + name: Average(output_transform=itemgetter(name)) for name in names}


def loss_terms(output: dict[str, float]) -> dict[str, float]:
    """``output_transform`` for MONAI's loggers: the engine's output is the dictionary of parts already."""
    return output
