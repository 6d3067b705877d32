"""Mixed precision: who gets it, and that its gradients are those of float32 up to bfloat16's rounding."""

import pytest
import torch
from monai.inferers import SimpleInferer
from torch import nn

from custom_components.engine import AutocastInferer, autocast, mixed_precision
from custom_components.faults import Fault


def fill_memory_with_nan():
    """Leave NaN in memory that torch will hand out again, so that uninitialised values show."""
    blocks = [torch.full((size,), float("nan")) for size in (64, 1000, 5000, 20000, 100000) for _ in range(3)]
    del blocks


@pytest.mark.parametrize("grid", [(1, 2, 2), (2, 2, 2), (2, 3, 2), (2, 2, 4), (2, 6, 5), (3, 2, 2), (4, 3, 5)])
@pytest.mark.parametrize("channels", [(1, 16), (16, 16)])
def test_gradients_of_a_convolution_on_thin_grids(grid, channels):
    torch.manual_seed(0)
    layer = nn.Conv3d(*channels, 3, padding=1)
    image = torch.randn(2, channels[0], *grid)
    layer(image).square().mean().backward()
    expected = layer.weight.grad.clone()
    for _ in range(3):
        layer.zero_grad()
        with autocast("cpu"):
            output = layer(image)
        fill_memory_with_nan()
        output.float().square().mean().backward()
        assert (layer.weight.grad - expected).abs().max() < 0.02 * expected.abs().max()


def test_autocast_computes_other_convolutions_in_bfloat16():
    layer, image = nn.Conv3d(1, 2, 3, padding=1), torch.randn(1, 1, 4, 4, 4)
    with autocast("cpu"):
        assert layer(image).dtype is torch.bfloat16
        assert layer(image[:, :, :2]).dtype is torch.float32
    with autocast("cpu", enabled=False):
        assert layer(image).dtype is torch.float32


@pytest.mark.parametrize("enabled", [True, False])
def test_an_inferer_in_mixed_precision_returns_float32(enabled):
    network, image = nn.Conv3d(1, 2, 3, padding=1), torch.randn(1, 1, 4, 4, 4)
    seen = []
    network.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    output = AutocastInferer(SimpleInferer(), "cpu", enabled)(image, network)
    assert seen == [torch.bfloat16 if enabled else torch.float32]
    assert output.dtype is torch.float32
    torch.testing.assert_close(output, network(image), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("amp", [True, False])
def test_a_switch_is_taken_as_it_is(amp):
    assert mixed_precision(amp, "cpu") is amp


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("amx", [True, False])
def test_auto_asks_the_cpu(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert mixed_precision("auto", torch.device("cpu")) is (avx512 or amx)


def test_auto_is_on_for_cuda():
    assert mixed_precision("auto", "cuda:0") is True


def test_another_word_is_refused():
    with pytest.raises(Fault, match="amp is 'yes'; allowed: auto, True, False"):
        mixed_precision("yes", "cpu")
