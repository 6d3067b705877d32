"""One pure function per loss term, and the combination that returns their sum and every term."""

from .combined import CombinedLoss
from .nt_xent import nt_xent
from .registry import REGISTRY, VIEWS, active_terms, outputs_read, supported_terms, term
from .terms import consistency_loss, count_loss, position_loss, reconstruction_loss

__all__ = ["REGISTRY", "VIEWS", "CombinedLoss", "active_terms", "outputs_read", "supported_terms", "term"]
__all__ += ["consistency_loss", "count_loss", "nt_xent", "position_loss", "reconstruction_loss"]
