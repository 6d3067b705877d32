"""One class per method: a backbone and its heads, from an image and a mask to predictions and targets."""

from .hybridmim import HybridMIM
from .views import StageDropout

__all__ = ["HybridMIM", "StageDropout"]
