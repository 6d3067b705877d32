"""Handlers that MONAI and ignite lack: exact seeding, weights with cards, averages, resume, pictures, reports."""

from .averaging import WeightAverage
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
    "WeightAverage",
    "reconstruction_panel",
]
