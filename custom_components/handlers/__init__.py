"""Handlers that MONAI and ignite lack: exact seeding, weights with cards, resume, pictures, reports."""

from .evaluation import EvaluationReport
from .pictures import ReconstructionPictures, SaveReconstructionPaneld, reconstruction_panel
from .progress import ProgressLog
from .report import MetricsReport
from .resume import ResumePoint, WarmupCosine
from .seeding import ReseedEachEpoch
from .weights import BestWeights

__all__ = [
    "BestWeights",
    "EvaluationReport",
    "MetricsReport",
    "ProgressLog",
    "ReconstructionPictures",
    "ReseedEachEpoch",
    "ResumePoint",
    "SaveReconstructionPaneld",
    "WarmupCosine",
    "reconstruction_panel",
]
