"""The dense probe: how well a linear classifier segments from frozen features, while pretraining runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.networks.utils import eval_mode
from torch import Tensor

from custom_components.backbones import Backbone
from custom_components.data import DataList, LabelledCrop, draw_voxels, labelled_crops, probe_cases
from custom_components.distributed import gather_objects, rank, sum_over_ranks, world_size
from custom_components.faults import Fault
from custom_components.metrics import (
    PROBE_METRICS,
    ProbeSums,
    balanced_accuracy,
    confusion,
    mean_dice,
    sample_features,
)
from custom_components.pretext.base import PretextNetwork

from .validation_curve import ValidationCurve

logger = logging.getLogger(__name__)
#: Crops of one volume, and largest number of voxels of one class that a crop gives to the fit.
CROPS, VOXELS = 2, 500


class DenseProbe:
    """After a validation, fit a linear classifier on frozen features and score it on validation volumes.

    The features are those of all encoder scales, upsampled, of the unmasked image. The classifier is fitted on
    labelled cases of ``training`` and scored on those of ``validation``, in crops that never change. It adds to
    the evaluator's metrics:

    ``val_probe_dice``: mean Dice of the label values but 0, over the voxels of all validation crops.
    ``val_probe_accuracy``: balanced accuracy, the mean share of voxels found over label values; here all values
    are taken to be equally frequent.

    Training does not change: weights, modes and random generators stay as they were. Ranks share the cases. The
    crops are read once and stay in memory. Attach it before the handlers that read the metrics.

    Args:
        data_list: the list; without labelled cases in both sections the probe does nothing.
        transform: see `custom_components.data.labelled_crops`.
        roi_size: voxels of a crop.
        interval: epochs between probes; None: no probe.
        volumes: largest number of cases that it is fitted on, and of those that it is scored on.
        seed: the crops and voxels depend on it and on the volumes only.
    """

    def __init__(
        self,
        data_list: DataList,
        transform: Callable[[Any], Any],
        roi_size: Sequence[int],
        interval: int | None,
        volumes: int = 8,
        seed: int = 0,
    ) -> None:
        self.data_list, self.transform, self.roi_size = data_list, transform, tuple(roi_size)
        self.interval, self.volumes, self.seed = interval, volumes, seed
        self._crops: tuple[list[LabelledCrop], list[LabelledCrop]] | None = None
        self._values: list[int] = []

    def attach(self, engine: Engine) -> None:
        """Attach to a `PretrainEvaluator`, whose network is a `PretextNetwork`."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Probe if it is due; otherwise remove the former values, which are not of these weights."""
        for name in PROBE_METRICS:
            engine.state.metrics.pop(name, None)
        if self.interval is None or engine.state.epoch % self.interval:
            return
        engine.state.metrics.update(self.measure(engine.network, engine.state.device))

    def measure(self, network: PretextNetwork, device: torch.device) -> dict[str, float]:
        """Return the scores of a network; none without labelled cases. All ranks must call it."""
        training, validation = probe_cases(self.data_list, self.volumes)
        if not (training and validation):
            return {}
        start = time.perf_counter()
        self._read(training, validation)
        with eval_mode(network):
            scores = self._probe(network.backbone, device)
        logger.info("dense probe: Dice %.4f, %.1f s", scores["val_probe_dice"], time.perf_counter() - start)
        return scores

    def _read(self, training: list[Any], validation: list[Any]) -> None:
        """Read this rank's crops, and find the label values of all crops that the probe is fitted on."""
        if self._crops is not None:
            return
        fitted, scored = (
            [
                crop
                for item in cases[rank() :: world_size()]
                for crop in labelled_crops(item, self.transform, self.roi_size, CROPS, self.seed)
            ]
            for cases in (training, validation)
        )
        found = {int(value) for crop in fitted for value in crop.label[crop.valid].unique()}
        values = sorted({0}.union(*gather_objects(found)))
        if len(values) == 1:
            raise Fault(
                f"the labels of the {len(training)} training cases that the dense probe reads are 0 everywhere; "
                "correct the data list, or set probe_interval to null"
            )
        self._crops, self._values = (fitted, scored), values

    def _probe(self, backbone: Backbone, device: torch.device) -> dict[str, float]:
        assert self._crops is not None
        fitted, scored = self._crops
        blank = torch.zeros(1, backbone.in_channels, *self.roi_size, device=device)
        sums = ProbeSums(len(self._values), sum(s.shape[1] for s in encoder_scales(backbone, blank)), device)
        for crop in fitted:
            voxels, classes = (t.to(device) for t in draw_voxels(crop, self._values, VOXELS))
            sampled = sample_features(encoder_scales(backbone, crop.image.to(device)), voxels, self.roi_size)
            numbers = [int(((crop.label == value) & crop.valid).sum()) for value in self._values]
            sums.add(sampled, classes, torch.tensor(numbers, device=device))
        sum_over_ranks(sums.total)
        probe, number = sums.fit(), len(self._values)
        found = torch.zeros(2, number + 1, number + 1, dtype=torch.long, device=device)
        for crop in scored:
            scores = probe.scores(encoder_scales(backbone, crop.image.to(device)), self.roi_size)[0]
            true, valid = self._classes(crop.label).to(device), crop.valid.to(device)
            likely = scores + probe.log_prior[:, None, None, None]
            found += torch.stack(
                [confusion(s.argmax(0)[valid], true[valid], number + 1) for s in (likely, scores)]
            )
        likely, balanced = sum_over_ranks(found)
        return dict(zip(PROBE_METRICS, (mean_dice(likely), balanced_accuracy(balanced)), strict=True))

    def _classes(self, label: Tensor) -> Tensor:
        """Return class numbers; values that no training crop holds share one number that is never predicted."""
        values = torch.tensor(self._values, dtype=label.dtype)
        place = torch.searchsorted(values, label).clamp(max=len(values) - 1)
        return torch.where(values[place] == label, place, len(values))


class ProbeBeforeTraining:
    """Probe the network before its first step; the scores are epoch 0 of the validation curve.

    Args:
        probe: the probe; with its interval null nothing is measured.
        network: the pretext network.
        curve: the table that gets the row.
        resume: whether the run continues another one, which has measured this.
    """

    def __init__(
        self, probe: DenseProbe, network: PretextNetwork, curve: ValidationCurve, resume: bool = False
    ) -> None:
        self.probe, self.network, self.curve = probe, network, curve
        self.due = probe.interval is not None and not resume

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.due:
            engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Measure, and write the row if there are labelled cases."""
        scores = self.probe.measure(self.network, engine.state.device)
        if scores:
            self.curve.add(0, scores)


def encoder_scales(backbone: Backbone, image: Tensor) -> list[Tensor]:
    """Return the features of all encoder stages, the bottleneck in place of the last one."""
    encoded = backbone.encode(image)
    return [*(encoded.stages[name] for name in backbone.stages[:-1]), encoded.bottleneck]
