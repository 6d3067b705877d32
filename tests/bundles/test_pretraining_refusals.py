"""What pretraining refuses in one line: wrong keys, and data that are missing, damaged or too few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundles.commands import Command, Result

pytestmark = pytest.mark.slow
Run = Callable[..., ConfigWorkflow]
SWIN = {"_target_": "SwinUNETR", "_mode_": "callable", "in_channels": 1, "out_channels": 1, "feature_size": 12}
Wrong = tuple[str, dict[str, Any], str]
#: What a user may do wrong: method, keys, and what the one line must say.
WRONG: dict[str, Wrong] = {
    "misspelled key": ("simmim", {"mask_ration": 0.5}, "'mask_ration' (nearest: 'mask_ratio')"),
    "ratio over 1": ("mae", {"mask_ratio": 1.5}, "mask_ratio"),
    "one volume in a batch": ("simclr", {"batch_size": 1}, "needs 2 volumes in a batch, found batch_size 1"),
}
WRONG_TOO: dict[str, Wrong] = {
    "patch smaller than the token": ("mae", {"patch_size": [8, 8, 8]}, "UNETR's token of 16 voxels"),
    "patch across tokens": ("simmim", {"patch_size": [32, 32, 8]}, "(32, 32, 8) is not a multiple of"),
    "nothing masked": ("simmim", {"mask_ratio": 0}, "mask_ratio is 0: nothing would be masked"),
    "a rate that is text": ("mae", {"learning_rate": "1e-4"}, "learning_rate is '1e-4'; allowed: a number"),
    "no crops": ("simclr", {"num_samples": 0}, "num_samples is 0; allowed: a whole number at least 1"),
    "no volumes": ("mae", {"batch_size": 0}, "batch_size is 0; allowed: a whole number at least 1"),
    "range turned round": ("mae", {"mask_ratio": [0.9, 0.5]}, "mask_ratio"),
    "block of parts of patches": ("simmim", {"block_size": [24, 32, 32]}, "block_size"),
    "unknown mode": ("mae", {"mask_mode": "two_level"}, "region_size is missing"),
    "Swin under MAE": ("mae", {"architecture": SWIN}, "found SwinUNETR; allowed: UNETR, UNETRPatch8"),
    "heads that do not divide": ("mae", {"decoder_heads": 5}, "decoder_heads 5"),
    "unknown positions": ("simmim", {"positions": "fixed"}, "positions is 'fixed'; allowed: learned, sincos"),
    "fewer volumes than a batch": ("simclr", {"batch_size": 5}, "4 training case(s) fill no batch of 5 volumes"),
    "a metric that is not measured": ("simclr", {"key_metric": "val_masked_mae"}, "val_loss, val_contrast"),
    "no patience": ("simclr", {"patience": 0}, "patience is 0; allowed: null or a whole number at least 1"),
    "a probe between validations": (
        "simclr",
        {"val_interval": 1, "probe_interval": 3, "key_metric": "val_probe_accuracy"},
        "probe_interval is 3; allowed: val_interval (1)",
    ),
    "no projection": ("simclr", {"projection_features": 0}, "projection_features is 0"),
    "roi of parts of patches": (
        "mae",
        {"roi_size": [40, 32, 32]},
        "roi_size (40, 32, 32) is not a multiple of patch_size (16, 16, 16)",
    ),
    "roi of parts of tokens": ("simclr", {"roi_size": [40, 32, 32]}, "roi_size (40, 32, 32) does not fit UNETR"),
}


def only_error(result: Result) -> str:
    """The last line of a failed run, which is its one error and comes without a traceback."""
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.strip().splitlines()[-1:] == errors
    assert "Traceback" not in result.stderr
    return errors[0]


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_ends_with_one_line_before_anything_is_written(
    case: str, pretrain_command: Command, tmp_path: Path
) -> None:
    method, keys, message = WRONG[case]
    result = pretrain_command(method, tmp_path / "out", ok=False, epochs=1, **keys)
    assert message in only_error(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", ["empty folder", "truncated file"])
def test_bad_data_end_with_one_line_that_names_their_place(
    case: str, phantoms: Path, pretrain_command: Command, tmp_path: Path
) -> None:
    volumes = tmp_path / "data"
    volumes.mkdir()
    if case == "truncated file":
        for number, file in enumerate(sorted((phantoms / "imagesUn").iterdir())):
            content = file.read_bytes()
            (volumes / file.name).write_bytes(content[: len(content) // 2] if number == 1 else content)
    result = pretrain_command("hybridmim", tmp_path / "out", ok=False, epochs=1, dataset_dir=volumes)
    assert str(volumes) in only_error(result)
    assert not list((tmp_path / "out").glob("*.pt"))


@pytest.mark.parametrize("case", WRONG_TOO)
def test_the_preflight_names_bad_input_before_anything_is_written(
    case: str, pretrain: Run, tmp_path: Path
) -> None:
    method, keys, message = WRONG_TOO[case]
    with pytest.raises(SystemExit) as error:
        pretrain(method, tmp_path / "out", epochs=1, **keys)
    assert str(error.value).startswith("error: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_contrast_is_not_validated_on_one_volume(phantoms: Path, pretrain: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: 1 validation case\(s\); contrast needs 2 volumes"):
        pretrain(
            "simclr",
            tmp_path / "out",
            dataset_dir=str(phantoms / "imagesUn"),
            holdout=1,
            epochs=1,
            key_metric="val_loss",
        )
    assert not (tmp_path / "out").exists()
