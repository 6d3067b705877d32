"""AxisSpacingd against MONAI's Spacingd: grid, values, labels, and the box of the foreground."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Invertd, ScaleIntensityRanged, Spacingd

from custom_components.data import AxisSpacingd

KEYS, MODES = ["image", "label"], ["bilinear", "nearest"]
ABOVE = partial(operator.lt, -175)
CROP = Compose(
    [
        ScaleIntensityRanged("image", -175, 250, 0, 1, clip=True),
        CropForegroundd(KEYS, source_key="image", allow_smaller=True),
    ]
)


def case(seed: int, channels: int = 1) -> tuple[dict[str, MetaTensor], list[float]]:
    """Air around a box of random HU and labels, on a random grid; and a spacing to resample to."""
    rng = np.random.RandomState(seed)
    shape = rng.randint(6, 30, 3)
    affine = np.eye(4)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] if seed % 2 else np.eye(3)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag(rng.uniform(0.4, 6, 3)), rng.uniform(-100, 100, 3)
    image, label = np.full((channels, *shape), -1000, np.float32), np.zeros((1, *shape), np.float32)
    first = rng.randint(0, shape - 5)
    body = (slice(None), *(slice(a, rng.randint(a + 4, side) + 1) for a, side in zip(first, shape, strict=True)))
    image[body] = rng.randint(-300, 1000, image[body].shape)
    label[body] = rng.randint(0, 4, label[body].shape)
    tensors = {"image": image, "label": label}
    return {key: MetaTensor(torch.tensor(t), affine=torch.tensor(affine)) for key, t in tensors.items()}, list(
        rng.uniform(0.5, 4, 3).round(1)
    )


def distance(first: Any, second: Any) -> float:
    return float((first.as_tensor() - second.as_tensor()).abs().max())


@pytest.mark.parametrize("seed", range(12))
def test_grid_and_values_are_those_of_spacingd(seed: int) -> None:
    data, pixdim = case(seed, channels=1 + seed % 3)
    before = {key: t.clone() for key, t in data.items()}
    expected = Spacingd(KEYS, pixdim, mode=MODES)(dict(data))
    found = AxisSpacingd(KEYS, pixdim, mode=MODES)(data)
    for key in KEYS:
        assert found[key].shape == expected[key].shape
        assert torch.equal(found[key].affine, expected[key].affine)
        assert found[key].dtype == torch.float32
        assert torch.equal(data[key], before[key])
    assert distance(found["image"], expected["image"]) < 1e-3  # HU
    assert torch.equal(found["label"].as_tensor(), expected["label"].as_tensor())


@pytest.mark.parametrize("seed", range(12))
def test_the_foreground_is_the_same_as_in_the_whole_volume(seed: int) -> None:
    data, pixdim = case(100 + seed)
    whole = CROP(Spacingd(KEYS, pixdim, mode=MODES)(dict(data)))
    part = AxisSpacingd(KEYS, pixdim, mode=MODES, is_foreground=ABOVE)(data)
    found = CROP(part)
    assert part["image"].shape == part["label"].shape
    for key in KEYS:
        assert found[key].shape == whole[key].shape
        assert torch.allclose(found[key].affine, whole[key].affine, atol=1e-9)
        assert distance(found[key], whole[key]) < 1e-5


def test_less_than_the_whole_volume_is_computed_and_nothing_is_lost_at_its_border() -> None:
    image = torch.full((2, 40, 40, 40), -1000.0)
    image[1, 10:12, 0:3, 37:40] = 500.0  # foreground in one channel, at two borders
    data = {"image": MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))}
    whole = Spacingd("image", (0.7, 3.1, 5.0))(dict(data))["image"]
    part = AxisSpacingd("image", (0.7, 3.1, 5.0), is_foreground=ABOVE)(data)["image"]
    assert part.numel() < whole.numel() / 50
    assert int((part > -175).sum()) == int((whole > -175).sum()) > 0


def test_a_volume_without_foreground_stays_whole_and_one_of_the_spacing_stays_as_it_is() -> None:
    data, pixdim = case(4)
    whole = AxisSpacingd("image", pixdim)(data)["image"].shape
    assert AxisSpacingd("image", pixdim, is_foreground=partial(operator.lt, 5000))(data)["image"].shape == whole
    same = AxisSpacingd(KEYS, data["image"].pixdim.tolist(), mode=MODES)(data)
    assert torch.equal(same["image"].as_tensor(), data["image"].as_tensor())


def test_a_label_halfway_between_two_voxels_takes_the_even_one() -> None:
    label = MetaTensor(torch.arange(8.0).reshape(1, 8, 1, 1), affine=torch.eye(4))
    found = AxisSpacingd("label", (1.5, 1, 1), mode="nearest", source_key="label")({"label": label})["label"]
    assert found.flatten().tolist() == [0, 2, 3, 4, 6, 7]  # at 0, 1.5, 3, 4.5, 6, 7.5


def test_sheared_axes_are_left_to_monai() -> None:
    data, _ = case(2)
    sheared = data["image"].affine.clone()
    sheared[0, 1] += 1.0
    data["image"].affine = sheared
    expected = Spacingd("image", (1.3, 1.3, 1.3))(dict(data))["image"]
    assert distance(AxisSpacingd("image", (1.3, 1.3, 1.3))(data)["image"], expected) == 0


def test_an_inverse_and_another_mode_are_refused() -> None:
    data, pixdim = case(6)
    transform = Compose([AxisSpacingd("image", pixdim)])
    done = transform(data)
    with pytest.raises(RuntimeError, match="applying transform") as found:
        Invertd("label", transform, orig_keys="image", nearest_interp=False)({**done, "label": done["image"]})
    assert "use Spacingd" in str(found.value.__cause__) + str(found.value)
    with pytest.raises(ValueError, match="mode is 'bicubic'; allowed: bilinear, nearest"):
        AxisSpacingd("image", pixdim, mode="bicubic")
