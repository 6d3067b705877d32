"""Handlers that MONAI and ignite lack: exact seeding, weights with cards, averages, resume, pictures, reports."""

from .best_checkpoint import BestCheckpoint
from .ema import EMA
from .pictures import ReconstructionPictures, SaveReconstructionPaneld, reconstruction_panel
from .pretext_report import PretextReport
from .progress import ProgressLog
from .resume import ResumeCheckpoint
from .seeding import ReseedEachEpoch
from .segmentation_report import SegmentationReport

__all__ = [
    "BestCheckpoint",
    "SegmentationReport",
    "PretextReport",
    "ProgressLog",
    "ReconstructionPictures",
    "ReseedEachEpoch",
    "ResumeCheckpoint",
    "SaveReconstructionPaneld",
    "EMA",
    "reconstruction_panel",
]
