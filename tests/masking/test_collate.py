import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset
from monai.transforms import RandSpatialCropSamplesd

from custom_components.masking import MaskingCollate, MaskSampler, RandPatchMaskd
from custom_components.masking.sampler import MODES

GRID, PATCH = (4, 2, 6), (2, 4, 2)
PATCHES = 48
PARAMETERS = {
    "patch_size": PATCH,
    "region_size": 4,
    "region_ratio": 0.75,
    "block_size": (4, 4, 6),
    "foreground_above": 0.5,
    "foreground_weight": 4.0,
}


def sample(volume_id=0, channels=1, **more):
    image = torch.rand(channels, 8, 8, 12, generator=torch.Generator().manual_seed(volume_id))
    return {"image": image, "volume_id": volume_id, **more}


def collate(mode="uniform", mask_ratio=(0.3, 0.7), **more):
    return MaskingCollate(RandPatchMaskd(sampler=MaskSampler(mode, mask_ratio, **{**PARAMETERS, **more})))


def counts(batch):
    return batch["mask"].flatten(1).sum(dim=1).tolist()


def epoch(workers=0, seed=0, context=None, mode="uniform", mask_ratio=(0.3, 0.7)):
    torch.manual_seed(seed)
    loader = DataLoader(
        Dataset([sample(i) for i in range(16)]),
        batch_size=2,
        num_workers=workers,
        collate_fn=collate(mode, mask_ratio),
        multiprocessing_context=context,
    )
    return list(loader)


@settings(max_examples=20, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    ends=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    size=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_all_samples_of_a_batch_have_one_ratio_of_the_pair(mode, ends, size, seed):
    torch.manual_seed(seed)
    low, high = sorted(ends)
    batch = collate(mode, [low, high])([sample(i, channels=4) for i in range(size)])
    assert batch["mask"].shape == (size, 1, *GRID)
    assert batch["mask"].dtype == batch["valid"].dtype == torch.bool
    assert batch["valid"].shape == (size, 1, 8, 8, 12)
    assert len(set(counts(batch))) == 1
    assert round(low * PATCHES) <= counts(batch)[0] <= round(high * PATCHES)


@pytest.mark.parametrize("mode", MODES)
def test_batches_have_different_ratios_and_samples_different_masks(mode):
    torch.manual_seed(0)
    draw = collate(mode)
    batches = [draw([sample(0), sample(0)]) for _ in range(20)]  # one image: only the draw can differ
    assert len({counts(batch)[0] for batch in batches}) > 5
    masks = torch.cat([batch["mask"] for batch in batches]).flatten(1)
    assert len(set(map(tuple, masks.tolist()))) == 40


def test_counts_follow_each_samples_own_valid_patches():
    torch.manual_seed(1)
    valid = torch.zeros(1, 8, 8, 12)
    valid[..., :5] = 1  # 3 of 6 columns of patches
    batch = collate(mask_ratio=0.5)([sample(0, valid=torch.ones(1, 8, 8, 12)), sample(1, valid=valid)])
    assert counts(batch) == [24, 12]
    assert not batch["mask"][1, ..., 3:].any()


def test_lists_of_samples_are_flattened_as_monai_does():
    torch.manual_seed(0)
    crops = RandSpatialCropSamplesd("image", (4, 4, 6), num_samples=3, random_size=False).set_random_state(0)
    items = [crops(sample(i)) for i in (5, 7)]
    batch = collate()(items)
    assert batch["volume_id"].tolist() == [5, 5, 5, 7, 7, 7]
    assert batch["mask"].shape == (6, 1, 2, 1, 3)
    expected = torch.stack([crop["image"].as_tensor() for item in items for crop in item])
    assert torch.equal(batch["image"].as_tensor(), expected)


def test_images_and_the_samples_themselves_are_untouched():
    item = sample(3)
    before = item["image"].clone()
    batch = collate()([item])
    assert set(item) == {"image", "volume_id"}
    assert torch.equal(item["image"], before)
    assert torch.equal(batch["image"][0], before)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", ["two_level", "foreground"])
def test_an_epoch_is_repeated_exactly_under_one_seed(workers, mode):
    first, again, other = (epoch(workers, seed, mode=mode) for seed in (3, 3, 4))
    assert [counts(batch) for batch in first] != [counts(batch) for batch in other]
    assert all(torch.equal(a["mask"], b["mask"]) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_of_loader_workers_are_distinct(workers):
    batches = epoch(workers)
    masks = torch.cat([batch["mask"] for batch in batches]).flatten(1)
    assert len(set(map(tuple, masks.tolist()))) == 16
    assert all(len(set(counts(batch))) == 1 for batch in batches)
    assert len({counts(batch)[0] for batch in batches}) > 4


@pytest.mark.slow
def test_spawned_workers_draw_what_forked_ones_do():
    forked, spawned = epoch(1, context="fork"), epoch(1, context="spawn")
    assert all(torch.equal(a["mask"], b["mask"]) for a, b in zip(forked, spawned, strict=True))


def test_randomness_is_torchs_alone_and_the_transforms_own_stays():
    sampler = MaskSampler("uniform", [0.3, 0.7], PATCH)
    masks = RandPatchMaskd(sampler=sampler).set_random_state(5)
    draw = MaskingCollate(masks)
    results = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002  # the global state is what must not matter
        torch.manual_seed(9)
        results.append(draw([sample(0), sample(1)])["mask"])
    assert torch.equal(*results)
    other = RandPatchMaskd(sampler=sampler).set_random_state(5)
    assert torch.equal(masks(sample())["mask"], other(sample())["mask"])


def test_collates_pickle():
    batches = []
    for draw in (collate("block"), pickle.loads(pickle.dumps(collate("block")))):
        torch.manual_seed(2)
        batches.append(draw([sample(0)])["mask"])
    assert torch.equal(*batches)


def test_what_is_no_mask_transform_and_no_dictionary_is_named():
    with pytest.raises(ValueError, match="masks is a dict; allowed: a RandPatchMaskd"):
        MaskingCollate({"mask_ratio": 0.5})
    with pytest.raises(ValueError, match="a sample is a Tensor; allowed: a dictionary"):
        collate()([torch.zeros(1, 8, 8, 12)])
