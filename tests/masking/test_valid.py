import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, SpatialPadd

from custom_components.masking import AddValidMaskd, MaskSampler, RandPatchMaskd


@pytest.mark.parametrize("channels", [1, 4])
def test_every_voxel_is_valid_by_default(channels):
    image = torch.randn(channels, 2, 3, 4)
    out = AddValidMaskd()({"image": image})
    assert out["valid"].shape == (1, 2, 3, 4)
    assert out["valid"].dtype == torch.uint8
    assert out["valid"].all()
    assert out["image"] is image


def test_background_is_where_all_channels_are_at_or_under_the_threshold():
    image = torch.tensor([[-1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]]).reshape(2, 1, 1, 4)
    out = AddValidMaskd(background_below=0)({"image": image})
    assert out["valid"].flatten().tolist() == [0, 0, 1, 1]


def test_arrays_are_taken_too():
    out = AddValidMaskd(background_below=0.5)({"image": np.array([[[[0.0, 1.0]]]])})
    assert out["valid"].flatten().tolist() == [0, 1]


@pytest.mark.parametrize("background", [None, 10.0])
def test_the_map_follows_the_image_through_spatial_transforms(background):
    affine = torch.diag(torch.tensor([-1.0, 2.0, 3.0, 1.0]))  # LAS: Orientationd to RAS flips the first axis
    image = MetaTensor(torch.arange(24.0).reshape(1, 2, 3, 4), affine=affine)
    both = ["image", "valid"]
    out = Compose(
        [
            AddValidMaskd(background_below=background),
            Orientationd(both, axcodes="RAS", labels=None),
            SpatialPadd(both, (4, 4, 4), method="end"),
        ]
    )({"image": image})
    valid = out["valid"].as_tensor()[0].bool()
    expected = torch.zeros(4, 4, 4, dtype=torch.bool)
    expected[:2, :3] = True if background is None else torch.arange(24.0).reshape(2, 3, 4).flip(0) > background
    assert torch.equal(valid, expected)


def test_several_images_share_one_map():
    data = {"a": torch.tensor([[[[0.0, 1.0, 0.0]]]]), "b": torch.tensor([[[[0.0, 0.0, 1.0]]]])}
    assert AddValidMaskd(["a", "b"], background_below=0)(data)["valid"].flatten().tolist() == [0, 1, 1]
    data["b"] = data["b"][..., :2]
    with pytest.raises(ValueError, match=r"one spatial shape, found \{'a': \(1, 1, 3\), 'b': \(1, 1, 2\)\}"):
        AddValidMaskd(["a", "b"])(data)


def test_a_missing_key_raises():
    with pytest.raises(KeyError, match="image"):
        AddValidMaskd()({})


def test_a_valid_of_another_shape_names_both():
    data = {"image": torch.zeros(1, 4, 4, 4), "valid": torch.ones(1, 4, 4, 2)}
    with pytest.raises(ValueError, match=r"'valid' has shape \(1, 4, 4, 2\); the image needs \(1, 4, 4, 4\)"):
        RandPatchMaskd(sampler=MaskSampler("uniform", 0.5, 2))(data)
