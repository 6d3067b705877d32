"""Handlers that MONAI and ignite lack: seeding, checkpoints with cards, averages, resume, pictures, reports."""

from .best_checkpoint import BestCheckpoint
from .ema import EMA
from .finite_loss import FiniteLoss
from .pictures import ReconstructionPictures
from .pretext_report import PretextReport
from .progress import ProgressLog
from .resume import ResumeCheckpoint
from .seeding import ReseedEachEpoch
from .segmentation_report import SegmentationReport
from .stop_on_signal import StopOnSignal
from .tensorboard_log import TensorBoardLog

__all__ = [
    "EMA",
    "BestCheckpoint",
    "FiniteLoss",
    "PretextReport",
    "ProgressLog",
    "ReconstructionPictures",
    "ReseedEachEpoch",
]
__all__ += ["ResumeCheckpoint", "SegmentationReport", "StopOnSignal", "TensorBoardLog"]
