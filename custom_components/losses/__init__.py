"""One pure function per loss term, and the combination that returns their sum and every term."""

from custom_components.losses.combined import CombinedLoss
from custom_components.losses.nt_xent import nt_xent
from custom_components.losses.registry import REGISTRY, VIEWS, active_terms, outputs_read, supported_terms, term
from custom_components.losses.terms import (
    KINDS,
    consistency_loss,
    count_loss,
    position_loss,
    reconstruction_loss,
)

__all__ = [
    "KINDS",
    "REGISTRY",
    "VIEWS",
    "CombinedLoss",
    "active_terms",
    "consistency_loss",
    "count_loss",
    "nt_xent",
    "outputs_read",
    "position_loss",
    "reconstruction_loss",
    "supported_terms",
    "term",
]
