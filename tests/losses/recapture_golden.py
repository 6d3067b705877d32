"""Write golden.json anew after a change that is meant: ``python tests/losses/recapture_golden.py``.

The inputs are arithmetic, without a random generator, so that the values hold on every version and machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from custom_components.losses import CombinedLoss

GOLDEN = Path(__file__).with_name("golden.json")
WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}


def wave(*shape: int, step: float) -> torch.Tensor:
    """Return numbers in [-1, 1] that do not repeat."""
    number = torch.Size(shape).numel()
    return torch.sin(step * torch.arange(1, number + 1, dtype=torch.float64)).reshape(shape)


def golden_outputs(channels: int) -> dict[str, torch.Tensor]:
    """Return what a pretext network might, for two crops of 4×2×6 voxels and three regions of 8 patches."""
    patch_valid = wave(2, 3, 8, step=0.9) > -0.8
    patch_valid[1, 2] = False
    position = (wave(2, 3, 8, step=1.7) > 0.2) & patch_valid
    return {
        "reconstruction": wave(2, channels, 4, 2, 6, step=0.37),
        "reconstruction_target": wave(2, channels, 4, 2, 6, step=0.61),
        "reconstruction_mask": wave(2, 1, 4, 2, 6, step=1.3) > 0.1,
        "count_logits": 3 * wave(2, 3, 9, step=0.53),
        "count_target": position.sum(dim=2),
        "position_logits": 3 * wave(2, 3, 8, step=0.71),
        "position_target": position,
        "patch_valid": patch_valid,
        "region_valid": patch_valid.any(dim=2),
        "view_1": wave(2, 5, step=0.83),
        "view_2": wave(2, 5, step=0.97),
    }


def measure() -> dict[str, dict[str, float]]:
    """Return every term of the loss for each case."""
    found = {}
    for channels in (1, 4):
        for kind in ("mse", "l1"):
            values = CombinedLoss(WEIGHTS, reconstruction=kind)(golden_outputs(channels), torch.tensor([0, 1]))
            found[f"{kind}, {channels} channels"] = {name: value.item() for name, value in values.items()}
    return found


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(measure(), indent=2) + "\n")
    print(f"wrote {GOLDEN.name}")
