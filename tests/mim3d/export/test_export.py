"""``mim3d export``: files that compute what the network computes, and no file where they do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import Tensor, nn

from custom_components.inference import OnnxNetwork
from mim3d import cli
from mim3d.catalog import BUNDLES, NETWORKS
from mim3d.export import formats, run
from mim3d.export.compare import difference
from mim3d.export.formats import read
from mim3d.package.pack import package
from tests.exit_status import exit_status

SMALL = {"roi_size": [32, 32, 48], "architecture#features": [4, 4, 8, 8, 16, 4]}
KEYS = [word for key, value in SMALL.items() for word in (f"--{key}", str(value))]
BUNDLE = "seg_msd_hippocampus"
KINDS = pytest.mark.parametrize(("kind", "suffix"), [("torchscript", ".ts"), ("onnx", ".onnx")])
Export = Callable[..., tuple[int, str]]


def make_network(**keys: object) -> nn.Module:
    file = str(BUNDLES / BUNDLE / "configs" / "inference.yaml")
    made = ConfigWorkflow([file], workflow_type="infer", logging_file=False, **keys)
    torch.manual_seed(0)
    network: nn.Module = made.parser.get_parsed_content("network_def")
    return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return make_network(**SMALL)


@pytest.fixture(scope="module")
def weights(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's weights, nested as trainers nest them."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save({"state_dict": network.state_dict()}, path)
    return path


@pytest.fixture
def export(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    """``export("--to", "onnx")``: exit status, and what is printed; the file goes to ``tmp_path/out``."""

    def end(*words: str, bundle: str = BUNDLE, name: str = "m.onnx", keys: list[str] = KEYS) -> tuple[int, str]:
        line = ["export", bundle, "--weights", str(weights), "--out", str(tmp_path / "out" / name), *words, *keys]
        status = exit_status(*line)
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return end


@pytest.mark.slow
@KINDS
def test_an_export_computes_what_the_network_computes_for_any_number_of_windows(
    kind: str, suffix: str, export: Export, network: nn.Module, tmp_path: Path
) -> None:
    status, text = export("--to", kind, name=f"m{suffix}")
    assert status == 0, text
    assert f"m{suffix}: {kind}, " in text
    assert re.search(r"on random windows: largest difference \S+ .* differs in 0 of 98304 voxels; allowed: ", text)
    exported = read(kind, tmp_path / "out" / f"m{suffix}")
    for windows in (1, 3):
        image = torch.randn(windows, 1, 32, 32, 48)
        with torch.no_grad():
            torch.testing.assert_close(exported(image), network(image), rtol=1e-4, atol=1e-4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"m{suffix}"]


def test_a_volume_is_compared_with_sliding_windows(export: Export, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(100, 20, (40, 24, 50)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii.gz")
    status, text = export("--to", "torchscript", "--compare", str(tmp_path / "a.nii.gz"), name="m.ts")
    assert status == 0, text
    assert f"on {tmp_path}/a.nii.gz: largest difference" in text
    assert f"differs in 0 of {40 * 32 * 50} voxels" in text  # the second axis is padded to a window
    status, text = export("--to", "torchscript", "--compare", str(tmp_path / "b.nii.gz"), name="n.ts")
    assert (status, text.count("\n")) == (1, 1)
    assert "b.nii.gz" in text
    assert not (tmp_path / "out" / "n.ts").exists()


def test_a_packed_zip_is_exported(export: Export, tmp_path: Path) -> None:
    _, packed = package(BUNDLES / BUNDLE, tmp_path / "packed")
    status, text = export("--to", "torchscript", bundle=str(packed), name="m.ts")
    assert status == 0, text
    packed.write_bytes(packed.read_bytes()[:-100])
    status, text = export("--to", "torchscript", bundle=str(packed), name="n.ts")
    assert (status, text.count("\n")) == (1, 1)
    assert f"{packed} is damaged or not a zip" in text


@pytest.mark.slow
@KINDS
def test_no_file_is_left_of_an_export_that_differs(
    kind: str, suffix: str, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> Tensor:
            answer: Tensor = 1.001 * self.network(image)
            return answer

    monkeypatch.setattr(run, "read", lambda kind, file: Other(formats.read(kind, file)))
    status, text = export("--to", kind, name=f"m{suffix}")
    assert (status, text.count("\n")) == (1, 1)
    assert re.search(r"differs too much from the network: largest difference \S+ \(1.0e-03 of the largest", text)
    assert list((tmp_path / "out").iterdir()) == []
    assert export("--to", kind, "--tolerance", "0.01", name=f"m{suffix}")[0] == 0


@pytest.mark.parametrize(
    ("words", "options", "status", "message"),
    [
        (["--to", "onnx"], {"name": "m.ts"}, 2, "m.ts must end in .onnx for --to onnx"),
        (["--to", "tensorrt"], {}, 2, "invalid choice: 'tensorrt'"),
        (["--to", "onnx"], {"bundle": "pretrain_mae", "keys": []}, 1, "pretrain_mae is no segmentation bundle"),
        (["--to", "onnx"], {"bundle": "seg_btcvv"}, 1, "'seg_btcvv' is not a bundle"),
        (["--to", "onnx"], {"bundle": "none.zip"}, 1, "none.zip does not exist; give a bundle's name"),
        (["--to", "onnx", "--weights", "none.pt"], {}, 1, "weights file none.pt does not exist"),
        (["--to", "onnx"], {"keys": []}, 1, "do not fit this BasicUNet"),
        (["--to", "onnx", "--layer", "none.yaml"], {}, 1, "--layer none.yaml does not exist"),
        (["--to", "onnx", "--tolerance", "-1"], {}, 2, "--tolerance"),
        (["--to", "onnx", "--roi_sice", "1"], {}, 1, "unknown key --roi_sice.*did you mean --roi_size?"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], options: dict[str, object], status: int, message: str, export: Export, tmp_path: Path
) -> None:
    ended, text = export(*words, **options)
    assert (ended, text.count("\n")) == (status, 1), text
    assert re.search(message, text), text
    assert not (tmp_path / "out").exists()


def test_a_missing_package_and_an_existing_file_are_named(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    status, text = export("--to", "onnx")
    assert (status, text) == (1, "error: --to onnx needs onnx and onnxruntime: pip install onnx onnxruntime\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.onnx").write_text("mine")
    status, text = export("--to", "onnx")
    assert status == 2
    assert "m.onnx exists; --overwrite replaces a file" in text
    assert (tmp_path / "out" / "m.onnx").read_text(encoding="utf-8") == "mine"


def test_the_difference_is_that_of_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    expected, answer = torch.randn(2, 3, 2, 3, 4, generator=generator)
    found = difference(expected, answer, lambda output: output.argmax(0, keepdim=True))
    largest, classes = 0.0, 0
    for place in np.ndindex(2, 3, 4):
        pairs = [(expected[(channel, *place)].item(), answer[(channel, *place)].item()) for channel in range(3)]
        largest = max([largest, *(abs(a - b) for a, b in pairs)])
        classes += int(np.argmax([a for a, _ in pairs]) != np.argmax([b for _, b in pairs]))
    assert found.largest == pytest.approx(largest)
    assert found.share == pytest.approx(largest / expected.abs().max().item())
    assert (found.classes, found.voxels) == (classes, 24)
    with pytest.raises(ValueError, match=r"the export returns \(2, 2, 3, 4\), the network \(3, 2, 3, 4\)"):
        difference(expected, answer[:2], lambda output: output)
    with pytest.raises(ValueError, match="the export returns values that are not finite"):
        difference(expected, answer / 0, lambda output: output)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "basic_unet"])
@KINDS
def test_every_network_is_exported_for_any_number_of_windows(
    kind: str, suffix: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = [64, 32, 32] if name == "swin_unetr" else [32, 32, 48]
    keys = {"roi_size": size, **{f"architecture#{key}": value for key, value in NETWORKS[name].tiny.items()}}
    layer = BUNDLES / BUNDLE / "configs" / f"{name}.yaml"
    files = [str(BUNDLES / BUNDLE / "configs" / "inference.yaml"), str(layer)]
    made = ConfigWorkflow(files, workflow_type="infer", logging_file=False, **keys)
    network = made.parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    out = tmp_path / f"m{suffix}"
    words = ["export", BUNDLE, "--layer", layer.name, "--weights", str(tmp_path / "model.pt"), "--to", kind]
    cli.main(
        [*words, "--out", str(out), *(word for key, value in keys.items() for word in (f"--{key}", str(value)))]
    )
    exported, image = read(kind, out), torch.randn(3, 1, *size)
    assert not isinstance(exported, OnnxNetwork) or exported.input_shape[0] == "batch"
    with torch.no_grad():
        torch.testing.assert_close(exported(image), network(image), rtol=1e-4, atol=1e-4)
