"""One class per method: a backbone with its heads, from an image and a mask to predictions and targets."""

from .corruption import InputCorruption
from .dense_mae import DenseMAE
from .hybridmim import HybridMIM
from .mae import MAE
from .simclr import PooledFeatures, SimCLR, pooled_bottleneck
from .simmim import SimMIM
from .stage_dropout import StageDropout

__all__ = ["MAE", "DenseMAE", "HybridMIM", "InputCorruption", "PooledFeatures", "SimCLR", "SimMIM", "StageDropout"]
__all__ += ["pooled_bottleneck"]
