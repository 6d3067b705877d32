"""The released code itself is not here: a stand-in with its names, its lists changed in place and its prints."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch

NETWORK = """
import torch
from torch import nn

class DeepUNet(nn.Module):
    def __init__(self, channels, out, features, dropout, pool_size, select_reconstruct_region, pretrain):
        super().__init__()
        self.told = channels, out, features, dropout, pretrain
        self.region = [list(corner) for corner in select_reconstruct_region]
        select_reconstruct_region[0][0] = 99
        print("features", features)
        self.encoder, self.decoder = nn.Conv3d(1, 4, 1), nn.Conv3d(4, 1, 1)
        self.heads = nn.ModuleList([nn.Linear(4, 9), nn.Linear(4, 8)])

    def forward_encoder(self, x):
        return self.encoder(x)

    def forward_decoder(self, x):
        return self.decoder(x)

    def forward(self, x):
        masked = x * (x > 0.5)
        features = self.forward_encoder(masked)
        with torch.no_grad():
            again = self.forward_encoder(masked)
        regions = features.flatten(2).transpose(1, 2)[:, :27]
        return {
            "logits": self.forward_decoder(features), "images": x, "x_mask": masked,
            "pred_mask_region": self.heads[0](regions), "pred_mask_region_position": self.heads[1](regions),
            "mask_labels": torch.full((len(x), 27), 3), "mask_position_lables": torch.ones(len(x), 27, 8),
            "contrast_pred_1": features.flatten(2).mean(-1), "contrast_pred_2": again.flatten(2).mean(-1),
        }
"""
LOSSES = """
def forward_loss_reconstruct_mask(pred, labels, mask_image, mask_value):
    assert mask_value == 0.0
    return ((pred - labels) ** 2)[mask_image == 0].mean()

def forward_loss_mask(pred, labels):
    return pred.mean() + labels.float().mean()

def forward_loss_mask_position(pred, labels):
    return (pred - labels).abs().mean()

def forward_constrast_loss(first, second):
    return (first + second).mean()
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    for name, text in (("pretrain_models/deep_unet_v2.py", NETWORK), ("losses/loss.py", LOSSES)):
        (file := tmp_path / "Pretrain" / name).parent.mkdir(parents=True)
        file.write_text(dedent(text), encoding="utf-8")
        for module in (name.removesuffix(".py").replace("/", "."), name.split("/")[0]):
            monkeypatch.setitem(sys.modules, module, None)  # so that what a test imports goes afterwards
            del sys.modules[module]
    return tmp_path


@pytest.fixture
def script(load_script):
    return load_script("released_step")


@pytest.fixture
def step(clone, script, load_script):
    clock = load_script("measuring").Stopwatch(torch.device("cpu"))
    return lambda window=True: (script.ReleasedStep(clone, [4, 4, 8, 8, 16], window, clock), clock)


def test_the_network_is_built_as_the_released_training_builds_it(step, capsys):
    (windowed, _), (whole, _) = step(True), step(False)
    assert windowed.network.told == (1, 1, [4, 4, 8, 8, 16], 0.1, True)
    assert windowed.network.region == [[4, 4, 4], [12, 12, 12]]  # 64 of 96 voxels at stride 8
    assert whole.network.region == [[0, 0, 0], [12, 12, 12]]
    assert capsys.readouterr().out == ""  # the table goes to stdout
    assert not windowed.make_optimizer().defaults["fused"]


def test_both_encodings_and_the_decoder_are_timed_apart(step):
    network, clock = step()
    network(torch.rand(2, 1, 4, 4, 4))
    assert [name for name, *_ in clock.marks] == ["encoder", "second view", "decoder"]


def test_the_loss_is_the_weighted_sum_of_the_released_terms(clone, script, step):
    torch.manual_seed(0)
    out = step()[0](torch.rand(2, 1, 4, 4, 4))
    weights = {"reconstruction": 1.0, "count": 0.1, "position": 0.2, "consistency": 0.01, "contrast": 0.5}
    found = script.make_loss(clone, weights)(out, None)
    counts, positions = out["pred_mask_region"], out["pred_mask_region_position"]
    masked = out["x_mask"] == 0
    squares = (1 / (1 + (-out["logits"]).exp()) - out["images"])[masked] ** 2
    marked = sum((positions[..., i] > 0).float() for i in range(8))
    likeliest = torch.tensor([[float(max(range(9), key=cell.__getitem__)) for cell in case] for case in counts])
    expected = {
        "reconstruction": squares.mean(),
        "count": counts.mean() + 3,
        "position": (positions - 1).abs().mean(),
        "consistency": (counts.mean() + marked.mean() + ((marked - likeliest) ** 2).mean()) / 2,
        "contrast": (out["contrast_pred_1"] + out["contrast_pred_2"]).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(found["loss"], sum(weights[name] * value for name, value in expected.items()))
    found["loss"].backward()


def test_pretrain_step_measures_it_beside_ours(clone, load_script):
    script = load_script("pretrain_step")
    names = "window", "released-code"
    args = script.parse(
        ["--features", *"444884", "--window", "32", "--repeats", "1", "--device", "cpu"]
        + ["--released", str(clone), "--variants", *names, "--out", str(clone / "result.json")]
    )
    result = script.measure(args)
    assert list(result["variants"]) == list(names)
    assert result["failed"] == {}
    ratio = result["step_time_ratios"]["window / released code"]
    seconds = [result["variants"][name]["raw"][0]["step"] for name in names]
    assert ratio == pytest.approx(seconds[0] / seconds[1], abs=2e-3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--released None is no clone"),
        (["--released", str(Path(__file__).parent)], "is no clone"),
        (["--size", "64"], "and --size 96"),
        (["--network", "swin_unetr"], "--network basic_unet"),
    ],
)
def test_where_it_cannot_run_one_line_says_so(load_script, capsys, arguments, named):
    with pytest.raises(SystemExit):
        load_script("pretrain_step").parse(["--variants", "released-code", *arguments])
    assert named in capsys.readouterr().err.splitlines()[-1]
