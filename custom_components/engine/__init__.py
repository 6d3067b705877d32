"""What MONAI's trainer lacks: pretraining steps whose loss has several terms, and the learning-rate schedule."""

from .lr_schedule import WarmupCosine
from .pretraining import PretrainEvaluator, PretrainTrainer, prepare_pretrain_batch, prepare_view_batch

__all__ = [
    "PretrainEvaluator",
    "PretrainTrainer",
    "WarmupCosine",
    "prepare_pretrain_batch",
    "prepare_view_batch",
]
