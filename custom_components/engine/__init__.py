"""What MONAI's trainer lacks: pretraining steps with several loss parts, and guards that fail early."""

from .guard import guard_pretraining, guard_segmentation
from .guard_inference import guard_inference
from .metrics import loss_parts, part_metrics, pretext_accuracies, validation_names
from .pretraining import PretrainEvaluator, PretrainTrainer, prepare_pretrain_batch, prepare_view_batch
from .rehearsal import rehearse_validation

__all__ = [
    "PretrainEvaluator",
    "PretrainTrainer",
    "guard_inference",
    "guard_pretraining",
    "guard_segmentation",
    "loss_parts",
    "part_metrics",
    "prepare_pretrain_batch",
    "prepare_view_batch",
    "pretext_accuracies",
    "rehearse_validation",
    "validation_names",
]
