"""One class per method: a backbone and its heads, from an image and a mask to predictions and targets."""

from .dense_mae import DenseMAE
from .embedding import PooledFeatures
from .hybridmim import HybridMIM
from .mae import MAE
from .reconstruction_wrapper import ReconstructionWrapper
from .simclr import SimCLR
from .simmim import SimMIM
from .stage_dropout import StageDropout

__all__ = [
    "MAE",
    "DenseMAE",
    "HybridMIM",
    "ReconstructionWrapper",
    "PooledFeatures",
    "SimCLR",
    "SimMIM",
    "StageDropout",
]
