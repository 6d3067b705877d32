import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor

from custom_components.masking import FixedPatchMaskd, MaskSampler, RandPatchMaskd, draw_two_level, valid_patches
from custom_components.masking.sampler import MODES

ALL_MODES = {
    "mask_mode": "two_level",
    "mask_ratio": 0.5,
    "patch_size": (2, 4, 2),
    "region_size": (4, 4, 4),
    "region_ratio": 0.75,
    "block_size": (4, 4, 6),
    "foreground_weight": 4.0,
}
OWN = ("keys", "mask_key", "valid_key", "seed", "id_key")  # arguments of the transforms


def sample(grid=(4, 2, 6), patch=(2, 4, 2), channels=1, **more):
    return {"image": torch.zeros(channels, *(g * p for g, p in zip(grid, patch, strict=True))), **more}


def make(kind, **kwargs):
    """A transform; what is not an argument of its own is one of the sampler."""
    own = {name: kwargs.pop(name) for name in OWN if name in kwargs}
    return kind(sampler=MaskSampler(**{**ALL_MODES, **kwargs}), **own)


def seeded(random_seed=0, **kwargs):
    return make(RandPatchMaskd, **kwargs).set_random_state(random_seed)


@settings(max_examples=25, deadline=None)
@given(
    grid=st.tuples(st.sampled_from([2, 4]), st.integers(1, 3), st.sampled_from([2, 4, 6])),
    mode=st.sampled_from(MODES),
    channels=st.sampled_from([1, 4]),
    seed=st.integers(0, 999),
)
def test_mask_count_is_exact_per_sample(grid, mode, channels, seed):
    transform = seeded(seed, mask_mode=mode)
    patches = grid[0] * grid[1] * grid[2]
    for _ in range(3):
        out = transform(sample(grid, channels=channels))
        assert out["mask"].shape == (1, *grid)
        assert out["mask"].dtype == torch.bool
        assert int(out["mask"].sum()) == round(0.5 * patches)


@pytest.mark.parametrize("mode", MODES)
def test_samples_are_masked_independently(mode):
    transform = seeded(mask_mode=mode)
    masks = {tuple(transform(sample())["mask"].flatten().tolist()) for _ in range(10)}
    assert len(masks) > 8


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_gives_the_same_masks(mode):
    first, second, third = (seeded(seed, mask_mode=mode) for seed in (3, 3, 4))
    a, b, c = ([t(sample())["mask"] for _ in range(3)] for t in (first, second, third))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_of_loader_workers_are_distinct(workers):
    data = Dataset([sample() for _ in range(8)], seeded())
    masks = torch.cat([batch["mask"] for batch in DataLoader(data, batch_size=2, num_workers=workers)])
    assert masks.shape == (8, 1, 4, 2, 6)
    assert masks.flatten(1).sum(dim=1).tolist() == [24] * 8
    assert len(set(map(tuple, masks.flatten(1).tolist()))) == 8


@pytest.mark.parametrize("mode", MODES)
def test_patches_without_a_valid_voxel_are_never_masked(mode):
    valid = torch.zeros(1, 8, 8, 12, dtype=torch.uint8)
    valid[:, :5, :, :7] = 1  # 3 of 4, 2 of 2 and 4 of 6 patches hold a valid voxel
    grid = valid_patches(valid[None].bool(), (2, 4, 2))[0]
    assert int(grid.sum()) == 24
    transform = seeded(mask_mode=mode)
    for _ in range(10):
        out = transform(sample(valid=valid))
        assert int(out["mask"].sum()) == 12
        assert not (out["mask"] & ~grid).any()
        assert torch.equal(out["valid"], valid.bool())


@pytest.mark.parametrize("mode", MODES)
def test_image_is_untouched_and_the_input_dictionary_too(mode):
    data = sample(channels=4, name="a")
    image = data["image"]
    out = seeded(mask_mode=mode)(data)
    assert out["image"] is image
    assert (image == 0).all()
    assert set(data) == {"image", "name"}
    assert out["name"] == "a"


def test_mask_and_valid_leave_as_plain_bool_tensors():
    out = seeded()({"image": MetaTensor(torch.zeros(1, 8, 8, 12)), "valid": MetaTensor(torch.ones(1, 8, 8, 12))})
    for key, shape in (("mask", (1, 4, 2, 6)), ("valid", (1, 8, 8, 12))):
        assert type(out[key]) is torch.Tensor
        assert out[key].dtype == torch.bool
        assert out[key].shape == shape


def test_absent_valid_is_added_as_all_true_under_its_key():
    out = seeded(mask_key="m", valid_key="v")(sample(channels=4))
    assert set(out) == {"image", "m", "v"}
    assert out["v"].shape == (1, 8, 8, 12)
    assert out["v"].all()


def test_ratio_zero_warns_and_masks_nothing_and_ratio_one_masks_all():
    with pytest.warns(UserWarning, match="mask_ratio 0 masks nothing"):
        transform = RandPatchMaskd(sampler=MaskSampler("uniform", 0, 2))
    assert not transform(sample())["mask"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RandPatchMaskd(sampler=MaskSampler("uniform", [0, 0.5], 2))
        assert seeded(mask_ratio=1, region_ratio=1)(sample())["mask"].all()


@pytest.mark.parametrize("mode", MODES)
def test_transforms_pickle_for_spawned_workers(mode):
    transform = pickle.loads(pickle.dumps(seeded(mask_mode=mode)))
    assert torch.equal(transform(sample())["mask"], seeded(mask_mode=mode)(sample())["mask"])


def test_a_number_leaves_the_whole_random_stream_to_the_masks():
    transform, rng = seeded(3), np.random.RandomState(3)
    for _ in range(3):
        expected = draw_two_level(np.ones((4, 2, 6), dtype=bool), 0.5, 0.75, (2, 1, 2), rng)
        assert np.array_equal(transform(sample())["mask"][0].numpy(), expected)


def test_a_pair_of_ratios_is_drawn_for_each_sample():
    transform = seeded(mask_ratio=[0.4, 0.9], region_ratio=0.9, mask_mode="uniform")
    counts = [int(transform(sample())["mask"].sum()) for _ in range(40)]
    assert all(round(0.4 * 48) <= count <= round(0.9 * 48) for count in counts)
    assert len(set(counts)) > 10
    again = seeded(mask_ratio=[0.4, 0.9], region_ratio=0.9, mask_mode="uniform")
    assert counts == [int(again(sample())["mask"].sum()) for _ in range(40)]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("kind", [seeded, lambda **kwargs: fixed(**kwargs)])
def test_foreground_is_masked_by_preference_and_only_where_valid(kind, channels):
    image, valid = torch.zeros(channels, 8, 8, 12), torch.ones(1, 8, 8, 12)
    image[-1, :, :, :6] = 0.3  # half of the patches, in one channel
    image[:, :, :, 10:] = 9.0  # bright, but padding
    valid[..., 10:] = 0
    transform = kind(mask_mode="foreground", foreground_above=0.2, foreground_weight=50.0, mask_ratio=0.4)
    out = [transform({"image": image, "valid": valid, "volume_id": i})["mask"][0] for i in range(20)]
    assert all(int(mask.sum()) == 16 for mask in out)
    assert not any(mask[:, :, 5].any() for mask in out)
    assert sum(int(mask[:, :, :3].sum()) for mask in out) > 0.85 * 16 * 20


@pytest.mark.parametrize(
    ("kwargs", "shape", "message"),
    [
        ({}, (8, 8, 13), r"size \(8, 8, 13\) is not a multiple of patch_size \(2, 4, 2\)"),
        ({}, (6, 8, 12), r"grid of patches \(3, 2, 6\) is not a multiple of the region, in patches, \(2, 1, 2\)"),
        ({"mask_ratio": 0.9}, (8, 8, 12), "mask_ratio 0.9 and region_ratio 0.75"),
    ],
)
def test_what_does_not_fit_the_image_raises_with_both_named(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        seeded(**kwargs)({"image": torch.zeros(1, *shape)})


def test_a_missing_image_raises():
    with pytest.raises(KeyError, match="image"):
        seeded()({})


def fixed(**kwargs):
    return make(FixedPatchMaskd, **kwargs)


@pytest.mark.parametrize("mode", MODES)
def test_fixed_masks_are_the_same_across_epochs_and_workers(mode):
    transform = fixed(mask_mode=mode)
    data = Dataset([sample(volume_id=i) for i in range(6)], transform)
    epochs = []
    for workers in (0, 0, 2):
        torch.manual_seed(workers)  # what moves the random masks must not move these
        epochs.append(torch.cat([b["mask"] for b in DataLoader(data, batch_size=2, num_workers=workers)]))
    assert torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0], epochs[2])
    assert len(set(map(tuple, epochs[0].flatten(1).tolist()))) == 6


def test_fixed_masks_have_the_middle_of_a_pair_of_ratios():
    for mode in MODES:
        pair, middle = (fixed(mask_mode=mode, mask_ratio=ratio) for ratio in ([0.25, 0.75], 0.5))
        assert torch.equal(pair(sample(volume_id=1))["mask"], middle(sample(volume_id=1))["mask"])


def test_fixed_masks_depend_on_seed_and_id_alone():
    one = fixed()(sample(volume_id=3))["mask"]
    assert torch.equal(one, fixed()(sample(volume_id=torch.tensor(3), channels=4))["mask"])
    assert not torch.equal(one, fixed(seed=1)(sample(volume_id=3))["mask"])
    assert not torch.equal(one, fixed()(sample(volume_id=4))["mask"])


@pytest.mark.parametrize("bad", [None, -1, 1.5, "liver"])
def test_an_id_that_is_no_whole_number_is_named(bad):
    with pytest.raises(ValueError, match=r"data\['case'\] is .*; allowed: a whole number at least 0"):
        fixed(id_key="case")(sample(case=bad))
    with pytest.raises(ValueError, match="seed is -1; allowed: a whole number at least 0"):
        fixed(seed=-1)
