"""One class per method: a backbone and its heads, from an image and a mask to predictions and targets."""

from .dense import DenseMAE
from .embedding import PooledFeatures
from .hybridmim import HybridMIM
from .mae import MAE
from .painter import Painter
from .simclr import SimCLR
from .simmim import SimMIM
from .views import StageDropout

__all__ = ["MAE", "DenseMAE", "HybridMIM", "Painter", "PooledFeatures", "SimCLR", "SimMIM", "StageDropout"]
