"""What can be wrong before a run: one small class per check, and the preflight that calls them."""

from .bad_cases import BadCases, BadCasesFile
from .compilation import Compilation
from .factories import Factories
from .folders import OutputFolder
from .hyperparameters import Hyperparameters, Switches
from .intensities import Intensities
from .items import Batches, Cases, ContrastValidation, DistinctOutputs, LabelMaps, ListedChannels
from .labels import LabelFiles, LabelSettings, LabelSource
from .masks import Masks
from .memory import CacheMemory, DiskSpace
from .networks import NetworkShape
from .overrides import Overrides
from .preflight import Preflight
from .probe import Probe
from .resume import Resume
from .rotation import RotationPlane
from .run_folder import RunFolder, RunLock
from .run_record import RunRecord
from .sanity_validation import sanity_validate
from .schedule import KeyMetric, Schedule
from .store import StoredVolumes
from .tracking import Tracking
from .weights import CompleteWeights, PretrainedWeights
from .window import WindowSize

__all__ = [
    "BadCases",
    "BadCasesFile",
    "Batches",
    "CacheMemory",
    "Cases",
    "Compilation",
    "CompleteWeights",
    "ContrastValidation",
    "DiskSpace",
    "DistinctOutputs",
    "Factories",
    "Hyperparameters",
    "Intensities",
    "KeyMetric",
    "LabelFiles",
    "LabelMaps",
    "LabelSettings",
    "LabelSource",
    "ListedChannels",
    "Masks",
    "NetworkShape",
    "OutputFolder",
    "Overrides",
    "Preflight",
    "PretrainedWeights",
    "Probe",
    "Resume",
    "RotationPlane",
    "RunFolder",
    "RunLock",
    "RunRecord",
    "Schedule",
    "StoredVolumes",
    "Switches",
    "Tracking",
    "WindowSize",
    "sanity_validate",
]
