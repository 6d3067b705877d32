"""Scores of pretext outputs and of segmentations."""

from .pretext import loss_terms, pretext_scores, term_metrics, validation_names
from .segmentation import check_score_regions, score_case, summarise

__all__ = ["check_score_regions", "loss_terms", "pretext_scores", "score_case", "summarise", "term_metrics"]
__all__ += ["validation_names"]
