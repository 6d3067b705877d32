"""A network from an ONNX file: its output, any number of windows, and files that do not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from custom_components.faults import Fault
from custom_components.inference import OnnxNetwork

SIZE = [4, 6, 8]
NAMES = ["background", "organ"]


def write_doubled(path: Path, batch: int | str) -> Path:
    """A network that returns its two channels times two."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 2, *SIZE]) for name in ("image", "pred")
    ]
    node = helper.make_node("Add", ["image", "image"], ["pred"])
    graph = helper.make_graph([node], "doubled", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("windows", [1, 3])
def test_every_window_is_computed(batch: int | str, windows: int, tmp_path: Path) -> None:
    network = OnnxNetwork(write_doubled(tmp_path / "m.onnx", batch))
    image = torch.rand(windows, 2, *SIZE, dtype=torch.float64).transpose(2, 4).contiguous().transpose(2, 4)
    answer = network(image)
    assert answer.dtype == torch.float32
    assert torch.equal(answer, 2 * image.float())


def test_a_file_is_opened_at_the_first_use_and_checked(tmp_path: Path) -> None:
    network = OnnxNetwork(tmp_path / "m.onnx")
    with pytest.raises(Fault, match="m.onnx does not exist; mim3d export --to onnx writes one"):
        network(torch.zeros(1, 2, *SIZE))
    write_doubled(network.file, "batch")
    network.check(["CT", "PET"], NAMES, SIZE)
    with pytest.raises(Fault, match=r"takes \('batch', 2, 4, 6, 8\) .* this config needs \(1, 1, 4, 6, 8\)"):
        network.check(["CT"], NAMES, SIZE)
    with pytest.raises(Fault, match=r"returns \('batch', 2, 4, 6, 8\) .* needs \(1, 3, 4, 6, 8\)"):
        network.check(["CT", "PET"], [*NAMES, "tumour"], SIZE)
    with pytest.raises(Fault, match=r"takes .* needs \(1, 2, 8, 6, 4\)"):
        network.check(["CT", "PET"], NAMES, SIZE[::-1])


def test_another_file_and_a_missing_package_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_text("no network")
    with pytest.raises(Fault, match="m.onnx is not readable as ONNX: ") as caught:
        OnnxNetwork(tmp_path / "m.onnx")(torch.zeros(1, 2, *SIZE))
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Fault, match="ONNX Runtime is not installed: pip install onnxruntime"):
        OnnxNetwork(tmp_path / "m.onnx")(torch.zeros(1, 2, *SIZE))
