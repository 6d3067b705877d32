"""What runs the network of a packed bundle: that its checks pass on every bundle, and fail on what is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.name for path in (ROOT / "bundles").glob("*/configs"))
#: The bundle that is broken in one way at a time.
SAMPLE = "seg_btcv"


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_small_network_loads_runs_and_is_exported(command, bundle):
    """The shipped bundle with its smoke layer merged in: every check, exports included."""
    done = command(bundle, "--layer", "smoke.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("monai.bundle.load", "inference runs", "ckpt_export", "onnx_export"):
        assert f"ok   {name}" in done.stdout


@pytest.mark.slow
def test_network_checks_fail_on_nested_weights_and_on_other_outputs(ci, run, tmp_path):
    root, _ = ci.package.package(ROOT / "bundles" / SAMPLE, tmp_path / "packed", layers=["smoke.yaml"])
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 13
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    assert [result.ok for result in run(root, ["verify_net_in_out", "one tensor out"])] == [False, True]
    (root / "models").mkdir()
    torch.save({"model": {"weight": torch.zeros(1)}}, root / "models" / "model.pt")
    shutil.rmtree(tmp_path / "scratch")
    names = ["model.pt is a flat state dict", "monai.bundle.load", "inference runs", "one tensor out"]
    assert not any(result.ok for result in run(root, names))


def packed_small(ci, tmp_path, bundle):
    """A pretraining bundle packed in small form."""
    root, _ = ci.package.package(ROOT / "bundles" / bundle, tmp_path / "packed", layers=["smoke.yaml"])
    return root


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["pretrain_mae", "pretrain_simmim"])
def test_inference_that_paints_fails_without_its_head_or_its_reconstruction(ci, run, tmp_path, bundle):
    root = packed_small(ci, tmp_path, bundle)
    configs = root / "configs" / "inference.json"
    content = json.loads(configs.read_text())
    steps = content["postprocessing"]["transforms"]
    content["postprocessing"]["transforms"] = [s for s in steps if s.get("output_postfix") != "reconstruction"]
    configs.write_text(json.dumps(content))
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "wanted one reconstruction" in result.note
    (root / "models").mkdir()
    torch.save({"network.out.weight": torch.zeros(1)}, root / "models" / "pretext.pt")
    shutil.rmtree(tmp_path / "scratch")
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "pretext.pt do not fit" in result.note


@pytest.mark.slow
def test_inference_that_describes_fails_without_a_row_per_volume(ci, run, tmp_path):
    root = packed_small(ci, tmp_path, "pretrain_simclr")
    configs = root / "configs" / "inference.json"
    content = json.loads(configs.read_text())
    content["dataset"]["data"] = "$[{'image': image} for image in @images * 2]"
    configs.write_text(json.dumps(content))
    (result,) = run(root, ["inference runs"])
    assert not result.ok
    assert "wanted one of" in result.note


@pytest.mark.slow
def test_an_export_that_differs_from_the_eager_network_fails(ci, run, tmp_path, monkeypatch):
    import checks_exports

    root, _ = ci.package.package(ROOT / "bundles" / SAMPLE, tmp_path / "packed", layers=["smoke.yaml"])
    eager = checks_exports.eager
    monkeypatch.setattr(checks_exports, "eager", lambda packed: (eager(packed)[0], eager(packed)[1] * 1.01))
    results = run(root, ["ckpt_export (TorchScript)", "onnx_export (ONNX)"])
    assert [result.ok for result in results] == [False, False]
    assert all("of the largest value" in result.note for result in results)
