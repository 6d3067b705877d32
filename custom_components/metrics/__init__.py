"""Scores of pretext outputs and of segmentations, and their averages over a validation."""

from .pretext import OutputAverages, loss_terms, pretext_scores, term_metrics, validation_names
from .segmentation import check_score_regions, score_case, summarise

__all__ = [
    "OutputAverages",
    "check_score_regions",
    "loss_terms",
    "pretext_scores",
    "score_case",
    "summarise",
    "term_metrics",
    "validation_names",
]
