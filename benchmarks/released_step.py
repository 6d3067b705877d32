"""The step of the released HybridMIM code itself, from a clone of it, for pretrain_step.py.

The clone is https://github.com/ge-xing/HybridMIM (Apache-2.0); nothing of it is part of this repository.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from measuring import Stopwatch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

SIZE = 96  # voxels; the released code draws its masks for this crop alone
CELLS, WINDOW_START = 12, 4  # of the bottleneck along each axis: the crop, and where its decoded window begins
POOLS = ((2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 1, 1))


class ReleasedStep(nn.Module):
    """The released BasicUNet with its pretext heads; it masks its input itself."""

    def __init__(self, clone: Path, features: Sequence[int], window: bool, clock: Stopwatch) -> None:
        super().__init__()
        start = WINDOW_START if window else 0
        # The class changes the region's lists in place, so each network has its own.
        region = [[start] * 3, [CELLS] * 3]
        with redirect_stdout(sys.stderr):  # it prints its sizes
            self.network = load(clone, "pretrain_models.deep_unet_v2").DeepUNet(
                1, 1, list(features), dropout=0.1, pool_size=POOLS, select_reconstruct_region=region, pretrain=True
            )
        encode = self.network.forward_encoder
        first, second = clock.wrap("encoder", encode), clock.wrap("second view", encode)
        # Only the second view is encoded without gradient.
        self.network.forward_encoder = lambda x: (first if torch.is_grad_enabled() else second)(x)
        self.network.forward_decoder = clock.wrap("decoder", self.network.forward_decoder)

    def forward(self, image: Tensor, *_: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the released code; our mask and map of valid voxels are not read."""
        outputs: dict[str, Tensor] = self.network(image)
        return outputs

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW as the released code makes it: not fused."""
        return torch.optim.AdamW(self.parameters(), lr=1e-4, weight_decay=1e-3)


def load(clone: Path, module: str) -> ModuleType:
    """Import a module of the clone."""
    with patch.object(sys, "path", [str(clone / "Pretrain"), *sys.path]):
        return import_module(module)


def make_loss(clone: Path, weights: Mapping[str, float]) -> partial[dict[str, Tensor]]:
    """Return the loss of the released training: its functions, and how they are added up."""
    return partial(_loss, load(clone, "losses.loss"), weights)


def _loss(code: ModuleType, weights: Mapping[str, float], outputs: dict[str, Tensor], _: Any) -> dict[str, Tensor]:
    counts, positions = outputs["pred_mask_region"], outputs["pred_mask_region_position"]
    found = (positions.sigmoid() > 0.5).float().sum(-1)
    disagreement = code.forward_loss_mask(counts, found) + mse_loss(found, counts.argmax(-1).float())
    terms = {
        "reconstruction": code.forward_loss_reconstruct_mask(
            outputs["logits"].sigmoid(), outputs["images"], outputs["x_mask"], mask_value=0.0
        ),
        "count": code.forward_loss_mask(counts, outputs["mask_labels"]),
        "position": code.forward_loss_mask_position(positions, outputs["mask_position_lables"]),
        "consistency": disagreement / 2,
        "contrast": code.forward_constrast_loss(outputs["contrast_pred_1"], outputs["contrast_pred_2"]),
    }
    loss = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
    return {"loss": loss, **terms}
