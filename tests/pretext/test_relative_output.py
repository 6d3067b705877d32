"""Outputs relative to the crop's visible voxels, against a loop over samples and channels."""

import pytest
import torch

from custom_components.masking import mask_to_voxels
from custom_components.pretext import DenseMAE, HybridMIM

PATCH = (8, 8, 8)
HYBRID = {"patch_size": 8, "region_size": 16, "terms": ("reconstruction", "count")}
BUILD = {
    "HybridMIM": lambda net, on: HybridMIM(net, relative_output=on, **HYBRID),
    "HybridMIM window": lambda net, on: HybridMIM(net, relative_output=on, window_size=16, **HYBRID),
    "DenseMAE": lambda net, on: DenseMAE(net, PATCH, relative_output=on),
    "DenseMAE light": lambda net, on: DenseMAE(net, PATCH, "light", relative_output=on),
}


def make_batch(seed):
    """Return image, mask and validity of two crops with two channels; the second crop is partly padding."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 2, 32, 48, 32, generator=generator) * 3 + torch.tensor([5.0, -2.0]).view(1, 2, 1, 1, 1)
    mask = torch.rand(2, 1, 4, 6, 4, generator=generator) < 0.5
    valid = torch.ones(2, 1, 32, 48, 32, dtype=torch.bool)
    valid[1, :, 20:] = False
    return image, mask, valid


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", BUILD)
def test_mean_and_deviation_of_the_visible_voxels_are_added(name, train, make_network):
    image, mask, valid = make_batch(0)
    outputs = []
    for on in (False, True):  # the same weights
        pretext = BUILD[name](make_network("BasicUNet", 2), on).train(train)
        torch.manual_seed(4)  # of heads, the window and dropout
        outputs.append(pretext(image, mask, valid))
    plain, relative = outputs
    seen = (~mask_to_voxels(mask, PATCH) & valid)[:, 0]
    for sample in range(2):
        for channel in range(2):
            voxels = image[sample, channel][seen[sample]]
            expected = plain["reconstruction"][sample, channel] * voxels.std(correction=0) + voxels.mean()
            torch.testing.assert_close(relative["reconstruction"][sample, channel], expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(relative["reconstruction_target"], plain["reconstruction_target"])


@pytest.mark.parametrize("name", BUILD)
def test_masked_voxels_do_not_leak(name, make_network):
    image, mask, valid = make_batch(1)
    pretext = BUILD[name](make_network("BasicUNet", 2), True).eval()
    changed = torch.where(mask_to_voxels(mask, PATCH), image + 100, image)
    with torch.no_grad():
        torch.testing.assert_close(
            pretext(image, mask, valid)["reconstruction"], pretext(changed, mask, valid)["reconstruction"]
        )


def test_a_crop_without_visible_voxels_is_finite(make_network):
    image, mask, valid = make_batch(2)
    outputs = BUILD["DenseMAE"](make_network("BasicUNet", 2), True)(image, torch.ones_like(mask), valid)
    assert (outputs["reconstruction"] == 0).all()  # mean and deviation of nothing


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda net: DenseMAE(net, 8, relative_output="false"), "relative_output is 'false'"),
        (
            lambda net: DenseMAE(net, 8, normalize_targets=True, relative_output=True),
            "relative_output and normalize_targets are both on",
        ),
        (
            lambda net: HybridMIM(net, output_activation="sigmoid", relative_output=True, **HYBRID),
            "relative_output is on and output_activation is 'sigmoid'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(build, said, make_network):
    with pytest.raises(ValueError, match=said):
        build(make_network("BasicUNet", 2))
