"""Two views of one sample: cut alike within a view, drawn apart, repeated exactly where a seed says so."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, list_data_collate
from monai.data.utils import set_rnd
from monai.transforms import (
    Compose,
    RandFlipd,
    RandShiftIntensityd,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    ScaleIntensityd,
)

from custom_components.data import TwoViewsd
from custom_components.faults import Fault

KEYS = ["image", "valid"]
SHAPE, ROI = (12, 10, 8), (8, 6, 4)


def crop_and_flip():
    crop = RandSpatialCropd(KEYS, ROI, random_size=False)
    return Compose([crop, *(RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(3))])


def two_views(seed=None, state=None, **kwargs):
    views = TwoViewsd(KEYS, crop_and_flip(), seed=seed, **kwargs)
    return views if state is None else views.set_random_state(seed=state)


def sample(number=0, channels=1):
    """An image whose every voxel says where it is; of the voxels that do not count, valid says so."""
    size = SHAPE[0] * SHAPE[1] * SHAPE[2]
    image = torch.arange(channels * size, dtype=torch.float32).reshape(channels, *SHAPE)
    return {"image": MetaTensor(image), "valid": (image[:1] % 3 > 0).to(torch.uint8), "volume_id": number}


def places(view):
    """The voxels that a view shows, in its own order."""
    return view["image"].as_tensor().flatten().tolist()


def both(out):
    return places(out), out["image_2"].as_tensor().flatten().tolist()


@pytest.mark.parametrize("channels", [1, 4])
def test_both_views_are_crops_of_the_sample_whose_keys_were_cut_alike(channels):
    out = two_views(state=0)(sample(channels=channels))
    assert set(out) == {"image", "valid", "image_2", "valid_2", "volume_id"}
    whole = sample(channels=channels)
    for suffix in ("", "_2"):
        image, valid = out[f"image{suffix}"].as_tensor(), torch.as_tensor(out[f"valid{suffix}"])
        assert image.shape == (channels, *ROI)
        assert valid.shape == (1, *ROI)
        assert valid.dtype == torch.uint8
        assert torch.equal(image[:1] % 3 > 0, valid.bool())
        assert np.isin(image, whole["image"]).all()
    assert both(out)[0] != both(out)[1]


def test_the_sample_that_came_in_stays_as_it_was():
    data, copy = sample(), sample()
    two_views(state=0)(data)
    assert set(data) == set(copy)
    assert torch.equal(data["image"], copy["image"])
    assert torch.equal(data["valid"], copy["valid"])
    assert not data["image"].applied_operations


def test_names_of_the_second_view_and_keys_outside_of_it():
    shift = Compose([RandShiftIntensityd("image", 1.0, prob=1.0)])
    data = sample()
    out = TwoViewsd("image", shift, suffix="_b")(data)
    assert set(out) == {"image", "image_b", "valid", "volume_id"}
    assert out["valid"] is data["valid"]
    data.pop("valid")
    assert set(TwoViewsd(KEYS, shift, allow_missing_keys=True)(data)) == {"image", "image_2", "volume_id"}
    with pytest.raises(KeyError, match="valid"):
        TwoViewsd(KEYS, shift)(data)


def test_the_random_state_reaches_the_inner_transforms():
    draws = [[both(views(sample())) for _ in range(4)] for views in (two_views(state=1), two_views(state=1))]
    assert draws[0] == draws[1]
    assert len({str(view) for pair in draws[0] for view in pair}) == 8
    other = two_views(state=2)
    assert [both(other(sample())) for _ in range(4)] != draws[0]


def test_monai_finds_the_random_state_within_a_dataset():
    drawn = []
    for seed in (5, 5, 6):
        data = Dataset([sample()], Compose([two_views()]))
        set_rnd(data, seed)
        drawn.append(both(data[0]))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_draws_every_view_anew_and_the_same_again_under_one_torch_seed(workers):
    shift = TwoViewsd(KEYS, Compose([RandShiftIntensityd("image", 1.0, prob=1.0)]))  # no two by accident alike

    def epochs(seed):
        torch.manual_seed(seed)
        loader = DataLoader(Dataset([sample(number) for number in range(4)], shift), num_workers=workers)
        return [view.flatten().tolist() for _ in range(2) for b in loader for view in (b["image"], b["image_2"])]

    drawn = epochs(3)
    assert len({str(view) for view in drawn}) == 16
    assert drawn == epochs(3)
    assert drawn != epochs(4)


def test_with_a_seed_views_depend_on_it_and_the_volume_alone():
    views = two_views(seed=7)
    first = {number: both(views(sample(number))) for number in range(6)}
    assert len({str(view) for pair in first.values() for view in pair}) == 12
    other = two_views(seed=7, state=99)  # a state of its own is without effect
    for number in (4, 0, 5, 4):
        assert both(other(sample(number))) == first[number]
    assert both(two_views(seed=8)(sample(0))) != first[0]
    tensor_id = {**sample(4), "volume_id": torch.tensor(4)}
    assert both(views(tensor_id)) == first[4]


def test_a_validation_leaves_a_training_with_the_same_transform_alone():
    drawn = []
    for between in (False, True):
        transform = crop_and_flip()
        training, validation = TwoViewsd(KEYS, transform), TwoViewsd(KEYS, transform, seed=7)
        training.set_random_state(seed=0)
        if between:
            validation(sample(4))
        drawn.append(both(training(sample())))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_validation_sees_the_same_views_in_every_epoch_and_worker(workers):
    expected = {number: both(two_views(seed=7)(sample(number))) for number in range(4)}
    data = CacheDataset([sample(number) for number in range(4)], Compose([two_views(seed=7)]), progress=False)
    for torch_seed in (0, 1):
        torch.manual_seed(torch_seed)
        for batch in DataLoader(data, num_workers=workers):
            pair = batch["image"].flatten().tolist(), batch["image_2"].flatten().tolist()
            assert pair == expected[int(batch["volume_id"])]


def test_a_cache_does_not_freeze_views_that_are_drawn_anew():
    transform = Compose([ScaleIntensityd("image", minv=None, maxv=None, factor=0.0), two_views(state=0)])
    data = CacheDataset([sample()], transform, progress=False)
    assert both(data[0]) != both(data[0])


def test_crops_of_one_volume_each_become_a_pair():
    area = RandSpatialCropSamplesd(KEYS, (10, 8, 6), num_samples=3, random_size=False)
    found = list_data_collate([Compose([area, two_views()]).set_random_state(seed=0)(sample(9))])
    assert found["image"].shape == found["image_2"].shape == (3, 1, *ROI)
    assert found["volume_id"].tolist() == [9, 9, 9]


@pytest.mark.parametrize("seed", [None, 7])
def test_views_pickle_for_spawned_workers(seed):
    views = two_views(seed=seed, state=3)
    again = pickle.loads(pickle.dumps(views))
    assert both(again(sample(2))) == both(views(sample(2)))


def test_wrong_arguments_and_samples_say_so():
    with pytest.raises(ValueError, match="suffix is empty; the second view would replace the first"):
        two_views(suffix="")
    with pytest.raises(ValueError, match="seed is -1; allowed: null or a whole number at least 0"):
        two_views(seed=-1)
    for wrong in (None, -2):
        with pytest.raises(ValueError, match=rf"data\['volume_id'\] is {wrong}; views with a seed need"):
            two_views(seed=0)({**sample(), "volume_id": wrong})
    many = TwoViewsd(KEYS, RandSpatialCropSamplesd(KEYS, ROI, num_samples=2, random_size=False))
    with pytest.raises(Fault, match="a view must be one sample, found 2; put RandSpatialCropSamplesd before"):
        many(sample())
