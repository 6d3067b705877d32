"""A step with every option of the pretraining bundles, in this process.

Networks are tiny. test_pretraining.py looks at the configs themselves,
test_pretraining_transfers.py at where the weights go from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from monai.utils import set_determinism
from torch import Tensor

from custom_components.data import lists
from custom_components.masking import valid_patches
from custom_components.transfer import read_card
from tests.bundles.pretraining import NAMES, tiny, trained_of
from tests.bundles.pretraining_steps import SINCOS, Load, Option, places, tensors

pytestmark = pytest.mark.slow
OTHERS = [name for name in NAMES if name != "pretrain_hybridmim"]
IDLE = "norm_cross_attn"  # MONAI builds it into each block and reads it nowhere
#: Terms that a method is trained with; a network that reconstructs the whole image has ``visible`` too.
PARTS = {
    "pretrain_hybridmim": {
        "reconstruction",
        "visible",
        "count",
        "position",
        "consistency",
        "contrast",
        "negatives",
    },
    "pretrain_simclr": {"contrast", "negatives"},
}


def test_the_data_list_is_read_once_for_checks_datasets_and_card(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    read = lists.read_list
    monkeypatch.setattr(lists, "read_list", lambda *given: calls.append(given[0]) or read(*given))
    parser = tiny("pretrain_simclr", **places(volumes, tmp_path))
    parser.get_parsed_content("preflight")()
    for key in ("train#dataloader", "validate#dataset", "card"):
        parser.get_parsed_content(key)
    assert calls == [volumes]


def train(parser: ConfigParser) -> dict[str, Tensor]:
    """Run without pictures and TensorBoard; returns the pretext network's tensors from before."""
    for key in ("train#handlers", "validate#handlers"):
        parser[key] = [each for each in parser[key] if not re.search("TensorBoard|Pictures", str(each))]
    trainer, pretext = (parser.get_parsed_content(key) for key in ("train#trainer", "pretext"))
    parser.get_parsed_content("ema").attach(trainer)
    before = tensors(pretext)
    trainer.run()
    return before


OPTIONS: dict[str, Option] = {
    "MAE": ("pretrain_mae", None, {}),
    "MAE block": ("pretrain_mae", None, {"mask_mode": "block"}),
    "MAE foreground": ("pretrain_mae", None, {"mask_mode": "foreground"}),
    "MAE range": ("pretrain_mae", None, {"mask_ratio": [0.5, 0.9]}),
    "MAE sincos": ("pretrain_mae", None, SINCOS),
    "MAE normalised": ("pretrain_mae", None, {"normalize_targets": True}),
    "MAE mse": ("pretrain_mae", None, {"reconstruction_loss": "mse"}),
    "MAE deeper": ("pretrain_mae", None, {"decoder_depth": 2}),
    "MAE without background": ("pretrain_mae", None, {"background_below": 0.2}),
    "MAE accumulated": ("pretrain_mae", None, {"accumulation_steps": 2, "grad_clip": None, "batch_size": 1}),
    "MAE non-cubic": ("pretrain_mae", None, {"roi_size": [32, 48, 64], "patch_size": [16, 16, 32]}),
    "MAE patch 8": ("pretrain_mae", "unetr_patch8.yaml", {"patch_size": [8, 8, 8]}),
    "MAE patch 8, units of 16": ("pretrain_mae", "unetr_patch8.yaml", {}),
    "DenseMAE": ("pretrain_mae", "basic_unet.yaml", {}),
    "DenseMAE light": ("pretrain_mae", "basic_unet.yaml", {"decoder": "light"}),
    "DenseMAE learned": ("pretrain_mae", "basic_unet.yaml", {"fill": "learned"}),
    "DenseMAE SegResNet": ("pretrain_mae", "segresnet.yaml", {"normalize_targets": True}),
    "SimMIM": ("pretrain_simmim", None, {}),
    "SimMIM block": ("pretrain_simmim", None, {"mask_mode": "block"}),
    "SimMIM sincos": ("pretrain_simmim", None, SINCOS),
    "SimMIM patch 8": ("pretrain_simmim", "unetr_patch8.yaml", {}),
    "SimMIM Swin": ("pretrain_simmim", "swin_unetr.yaml", {"roi_size": [64, 32, 32], "patch_size": [8, 16, 16]}),
    "SimCLR": ("pretrain_simclr", None, {}),
    "SimCLR patch 8": ("pretrain_simclr", "unetr_patch8.yaml", {}),
    "SimCLR BasicUNet": ("pretrain_simclr", "basic_unet.yaml", {}),
    "SimCLR SegResNet": ("pretrain_simclr", "segresnet.yaml", {}),
    "SimCLR Swin": ("pretrain_simclr", "swin_unetr.yaml", {}),
    "HybridMIM block": ("pretrain_hybridmim", None, {"mask_mode": "block"}),
    "HybridMIM foreground": ("pretrain_hybridmim", None, {"mask_mode": "foreground"}),
    "HybridMIM range": ("pretrain_hybridmim", None, {"mask_ratio": [0.3, 0.6]}),
    "HybridMIM patch 8": ("pretrain_hybridmim", "unetr_patch8.yaml", {}),
}


def is_trained(key: str, prefixes: tuple[str, ...], positions: str) -> bool:
    """Whether a step changes this tensor of a pretext network."""
    if IDLE in key or "relative_position_index" in key:
        return False
    if positions == "sincos" and key.endswith(("position_embeddings", "decoder.positions")):
        return False
    return not key.startswith("network.") or key.removeprefix("network.").startswith(prefixes)


@pytest.mark.parametrize("name", OPTIONS)
def test_option_trains_what_its_method_trains_and_nothing_else(
    name: str, volumes: Path, tmp_path: Path, load: Load
) -> None:
    bundle, layer, changes = OPTIONS[name]
    set_determinism(seed=0)
    parser = tiny(bundle, layer, **{**places(volumes, tmp_path), **changes})
    before = train(parser)
    output = parser.get_parsed_content("train#trainer").state.output
    dense = {"visible"} if name.startswith("DenseMAE") else set()
    assert set(output) == {"loss", *PARTS.get(bundle, {"reconstruction"} | dense)}
    assert 0 < output["loss"] < 100
    assert output.get("negatives", 2) == 2, "two views of the one other volume"
    pretext = parser.get_parsed_content("pretext")
    after, prefixes = pretext.state_dict(), trained_of(bundle, layer, changes.get("decoder", "full"))
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed == {key for key in after if is_trained(key, prefixes, changes.get("positions", "learned"))}
    validated = parser.get_parsed_content("validate#evaluator").state.metrics
    assert set(validated) == {*parser.get_parsed_content("validate#key_metric"), "val_effective_rank"}
    assert 0 < validated["val_loss"] < 100
    saved = load(tmp_path / "model.pt")
    assert all(torch.equal(saved[key], value) for key, value in pretext.network.state_dict().items())
    assert set(load(tmp_path / "pretext.pt")) == set(after)


@pytest.mark.parametrize("bundle", ["pretrain_mae", "pretrain_simmim"])
def test_fixed_positions_are_those_of_sines_and_cosines(bundle: str) -> None:
    pretext = tiny(bundle, roi_size=[48, 32, 16], **SINCOS).get_parsed_content("pretext")
    found = pretext.network.vit.patch_embedding.position_embeddings
    torch.testing.assert_close(found.data, build_sincos_position_embedding([3, 2, 1], 24).data)


@pytest.mark.parametrize("bundle", [name for name in NAMES if name != "pretrain_simclr"])
def test_a_range_of_mask_ratios_gives_each_step_one_of_them(bundle: str, volumes: Path, tmp_path: Path) -> None:
    set_determinism(seed=0)
    masks = {"mask_ratio": [0.3, 0.6], "patch_size": [8, 8, 8], "num_samples": 2}
    loader = tiny(bundle, **{**places(volumes, tmp_path), **masks}).get_parsed_content("train#dataloader")
    shares = []
    for batch in (batch for _ in range(8) for batch in loader):
        valid = valid_patches(batch["valid"], (8, 8, 8))
        assert not (batch["mask"] & ~valid).any()
        hidden = [mask.sum() / there.sum() for mask, there in zip(batch["mask"], valid, strict=True)]
        shares.append({round(float(share), 2) for share in hidden})
    assert {len(step) for step in shares} == {1}, "one ratio for the whole batch"
    assert all(0.29 <= share <= 0.61 for step in shares for share in step)
    assert len(set.union(*shares)) > 3


@pytest.mark.parametrize("bundle", NAMES)
def test_an_average_of_the_weights_is_what_is_validated_and_saved(
    bundle: str, volumes: Path, tmp_path: Path, load: Load
) -> None:
    set_determinism(seed=0)
    parser = tiny(bundle, **places(volumes, tmp_path), ema_decay=0.9, epochs=3, val_interval=3, learning_rate=0.01)
    train(parser)
    last, average = parser.get_parsed_content("pretext"), parser.get_parsed_content("ema").module
    assert parser.get_parsed_content("validate#evaluator").network is average
    for file, own, averaged in (("model.pt", last.network, average.network), ("pretext.pt", last, average)):
        saved, own = load(tmp_path / file), own.state_dict()
        assert all(torch.equal(saved[key], value) for key, value in averaged.state_dict().items())
        prefix = "" if file == "pretext.pt" else "network."
        differing = {key for key, value in own.items() if not torch.equal(saved[key], value)}
        prefixes = trained_of(bundle, None)
        buffers = {name for name, _ in (last if file == "pretext.pt" else last.network).named_buffers()}  # copied
        assert differing == {key for key in own if is_trained(prefix + key, prefixes, "learned")} - buffers


@pytest.mark.parametrize("bundle", OTHERS)
def test_four_channels_need_only_their_names(
    bundle: str, write_nifti: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(4):
        write_nifti(tmp_path / f"case_{number}.nii.gz", (40, 36, 24, 4), seed=number)
    changes = {**places(tmp_path, tmp_path / "out"), "channels": ["FLAIR", "T1", "T1ce", "T2"]}
    parser = tiny(bundle, **changes)
    train(parser)
    assert parser.get_parsed_content("pretext").backbone.in_channels == 4
    assert 0 < parser.get_parsed_content("train#trainer").state.output["loss"] < 100
    card = read_card(tmp_path / "out" / "model.pt")
    assert card is not None
    assert card["view"]["channels"] == changes["channels"]
