"""How many directions pooled features use."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> float:
    """Return the effective rank: the exponential of the entropy of the normalised singular values.

    The mean over volumes is removed first, because features of all volumes share a large common part. If all
    volumes have the same features (collapse), the value is 0; if they differ along one direction, 1; at most it is
    the number of volumes minus 1, or the number of features. NaN if a feature is not finite.

    Args:
        features: ``(N, F)``, one row per volume.
    """
    values = features.double()
    if not values.isfinite().all():
        return math.nan
    singular = torch.linalg.svdvals(values - values.mean(0))
    # Features are computed in float32 or less: smaller differences are rounding.
    singular = singular[singular > values.norm() * torch.finfo(torch.float32).eps]
    if not len(singular):
        return 0.0
    share = singular / singular.sum()
    return float(torch.exp(-(share * share.log()).sum()))
