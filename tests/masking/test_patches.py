import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.masking import normalize_patches, patchify, unpatchify

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=30, deadline=None)
@given(grid=SIZES, patch=SIZES, channels=st.integers(1, 4), batch=st.integers(1, 2))
def test_patches_equal_a_slow_loop_and_come_back(grid, patch, channels, batch):
    shape = [g * p for g, p in zip(grid, patch, strict=True)]
    image = torch.rand(batch, channels, *shape, generator=torch.Generator().manual_seed(0))
    patches = patchify(image, patch)
    number = 0
    for d in range(grid[0]):
        for h in range(grid[1]):
            for w in range(grid[2]):
                cut = image[
                    :,
                    :,
                    d * patch[0] : (d + 1) * patch[0],
                    h * patch[1] : (h + 1) * patch[1],
                    w * patch[2] : (w + 1) * patch[2],
                ]
                assert torch.equal(patches[:, number], cut.reshape(batch, -1))
                number += 1
    assert patches.shape[1] == number
    assert torch.equal(unpatchify(patches, grid, patch), image)


def test_patch_layout_is_that_of_a_convolutions_weight():
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(3, 5, (2, 4, 2), stride=(2, 4, 2))
    image = torch.rand(2, 3, 4, 8, 6)
    linear = torch.nn.functional.linear(
        patchify(image, (2, 4, 2)), convolution.weight.flatten(1), convolution.bias
    )
    torch.testing.assert_close(linear, convolution(image).flatten(2).transpose(1, 2))


def test_normalised_patches_equal_a_slow_loop_over_valid_voxels():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 4, 6, 4, generator=generator, dtype=torch.float64) * 50 + 300
    valid = torch.rand(2, 1, 4, 6, 4, generator=generator) > 0.3
    valid[0, :, :2, :3, :2] = False  # a patch without a valid voxel
    found = normalize_patches(image, valid, (2, 3, 2))
    for b in range(2):
        for c in range(3):
            for d in range(0, 4, 2):
                for h in range(0, 6, 3):
                    for w in range(0, 4, 2):
                        cut = (slice(d, d + 2), slice(h, h + 3), slice(w, w + 2))
                        voxels = image[(b, c, *cut)][valid[(b, 0, *cut)]]
                        mean = voxels.mean() if len(voxels) else torch.tensor(0.0).double()
                        variance = ((voxels - mean) ** 2).mean() if len(voxels) else torch.tensor(0.0).double()
                        torch.testing.assert_close(found.mean[(b, c, *cut)], mean.expand(2, 3, 2))
                        torch.testing.assert_close(
                            found.deviation[(b, c, *cut)], (variance + 1e-6).sqrt().expand(2, 3, 2)
                        )
    torch.testing.assert_close(found.image * found.deviation + found.mean, image)


def test_a_constant_patch_becomes_zero():
    found = normalize_patches(torch.full((1, 1, 4, 4, 4), 7.0), torch.ones(1, 1, 4, 4, 4, dtype=torch.bool), 2)
    assert found.image.abs().max() == 0
    assert (found.mean == 7).all()


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"\(4, 4, 6\) is not a multiple of patch_size \(4, 4, 4\)"):
        patchify(torch.zeros(1, 1, 4, 4, 6), 4)
    with pytest.raises(ValueError, match=r"\(1, 3, 8\) do not fill a grid of \(2, 1, 2\) patches of \(2, 2, 2\)"):
        unpatchify(torch.zeros(1, 3, 8), (2, 1, 2), 2)
    with pytest.raises(ValueError, match="do not fill"):
        unpatchify(torch.zeros(1, 4, 9), (2, 1, 2), 2)
