"""What can be wrong before a run, found before its first step."""

from .inference import guard_inference
from .preflight import guard_pretraining, guard_segmentation
from .sanity_validation import sanity_validate

__all__ = ["guard_inference", "guard_pretraining", "guard_segmentation", "sanity_validate"]
