"""What MONAI's engines lack: pretraining steps, learning-rate schedule, and reconstruction of whole volumes."""

from .lr_schedule import WarmupCosine
from .panels import SaveReconstructionPaneld, reconstruction_panel, save_figure
from .parameter_groups import parameter_groups
from .precision import AutocastInferer, autocast, mixed_precision
from .pretraining import PretrainEvaluator, PretrainTrainer, prepare_pretrain_batch, prepare_view_batch
from .reconstruction import MaskedWindowInferer, prepare_reconstruction_batch

__all__ = ["PretrainEvaluator", "PretrainTrainer", "WarmupCosine", "prepare_pretrain_batch", "prepare_view_batch"]
__all__ += ["MaskedWindowInferer", "SaveReconstructionPaneld", "prepare_reconstruction_batch"]
__all__ += ["AutocastInferer", "autocast", "mixed_precision"]
__all__ += ["parameter_groups", "reconstruction_panel", "save_figure"]
