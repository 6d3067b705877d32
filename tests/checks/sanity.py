"""An evaluator of tiny volumes for the tests of the sanity validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine
from monai.inferers import SlidingWindowInferer
from monai.metrics import DiceMetric
from monai.networks.nets import BasicUNet
from monai.transforms import AsDiscreted, Compose, LoadImaged, Spacingd, SpatialPadd
from torch import nn

DECIDE = Compose([AsDiscreted("pred", argmax=True)])
SPACING = (2.0, 2.0, 2.0)
WINDOW = 32
# In voxels of their own the first is the largest; of 2 mm the last, with about 24 x 39 x 40.
SHAPES = {"fine": ((48, 40, 36), (1, 1, 1)), "small": ((8, 8, 8), SPACING), "coarse": ((12, 26, 40), (4, 3, 2))}


def preprocessing(*more: Callable[..., Any]) -> Compose:
    keys = ["image", "label"]
    return Compose(
        [
            LoadImaged(keys, ensure_channel_first=True),
            Spacingd(keys, SPACING, mode=["bilinear", "nearest"]),
            SpatialPadd(keys, (WINDOW,) * 3),
            *more,
        ]
    )


class Recorder(SlidingWindowInferer):
    """Notes what it was given; may raise before or after the network has run."""

    def __init__(self, error: Exception | None = None, **arguments: Any) -> None:
        super().__init__((WINDOW,) * 3, sw_batch_size=2, overlap=0, **{"device": "cpu", **arguments})
        self.error = error
        self.seen: list[tuple[tuple[int, ...], bool, bool]] = []

    def __call__(self, inputs: Any, network: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append((tuple(inputs.shape), network.training, torch.is_grad_enabled()))
        output = super().__call__(inputs, network, *args, **kwargs)
        if self.error is not None:
            raise self.error
        return output


def network(in_channels: int = 1, seed: int = 0) -> BasicUNet:
    torch.manual_seed(seed)
    return BasicUNet(3, in_channels, 3, (4, 4, 4, 4, 4, 4), dropout=0.2)


class Forbidden:
    """A handler that no event of the sanity validation may reach."""

    def attach(self, engine: Any) -> None:
        for event in engine._allowed_events:
            engine.add_event_handler(event, self._called)

    def _called(self, *_: Any) -> None:
        raise AssertionError("a handler of the evaluator was called")


def evaluator_of(
    dataset: Any, inferer: Any = None, net: nn.Module | None = None, **more: Any
) -> SupervisedEvaluator:
    dice, take = DiceMetric(include_background=False, num_classes=3), from_engine(["pred", "label"])
    arguments: dict[str, Any] = {
        "device": torch.device("cpu"),
        "val_data_loader": DataLoader(dataset, batch_size=more.pop("batch_size", 1)),
        "network": net or network(),
        "inferer": inferer or Recorder(),
        "postprocessing": DECIDE,
        "key_val_metric": {"val_mean_dice": IgniteMetricHandler(dice, output_transform=take)},
        "val_handlers": [Forbidden()],
    }
    return SupervisedEvaluator(**{**arguments, **more})
