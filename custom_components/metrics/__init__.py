"""Scores of pretext outputs, of features and of segmentations."""

from .features import effective_rank
from .fills import gaussian_fill, mean_fill
from .linear_probe import (
    PROBE_METRICS,
    LinearProbe,
    ProbeSums,
    balanced_accuracy,
    confusion,
    mean_dice,
    sample_features,
)
from .pretext import best_mode, key_metrics, loss_terms, pretext_scores, term_metrics, validation_names
from .reconstruction import explained_share, reconstruction_scores
from .segmentation import check_score_regions, score_case, summarise

__all__ = [
    "PROBE_METRICS",
    "LinearProbe",
    "ProbeSums",
    "balanced_accuracy",
    "best_mode",
    "check_score_regions",
    "confusion",
]
__all__ += ["effective_rank", "explained_share", "gaussian_fill", "key_metrics", "loss_terms", "mean_dice"]
__all__ += ["mean_fill", "pretext_scores", "reconstruction_scores", "sample_features", "score_case", "summarise"]
__all__ += ["term_metrics", "validation_names"]
