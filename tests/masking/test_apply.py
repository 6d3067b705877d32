import pytest
import torch
from monai.data import MetaTensor

from custom_components.masking import ApplyPatchMaskd, MaskSampler, fill_masked, mask_to_voxels

SAMPLER = MaskSampler("uniform", 0.5, (2, 4, 2))


def test_masked_patches_are_replaced_and_marked_with_the_images_affine():
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.rand(2, 4, 8, 4) + 1, affine=affine)
    mask = torch.rand(1, 2, 2, 2, generator=torch.Generator().manual_seed(0)) < 0.5
    valid = torch.ones(1, 4, 8, 4, dtype=torch.bool)
    valid[..., 3] = False
    data = {"image": image, "mask": mask, "valid": valid}
    out = ApplyPatchMaskd(sampler=SAMPLER, fill="mean")(data)
    expected = fill_masked(image.as_tensor()[None], mask[None], SAMPLER.patch_size, "mean", valid=valid[None])[0]
    assert torch.equal(out["image"].as_tensor(), expected)
    assert torch.equal(out["masked_voxels"].as_tensor().bool(), mask_to_voxels(mask[None], (2, 4, 2))[0] & valid)
    assert torch.equal(out["image"].affine, affine)
    assert torch.equal(out["masked_voxels"].affine, affine)
    assert data["image"] is image
    assert (image > 0).all()


def test_a_fill_that_needs_the_pretext_network_is_refused():
    with pytest.raises(ValueError, match="'learned' is a parameter of the pretext network.; allowed: zero, mean"):
        ApplyPatchMaskd(sampler=SAMPLER, fill="learned")
