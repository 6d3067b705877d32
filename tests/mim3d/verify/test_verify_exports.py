"""What runs the network of a packed bundle: its checks pass on every bundle, and fail on what is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mim3d.catalog import BUNDLES
from mim3d.package.pack import package
from mim3d.verify import checks, checks_exports
from mim3d.verify.registry import CHECKS, HEAVY

pytestmark = pytest.mark.slow
#: The bundle that is broken in one way at a time.
SAMPLE = "seg_btcv"
#: The other bundles are rendered from the same layouts; before a release, `mim3d verify` checks each of them.
ONE_OF_EACH_KIND = (SAMPLE, "seg_brats", "pretrain_hybridmim", "pretrain_mae", "pretrain_simclr")


def packed_small(tmp_path: Path, bundle: str) -> Path:
    """A bundle packed with its smoke layer."""
    return package(BUNDLES / bundle, tmp_path / "packed", layers=["smoke.yaml"])[0]


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("bundle", ONE_OF_EACH_KIND)
def test_a_small_network_loads_runs_and_is_exported(command: Any, bundle: str) -> None:
    """The shipped bundle with its smoke layer merged in: the checks that `verify --skip-exports` leaves out."""
    assert checks  # importing it registers all checks
    names = [name for name, (group, _) in CHECKS.items() if group in HEAVY]
    only = [word for name in names for word in ("--only", name)]
    done = command("verify", bundle, "--layer", "smoke.yaml", *only)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in names:
        assert f"ok   {name}" in done.stdout


def test_network_checks_fail_on_nested_weights_and_on_other_outputs(run: Any, tmp_path: Path) -> None:
    root = packed_small(tmp_path, SAMPLE)
    edit(
        root / "configs" / "metadata.json",
        lambda content: content["network_data_format"]["outputs"]["pred"].update(num_channels=13),
    )
    assert [result.ok for result in run(root, ["verify_net_in_out", "one tensor out"])] == [False, True]
    (root / "models").mkdir()
    torch.save({"model": {"weight": torch.zeros(1)}}, root / "models" / "model.pt")
    shutil.rmtree(tmp_path / "scratch")
    names = ["model.pt is a flat state dict", "monai.bundle.load", "inference runs", "one tensor out"]
    assert not any(result.ok for result in run(root, names))


@pytest.mark.parametrize("bundle", ["pretrain_mae", "pretrain_simmim"])
def test_inference_fails_without_its_reconstruction_or_its_head(run: Any, tmp_path: Path, bundle: str) -> None:
    root = packed_small(tmp_path, bundle)

    def drop(content: Any) -> None:
        steps = content["postprocessing"]["transforms"]
        steps[:] = [step for step in steps if step.get("output_postfix") != "reconstruction"]

    edit(root / "configs" / "inference.json", drop)
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "wanted one reconstruction" in result.note
    (root / "models").mkdir()
    torch.save({"network.out.weight": torch.zeros(1)}, root / "models" / "pretext.pt")
    shutil.rmtree(tmp_path / "scratch")
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "pretext.pt do not fit" in result.note


def test_inference_of_features_fails_without_one_row_per_volume(run: Any, tmp_path: Path) -> None:
    root = packed_small(tmp_path, "pretrain_simclr")
    twice = "$[{'image': image} for image in @images * 2]"
    edit(root / "configs" / "inference.json", lambda content: content["dataset"].update(data=twice))
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "wanted one of" in result.note


def test_an_export_that_differs_from_the_eager_network_fails(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, eager = packed_small(tmp_path, SAMPLE), checks_exports.eager
    monkeypatch.setattr(checks_exports, "eager", lambda packed: (eager(packed)[0], eager(packed)[1] * 1.01))
    results = run(root, ["ckpt_export (TorchScript)", "onnx_export (ONNX)"])
    assert [result.ok for result in results] == [False, False]
    assert all("of the largest value" in result.note for result in results)
