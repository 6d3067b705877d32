"""Handlers that MONAI and ignite lack: seeding, checkpoints, averages, resume, probe, pictures, reports."""

from .best_checkpoint import BestCheckpoint
from .dense_probe import DenseProbe, ProbeBeforeTraining
from .early_stopping import EarlyStopping
from .ema import EMA
from .feature_rank import FeatureRank
from .fill_warning import FillWarning
from .finite_loss import FiniteLoss
from .mlflow_log import MLFlowLog
from .pictures import ReconstructionPictures
from .pretext_report import PretextReport
from .progress import ProgressLog
from .resume import ResumeCheckpoint
from .seeding import ReseedEachEpoch
from .segmentation_report import SegmentationReport
from .stop_on_signal import StopOnSignal
from .tensorboard_log import TensorBoardLog
from .validation_curve import ValidationCurve, read_curve

__all__ = ["EMA", "BestCheckpoint", "DenseProbe", "EarlyStopping", "FeatureRank", "FillWarning", "FiniteLoss"]
__all__ += ["MLFlowLog", "PretextReport", "ProbeBeforeTraining", "ProgressLog", "ReconstructionPictures"]
__all__ += ["ReseedEachEpoch", "ResumeCheckpoint", "SegmentationReport", "StopOnSignal", "TensorBoardLog"]
__all__ += ["ValidationCurve", "read_curve"]
