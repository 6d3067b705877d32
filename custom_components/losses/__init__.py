"""One pure function per loss term, and the combination that returns the sum and every part."""

from custom_components.losses.combined import NEEDS, TERMS, CombinedLoss, active_terms
from custom_components.losses.nt_xent import nt_xent
from custom_components.losses.terms import (
    KINDS,
    consistency_loss,
    count_loss,
    position_loss,
    reconstruction_loss,
)

__all__ = [
    "KINDS",
    "NEEDS",
    "TERMS",
    "CombinedLoss",
    "active_terms",
    "consistency_loss",
    "count_loss",
    "nt_xent",
    "position_loss",
    "reconstruction_loss",
]
