"""What can be wrong before a run: one small class per check, and the preflight that calls them."""

from .factories import Factories
from .hyperparameters import Hyperparameters
from .intensities import Intensities
from .items import Batches, Cases, ContrastValidation, DistinctOutputs, ListedChannels
from .labels import LabelFiles, LabelSettings, LabelSource
from .masks import Masks
from .memory import CacheMemory, DiskSpace
from .networks import NetworkShape
from .overrides import Overrides
from .preflight import Preflight
from .sanity_validation import sanity_validate
from .schedule import KeyMetric, Resume, Schedule
from .weights import CompleteWeights, PretrainedWeights

__all__ = [
    "Batches",
    "CacheMemory",
    "Cases",
    "CompleteWeights",
    "ContrastValidation",
    "DiskSpace",
    "DistinctOutputs",
    "Factories",
    "Hyperparameters",
    "Intensities",
    "KeyMetric",
    "LabelFiles",
    "LabelSettings",
    "LabelSource",
    "ListedChannels",
    "Masks",
    "NetworkShape",
    "Overrides",
    "Preflight",
    "PretrainedWeights",
    "Resume",
    "Schedule",
    "sanity_validate",
]
