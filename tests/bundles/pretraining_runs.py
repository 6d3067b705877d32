"""What the runs of every pretraining method share: its sizes and options, and what it logs."""

from __future__ import annotations

from typing import Any

from mim3d.catalog import METHODS
from tests.bundles.pretraining import network_of, small

VIEW = {"spacing": [8.0, 8.0, 8.0], "roi_size": [32, 32, 32]}
TINY = {**VIEW, "num_samples": 1, "batch_size": 2, "warmup_share": 0.1, "val_interval": 1}
#: Each method's own sizes and options: those that inference has too, and the others.
SHARED: dict[str, dict[str, Any]] = {
    "hybridmim": {"patch_size": [8, 8, 8], "region_size": [16, 16, 16], "contrast_features": 8},
    "mae": {"decoder_width": 24, "decoder_heads": 2, "mask_ratio": [0.5, 0.8]},
    "simmim": {"mask_mode": "block", "mask_ratio": 0.5, "block_size": [32, 32, 32], "normalize_targets": True},
    "simclr": {},
}
OWN: dict[str, dict[str, Any]] = {
    "hybridmim": {**SHARED["hybridmim"], "window_size": [16, 32, 32]},
    "mae": {**SHARED["mae"], "ema_decay": 0.5},
    "simmim": SHARED["simmim"],
    "simclr": {"projection_width": 16, "projection_features": 8, "key_metric": "val_probe_dice"},
}
WORKERS = {"hybridmim": 0, "mae": 0, "simmim": 2, "simclr": 0}
REGIONS = {"count", "position", "consistency"}
FILLS = {f"{fill}_{error}" for fill in ("mean_fill", "gaussian_fill") for error in ("mae", "mse")}
EXPLAINED = {f"explained_{error}_{fill}" for fill in ("mean_fill", "gaussian_fill") for error in ("mae", "mse")}
RECONSTRUCTED = {"reconstruction", "masked_mae", "masked_mse", "visible_mae", *FILLS, *EXPLAINED}
#: Of every method, because the phantoms have labels.
FEATURES = {"effective_rank", "probe_dice", "probe_accuracy"}
#: What each method logs beside the loss, in training and in validation.
TRAINED = {
    "hybridmim": {"reconstruction", "visible", *REGIONS, "contrast", "negatives"},
    "mae": {"reconstruction"},
    "simmim": {"reconstruction"},
    "simclr": {"contrast", "negatives"},
}
VALIDATED = {
    "hybridmim": {*RECONSTRUCTED, "visible", *REGIONS, "count_accuracy", "count_error", "position_accuracy"},
    "mae": RECONSTRUCTED,
    "simmim": RECONSTRUCTED,
    "simclr": {"contrast", "negatives"},
}
for name in METHODS:  # what a method without an entry has
    OWN.setdefault(name, SHARED.setdefault(name, {}))
    WORKERS.setdefault(name, 0)
    TRAINED.setdefault(name, {"reconstruction"})
    VALIDATED[name] = VALIDATED.get(name, RECONSTRUCTED) | FEATURES
NETWORK = {method: network_of(f"pretrain_{method}", None) for method in OWN}
SMALL = {method: small(network) for method, network in NETWORK.items()}
