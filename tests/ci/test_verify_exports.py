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


@pytest.mark.slow
def test_an_export_that_differs_from_the_eager_network_fails(ci, run, tmp_path, monkeypatch):
    import checks_network

    root, _ = ci.package.package(ROOT / "bundles" / SAMPLE, tmp_path / "packed", layers=["smoke.yaml"])
    eager = checks_network.eager
    monkeypatch.setattr(checks_network, "eager", lambda packed: (eager(packed)[0], eager(packed)[1] * 1.01))
    results = run(root, ["ckpt_export (TorchScript)", "onnx_export (ONNX)"])
    assert [result.ok for result in results] == [False, False]
    assert all("of the largest value" in result.note for result in results)
