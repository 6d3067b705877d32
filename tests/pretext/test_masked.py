"""What MAE, DenseMAE and SimMIM share: a known block is followed from the mask to the loss, on every network."""

from __future__ import annotations

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.losses import CombinedLoss
from custom_components.masking import mask_to_voxels
from custom_components.pretext import MAE, DenseMAE, SimMIM

SIZE = (64, 32, 32)
BUILD = {
    "MAE": lambda net, **keys: MAE(net, 16, decoder_width=24, decoder_heads=2, **keys),
    "DenseMAE full": lambda net, **keys: DenseMAE(net, 16, **keys),
    "DenseMAE light": lambda net, **keys: DenseMAE(net, 16, decoder="light", **keys),
    "SimMIM": lambda net, **keys: SimMIM(net, 16, **keys),
}
TOKENS = ("UNETR", "UNETRPatch8")
PAIRS = [
    (method, name)
    for method, names in {
        "MAE": TOKENS,
        "DenseMAE full": ("BasicUNet", "SegResNet", "UNETR", "UNETRPatch8", "SwinUNETR"),
        "DenseMAE light": ("BasicUNet", "SegResNet", "SwinUNETR"),
        "SimMIM": (*TOKENS, "SwinUNETR"),
    }.items()
    for name in names
]
pairs = pytest.mark.parametrize(("method", "name"), PAIRS)


def batch(channels=2, batch_size=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch_size, channels, *SIZE, generator=generator)
    mask = torch.zeros(batch_size, 1, 4, 2, 2, dtype=torch.bool)
    mask[:, :, 1, 0, 1] = True
    mask[-1, :, 3, 1, 0] = True
    return image, mask


@pairs
def test_outputs_have_the_images_shape_and_mark_masked_valid_voxels(method, name, make_network):
    pretext = BUILD[method](make_network(name, 2))
    image, mask = batch()
    valid = torch.ones(2, 1, *SIZE, dtype=torch.bool)
    valid[0, :, 20:] = False
    outputs = pretext(image, mask, valid)
    assert outputs["reconstruction"].shape == image.shape
    assert outputs["reconstruction_target"] is image
    assert torch.equal(outputs["reconstruction_mask"], mask_to_voxels(mask, 16) & valid)


@pairs
def test_masked_voxels_do_not_reach_the_reconstruction_and_visible_ones_do(method, name, make_network):
    pretext = BUILD[method](make_network(name, 2)).eval()
    image, mask = batch()
    masked = mask_to_voxels(mask, 16)
    with torch.no_grad():
        first = pretext(image, mask)["reconstruction"]
        other = pretext(torch.where(masked, torch.randn_like(image), image), mask)["reconstruction"]
        assert torch.equal(first, other)
        seen = pretext(torch.where(masked, image, torch.randn_like(image)), mask)["reconstruction"]
    assert not torch.allclose(first, seen)


@pairs
def test_loss_is_the_mean_over_one_known_block(method, name, make_network):
    pretext = BUILD[method](make_network(name, 2)).eval()
    image, mask = batch(batch_size=1)
    mask.zero_()
    mask[0, 0, 1, 0, 1] = True  # voxels 16 to 31, 0 to 15, 16 to 31
    with torch.no_grad():
        outputs = pretext(image, mask)
        loss = CombinedLoss({"reconstruction": 1.0}, "l1")(outputs)["loss"]
    block = (slice(None), slice(None), slice(16, 32), slice(0, 16), slice(16, 32))
    torch.testing.assert_close(loss, (outputs["reconstruction"][block] - image[block]).abs().mean())


@pairs
def test_every_trained_parameter_has_a_gradient_and_the_rest_is_frozen(method, name, make_network):
    net = make_network(name, 2)
    pretext = BUILD[method](net).train()
    image, mask = batch()
    outputs = pretext(image, mask)
    CombinedLoss({"reconstruction": 1.0})(outputs)["loss"].backward()
    backbone = adapt(net)
    for key, parameter in net.named_parameters():
        expected = key.startswith(pretext.trained) and key not in backbone.unused_parameters
        assert parameter.requires_grad == expected, key
        assert (parameter.grad is not None) == expected, key
    assert [key for key, p in pretext.named_parameters() if p.requires_grad and p.grad is None] == []


@pairs
def test_trained_is_the_encoder_or_everything(method, name, make_network):
    pretext = BUILD[method](make_network(name))
    expected = ("",) if method == "DenseMAE full" else adapt(pretext.network).encoder_prefixes
    assert pretext.trained == expected


@pairs
def test_state_dict_of_the_network_keeps_its_keys(method, name, make_network):
    net = make_network(name)
    keys = list(net.state_dict())
    pretext = BUILD[method](net)
    assert list(pretext.network.state_dict()) == keys
    assert {f"network.{key}" for key in keys} <= set(pretext.state_dict())


@pairs
def test_normalised_targets_are_scored_in_their_unit_and_rescaled_in_the_images(method, name, make_network):
    pretext = BUILD[method](make_network(name, 2), normalize_targets=True).eval()
    image, mask = batch()
    image = image * 40 + 1000
    with torch.no_grad():
        outputs = pretext(image, mask)
    target = outputs["reconstruction_target"]
    block = target[0, 1, 16:32, :16, 16:32]
    torch.testing.assert_close(block.mean(), torch.tensor(0.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(block.std(unbiased=False), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert outputs["rescaled_target"] is image
    raw = image[0, 1, 16:32, :16, 16:32]
    torch.testing.assert_close(
        outputs["rescaled_reconstruction"][0, 1, 16:32, :16, 16:32],
        outputs["reconstruction"][0, 1, 16:32, :16, 16:32] * raw.std(unbiased=False) + raw.mean(),
        rtol=1e-3,
        atol=1e-2,
    )


@pairs
def test_everything_and_nothing_masked_are_finite(method, name, make_network):
    pretext = BUILD[method](make_network(name, 2))
    image, mask = batch()
    for masked in (torch.ones_like(mask), torch.zeros_like(mask)):
        loss = CombinedLoss({"reconstruction": 1.0})(pretext(image, masked))["loss"]
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in pretext.parameters() if p.grad is not None)
        assert (loss > 0) == masked.any()


def test_mask_of_another_grid_is_refused(make_network):
    image, mask = batch(1)
    for pretext in (BUILD["MAE"](make_network("UNETR")), BUILD["SimMIM"](make_network("SwinUNETR"))):
        with pytest.raises(ValueError, match=r"mask has shape \(2, 1, 2, 2, 2\).*needs \(2, 1, 4, 2, 2\)"):
            pretext(image, mask[:, :, :2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda make: MAE(make("BasicUNet")), "found BasicUNet; allowed: UNETR, UNETRPatch8"),
        (lambda make: MAE(make("SwinUNETR")), "SimMIM for SwinUNETR"),
        (lambda make: SimMIM(make("BasicUNet")), "BasicUNet has no tokens"),
        (lambda make: MAE(make("UNETR"), 8), r"patch_size \(8, 8, 8\) is not a multiple of UNETR's token of 16"),
        (lambda make: SimMIM(make("UNETR"), (16, 24, 16)), r"patch_size \(16, 24, 16\) is not a multiple"),
        (lambda make: MAE(make("UNETR", 2, 1)), "in_channels 2 and out_channels 1"),
        (lambda make: DenseMAE(make("BasicUNet", 2, 1)), "in_channels 2 and out_channels 1"),
        (lambda make: SimMIM(make("UNETR", 2, 1)), "in_channels 2 and out_channels 1"),
        (lambda make: MAE(make("UNETR"), positions="fourier"), "positions is 'fourier'; allowed: learned, sincos"),
        (lambda make: SimMIM(make("SwinUNETR"), positions="sincos"), "position"),
        (lambda make: MAE(make("UNETR"), decoder_width=25, decoder_heads=2), "multiple of the heads"),
        (lambda make: MAE(make("UNETR"), decoder_depth=0), "decoder_depth 0"),
        (
            lambda make: MAE(make("UNETR"), decoder_width=32, decoder_heads=2, positions="sincos"),
            "decoder_width is 32; positions 'sincos' need a multiple of 6",
        ),
        (lambda make: DenseMAE(make("BasicUNet"), decoder="big"), "decoder is 'big'; allowed: full, light"),
        (
            lambda make: SimMIM(make("UNETR"), normalize_targets="false"),
            "normalize_targets is 'false'; allowed: True",
        ),
        (lambda make: DenseMAE(make("BasicUNet"), fill="grey"), "fill is 'grey'; allowed: zero"),
    ],
)
def test_what_does_not_fit_is_named(build, message, make_network):
    with pytest.raises(ValueError, match=message):
        build(make_network)
