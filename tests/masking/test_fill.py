import pytest
import torch

from custom_components.masking import FILLS, fill_masked, mask_to_voxels

PATCH = (2, 4, 3)


def make(channels=1, batch=2, grid=(2, 3, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, channels, *(g * p for g, p in zip(grid, PATCH, strict=True)), generator=generator)
    mask = torch.rand(batch, 1, *grid, generator=generator) < 0.5
    mask[:, 0, 0, 0, 0], mask[:, 0, -1, -1, -1] = True, False
    token = torch.randn(1, channels, *PATCH, generator=generator)
    return image, mask, token


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_unmasked_voxels_stay_bit_exact(fill, channels, batch):
    image, mask, token = make(channels, batch)
    before = image.clone()
    filled = fill_masked(image, mask, PATCH, fill, token)
    visible = ~mask_to_voxels(mask, PATCH).expand_as(image)
    assert torch.equal(filled[visible], before[visible])
    assert torch.equal(image, before)
    assert filled.dtype == image.dtype
    assert not torch.equal(filled, before)


@pytest.mark.parametrize("fill", FILLS)
def test_an_empty_mask_changes_nothing(fill):
    image, mask, token = make()
    assert torch.equal(fill_masked(image, torch.zeros_like(mask), PATCH, fill, token), image)


def test_zero_fill_is_zero():
    image, mask, _ = make(4)
    masked = mask_to_voxels(mask, PATCH).expand_as(image)
    assert (fill_masked(image, mask, PATCH, "zero")[masked] == 0).all()


@pytest.mark.parametrize("channels", [1, 4])
def test_mean_fill_is_the_mean_of_visible_valid_voxels(channels):
    image, mask, _ = make(channels, grid=(2, 3, 4))
    valid = torch.rand(2, 1, *image.shape[2:], generator=torch.Generator().manual_seed(1)) < 0.7
    masked = mask_to_voxels(mask, PATCH)
    filled = fill_masked(image, mask, PATCH, "mean", valid=valid)
    for b in range(2):
        use = (~masked & valid)[b, 0]
        for c in range(channels):
            torch.testing.assert_close(
                filled[b, c][masked[b, 0]], image[b, c][use].mean().expand(int(masked[b].sum()))
            )


def test_noise_fill_has_the_visible_mean_and_deviation_and_follows_the_global_seed():
    torch.manual_seed(0)
    image = 5 + 3 * torch.randn(1, 1, 32, 32, 32)
    mask = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = True
    filled = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        filled.append(fill_masked(image, mask, 16, "noise")[:, :, :16])
    assert torch.equal(filled[0], filled[1])
    assert not torch.equal(filled[0], filled[2])
    assert abs(filled[0].mean() - 5) < 0.2
    assert abs(filled[0].std() - 3) < 0.2


def test_learned_fill_lays_the_token_into_each_masked_patch_and_passes_its_gradient():
    image, mask, token = make(4)
    token.requires_grad_()
    filled = fill_masked(image, mask, PATCH, "learned", token)
    pd, ph, pw = PATCH
    for b, _, d, h, w in mask.nonzero().tolist():
        block = filled[b, :, d * pd : (d + 1) * pd, h * ph : (h + 1) * ph, w * pw : (w + 1) * pw]
        assert torch.equal(block, token[0])
    filled.sum().backward()
    assert torch.equal(token.grad, torch.full_like(token, float(mask.sum())))


@pytest.mark.parametrize("fill", ["mean", "noise"])
def test_with_nothing_visible_the_fill_is_zero(fill):
    image, mask, _ = make()
    assert (fill_masked(image, torch.ones_like(mask), PATCH, fill) == 0).all()


def test_half_precision_keeps_its_dtype_and_a_finite_mean():
    image, mask, _ = make()
    filled = fill_masked((image * 100).half(), mask, PATCH, "mean")
    assert filled.dtype == torch.float16
    assert filled.isfinite().all()


def test_unknown_fill_lists_what_is_allowed():
    image, mask, _ = make()
    with pytest.raises(ValueError, match="fill is 'grey'; allowed: zero, mean, noise, learned"):
        fill_masked(image, mask, PATCH, "grey")


def test_learned_fill_without_a_fitting_token_names_the_shape():
    image, mask, token = make(4)
    with pytest.raises(ValueError, match=r"token of shape \(1, 4, 2, 4, 3\), found None"):
        fill_masked(image, mask, PATCH, "learned")
    with pytest.raises(ValueError, match=r"found \(1, 1, 2, 4, 3\)"):
        fill_masked(image, mask, PATCH, "learned", token[:, :1])


def test_a_mask_of_another_grid_names_both_shapes():
    image, mask, _ = make()
    with pytest.raises(ValueError, match=r"mask has shape \(2, 1, 1, 3, 2\).*needs \(2, 1, 2, 3, 2\)"):
        fill_masked(image, mask[:, :, :1], PATCH)
