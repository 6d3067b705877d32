"""Noise and contrast of the input: against a slow loop, only in training, only where voxels are valid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from custom_components.pretext import MAE, DenseMAE, HybridMIM, InputCorruption, SimMIM


def image_and_valid(batch: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    image = 3 + 2 * torch.randn(batch, channels, 6, 8, 4, generator=generator)
    valid = torch.rand(batch, 1, 6, 8, 4, generator=generator) > 0.2
    return image, valid


@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (3, 2)])
def test_contrast_moves_valid_voxels_away_from_their_samples_mean(batch: int, channels: int) -> None:
    image, valid = image_and_valid(batch, channels)
    found = InputCorruption(contrast=(1.5, 1.5))(image, valid).numpy()
    expected = image.numpy().copy()
    for b in range(batch):
        for c in range(channels):
            inside = valid[b, 0].numpy()
            mean = expected[b, c][inside].mean()
            expected[b, c][inside] = mean + 1.5 * (expected[b, c][inside] - mean)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_noise_has_the_drawn_share_of_each_samples_deviation() -> None:
    torch.manual_seed(0)
    image = torch.randn(64, 1, 16, 16, 16) * torch.tensor([1.0, 10.0]).repeat(32).reshape(64, 1, 1, 1, 1) + 5
    valid = torch.ones_like(image, dtype=torch.bool)
    noise = InputCorruption(noise=(0.2, 0.6))(image, valid) - image
    shares = (noise.std(dim=(1, 2, 3, 4)) / image.std(dim=(1, 2, 3, 4))).numpy()
    assert 0.19 < shares.min() < 0.26
    assert 0.54 < shares.max() < 0.61
    assert shares.std() > 0.08  # every sample draws its own
    assert abs(float(noise.mean())) < 0.02


def test_voxels_that_are_not_valid_and_evaluation_are_left_alone() -> None:
    image, valid = image_and_valid(2, 2)
    corruption = InputCorruption((0.5, 0.5), (0.5, 2.0))
    changed = corruption(image, valid)
    outside = ~valid.expand_as(image)
    assert torch.equal(changed[outside], image[outside])
    assert (changed != image)[~outside].float().mean() > 0.99
    assert corruption.eval()(image, valid) is image
    assert InputCorruption()(image, valid) is image


@pytest.mark.parametrize("make", [HybridMIM, DenseMAE, MAE, SimMIM])
def test_the_network_sees_the_corrupted_image_and_the_target_is_clean(make_network, make) -> None:
    dense = make in (HybridMIM, DenseMAE)
    name, patch = ("BasicUNet", 8) if dense else ("UNETR", 16)
    more = {"region_size": 16, "terms": ("reconstruction", "visible")} if make is HybridMIM else {}
    if make is MAE:
        more = {"decoder_width": 24, "decoder_heads": 2}
    pretext = make(make_network(name, 1), patch, corruption=InputCorruption((0.5, 0.5)), **more)
    image = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, *(side // patch for side in image.shape[2:]), dtype=torch.bool)
    mask[..., 0] = True
    first, second = pretext(image, mask), pretext(image, mask)
    assert torch.equal(first["reconstruction_target"], image)
    assert not torch.equal(first["reconstruction"], second["reconstruction"])
    masked = mask.repeat_interleave(patch, 2).repeat_interleave(patch, 3).repeat_interleave(patch, 4)
    assert torch.equal(first["visible_mask"], ~masked)
    pretext.eval()
    assert torch.equal(pretext(image, mask)["reconstruction"], pretext(image, mask)["reconstruction"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": 0.5}, "input_noise is 0.5; allowed: two numbers"),
        ({"noise": (0.5, 0.1)}, r"input_noise is \[0.5, 0.1\]; allowed: two numbers, the smaller one first"),
        ({"noise": (-0.1, 0.1)}, "input_noise is -0.1; allowed: a number at least 0"),
        ({"contrast": (0.0, 1.0)}, "input_contrast is 0.0; allowed: a number above 0"),
    ],
)
def test_a_wrong_range_is_one_message(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        InputCorruption(**arguments)
