"""What is HybridMIM's own in pretrain_hybridmim's configs, run one step in this process.

test_pretraining.py has what every pretraining bundle promises; test_pretraining_runs.py runs this one as a
user does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "pretrain_hybridmim"
#: A network and a view so small that a step takes a tenth of a second.
TINY: dict[str, Any] = {
    "device": torch.device("cpu"),
    "spacing": [1.0, 1.0, 1.0],
    "roi_size": [32, 32, 32],
    "patch_size": [8, 8, 8],
    "region_size": [16, 16, 16],
    "window_size": [16, 32, 32],
    "architecture#features": [4, 4, 8, 8, 16, 4],
    "contrast_features": 8,
    "num_samples": 1,
    "num_workers": 0,
    "epochs": 1,
    "warmup_share": 0.0,
    "holdout": 1,
}


def parse(*layers: str, **changes: Any) -> ConfigParser:
    """The merged configs, as ``monai.bundle run`` would hold them."""
    parser = ConfigParser()
    parser.read_config([str(BUNDLE / "configs" / name) for name in ("train.yaml", *layers)])
    parser["bundle_root"] = str(BUNDLE)
    for key, value in changes.items():
        parser[key] = value
    return parser


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory, write_nifti: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    for number in range(3):
        write_nifti(folder / f"case_{number}.nii.gz", (40, 36, 24), seed=number)
    return folder


def test_published_widths_are_the_defaults() -> None:
    unet = parse().get_parsed_content("architecture").keywords
    assert list(unet["features"]) == [64, 64, 128, 256, 512, 64]
    assert parse("swin_unetr.yaml").get_parsed_content("architecture").keywords["feature_size"] == 48
    assert parse().get_parsed_content("batch_size") >= 2


def test_the_published_recipe_is_a_layer() -> None:
    parser = parse("paper.yaml")
    expected = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
    weights = parser.get_parsed_content("loss_weights")
    assert {name: weight for name, weight in weights.items() if weight} == expected
    assert parser.get_parsed_content("mask_sampler").ratios == (0.4, 0.4)
    pretext = parser.get_parsed_content("pretext")
    assert (pretext.patch_size, pretext.window_size) == ((16,) * 3, (64,) * 3)
    assert pretext.corruption.noise == (0, 0)


# --- loss parts ----------------------------------------------------------------------------------------


def test_terms_are_the_parts_of_positive_weight() -> None:
    weights = {"reconstruction": 1.0, "count": 0.0, "position": 0.5, "consistency": 0, "contrast": 0.0}
    parser = parse(loss_weights=weights)
    assert parser.get_parsed_content("terms") == ["reconstruction", "position"]


HEADS = {"count": ("count_head",), "position": ("position_head",), "contrast": ("contrast_head",)}


@pytest.mark.parametrize("off", ["count", "position", "contrast"])
def test_part_of_weight_zero_has_no_head(off: str) -> None:
    parser = parse(**TINY, **{f"loss_weights#{off}": 0.0, "loss_weights#consistency": 0.0})
    pretext = parser.get_parsed_content("pretext")
    built = {name for name, _ in pretext.named_children()}
    assert {head for part, heads in HEADS.items() if part != off for head in heads} <= built
    assert not set(HEADS[off]) & built
    assert not [key for key in pretext.state_dict() if key.startswith(HEADS[off])]


def test_consistency_keeps_both_region_heads() -> None:
    pretext = parse(**TINY, **{"loss_weights#count": 0.0, "loss_weights#position": 0.0}).get_parsed_content(
        "pretext"
    )
    assert hasattr(pretext, "count_head")
    assert hasattr(pretext, "position_head")


# --- one step with every option ------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "uniform": {"mask_mode": "uniform"},
    "mean fill": {"fill": "mean"},
    "noise fill": {"fill": "noise"},
    "learned fill": {"fill": "learned"},
    "no window": {"window_size": None},
    "sigmoid and l1": {"output_activation": "sigmoid", "reconstruction_loss": "l1"},
    "first stage dropped": {"dropout": 0.3, "dropout_stages": ["conv_0"]},
    "no gradient in view 2": {"second_view_grad": False, "temperature": 0.1},
    "everything masked": {"mask_ratio": 1.0, "region_ratio": 1.0},
    "background": {"background_below": 0.2},
    "accumulation": {"accumulation_steps": 2, "grad_clip": None},
    "non-cubic patches": {"patch_size": [8, 8, 16], "region_size": [16, 16, 32]},
    "reconstruction only": {
        f"loss_weights#{part}": 0.0 for part in ("visible", "count", "position", "consistency", "contrast")
    },
    "no reconstruction": {"loss_weights#reconstruction": 0.0, "loss_weights#visible": 0.0},
    "contrast of the input": {"input_contrast": [0.8, 1.25], "flip_prob": [0.5, 0.0, 0.0]},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_trains_a_step(option: str, volumes: Path, tmp_path: Path) -> None:
    set_determinism(seed=0)
    changes = {
        **TINY,
        "dataset_dir": str(volumes),
        "output_dir": str(tmp_path),
        "ckpt_dir": str(tmp_path),
        **OPTIONS[option],
    }
    parser = parse(**changes, val_interval=2)
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    network = parser.get_parsed_content("pretext")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    trainer.run()
    terms = parser.get_parsed_content("terms")
    negatives = {"negatives"} if "contrast" in terms else set()
    assert set(trainer.state.output) == {"loss", *terms, *negatives}
    assert trainer.state.output["loss"] > 0
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("network.conv_0") for key in changed)
    assert ("token" in changed) == (option == "learned fill")
    assert any(key.startswith("network.final_conv") for key in changed) == ("reconstruction" in terms)


BACKBONES: dict[str, dict[str, Any]] = {
    "swin_unetr.yaml": {
        "architecture": {
            "_target_": "SwinUNETR",
            "_mode_": "callable",
            "in_channels": 1,
            "out_channels": 1,
            "feature_size": 12,
            "depths": [2, 1, 1, 1],
            "window_size": 4,
            "use_checkpoint": True,
        },
        "patch_size": [16, 16, 16],
        "region_size": [32, 32, 32],
        "roi_size": [64, 64, 32],
        "window_size": [32, 64, 32],
        "learning_rate": 1e-3,
    },
    "segresnet.yaml": {"architecture#init_filters": 8},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_trains_a_step(name: str, volumes: Path, tmp_path: Path) -> None:
    tiny = {key: value for key, value in TINY.items() if not key.startswith("architecture")}
    folders = {"dataset_dir": str(volumes), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path)}
    parser = parse(name, **{**tiny, **folders, "val_interval": 2, **BACKBONES[name]})
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    assert set(trainer.state.output) == {
        "loss",
        "reconstruction",
        "visible",
        "count",
        "position",
        "consistency",
        "contrast",
        "negatives",
    }


def test_four_channels_need_only_their_names(write_nifti: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(3):
        write_nifti(tmp_path / f"case_{number}.nii.gz", (40, 36, 24, 4), seed=number, spacing=(1.0, 1.0, 1.0))
    changes = {**TINY, "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out"), "val_interval": 2}
    parser = parse(**changes, channels=["T1", "T1c", "T2", "FLAIR"])
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    assert parser.get_parsed_content("network_def").final_conv.weight.shape[0] == 4
    assert trainer.state.output["loss"] > 0
