"""Chains of transforms that a store cannot serve are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.transforms import (
    Compose,
    CropForegroundd,
    Identityd,
    Lambdad,
    MapLabelValued,
    NormalizeIntensityd,
    RandGaussianNoised,
    ScaleIntensityd,
    ScaleIntensityRanged,
    SpatialPadd,
)

from custom_components.data import AxisSpacingd, stored_foreground
from custom_components.store import Store, cached_dataset
from custom_components.store.keys import steps_of
from tests.store.conftest import MakeRecipe, Recipe


def replaced(recipe: Recipe, old: Any, new: Any) -> Compose:
    return Compose([new if one is old else one for one in recipe.transform.transforms])


def before(recipe: Recipe, place: Any, new: Any) -> Compose:
    transforms = list(recipe.transform.transforms)
    transforms.insert(transforms.index(place), new)
    return Compose(transforms)


def pad_of(recipe: Recipe) -> Any:
    return next(one for one in recipe.transform.transforms if isinstance(one, SpatialPadd))


def crop_of(recipe: Recipe) -> Any:
    return recipe.transform.transforms[recipe.transform.transforms.index(pad_of(recipe)) + 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: (before(r, r.intensity, ScaleIntensityd("image")), {}),
            "cannot tell two ScaleIntensityd apart",
        ),
        (lambda r: (before(r, r.intensity, r.intensity), {}), "needs LoadImaged, then intensity, once"),
        (
            lambda r: (before(r, crop_of(r), RandGaussianNoised("image")), {}),
            "cannot do RandGaussianNoised to a crop before it is cut",
        ),
        (lambda r: (before(r, pad_of(r), Lambdad("image", lambda x: x)), {}), "cannot do Lambdad to a crop"),
        (
            lambda r: (replaced(r, pad_of(r), SpatialPadd("image", 8, mode="reflect")), {}),
            "pads with 0, found mode",
        ),
        (
            lambda r: (replaced(r, r.intensity, new := ScaleIntensityd("image")), {"intensity": new}),
            "as intensity, found ScaleIntensityd",
        ),
        (
            lambda r: (replaced(r, r.intensity, new := NormalizeIntensityd("image")), {"intensity": new}),
            "with channel_wise as intensity, found NormalizeIntensityd",
        ),
        (
            lambda r: (replaced(r, r.foreground, new := ScaleIntensityd("image")), {"foreground": new}),
            "knows CropForegroundd and Identityd as foreground, found ScaleIntensityd",
        ),
        (
            lambda r: (
                replaced(r, r.foreground, new := CropForegroundd("image", "image", margin=3)),
                {"foreground": new},
            ),
            "needs a foreground without margin and k_divisible, found margin 3",
        ),
        (
            lambda r: (
                replaced(r, r.foreground, new := CropForegroundd("image", "image", select_fn=lambda x: x > 0.1)),
                {"foreground": new},
            ),
            "needs a criterion of foreground with a name, .* found <lambda>",
        ),
    ],
)
def test_a_chain_that_a_store_cannot_serve_is_refused(
    change: Callable[[Recipe], tuple[Compose, dict[str, Any]]],
    message: str,
    make_recipe: MakeRecipe,
    tmp_path: Path,
) -> None:
    recipe = make_recipe()
    transform, given = change(recipe)
    store = recipe._replace(**given).store(tmp_path / "store", tmp_path)
    with pytest.raises(ValueError, match=message) as raised:
        cached_dataset("store", store, [], transform)
    assert "cache is store" in str(raised.value)


def test_another_kind_of_cache_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    with pytest.raises(ValueError, match="cache is 'disk'; allowed: ram, store, none"):
        cached_dataset("disk", recipe.store(tmp_path, tmp_path), [], recipe.transform)


def test_another_format_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    store: Store = recipe.store(tmp_path, tmp_path, store_format="zarr")
    with pytest.raises(ValueError, match="store_format is 'zarr'; allowed: npy, blosc2"):
        cached_dataset("store", store, [], recipe.transform)


def test_all_that_changes_resampled_voxels_is_part_of_their_name() -> None:
    crop = CropForegroundd("image", "image")

    def step(low: float, spacing: float = 1.5, key: str = "image", select: Any = None) -> list[Any]:
        window = ScaleIntensityRanged("image", low, 250, 0, 1, clip=True)
        criterion = select or stored_foreground(window, crop)
        resample = AxisSpacingd(
            ["image", "label"], [spacing, 1, 1], ["bilinear", "nearest"], is_foreground=criterion
        )
        return steps_of([resample], key)

    assert step(-175) == [["AxisSpacingd", [1.5, 1.0, 1.0], "bilinear", "where image is _operator.lt(-175)"]]
    assert len({str(made) for made in (step(-175), step(-100), step(-175, 2), step(-175, key="label"))}) == 4
    with pytest.raises(ValueError, match="needs a criterion of foreground with a name, .* found <lambda>"):
        step(-175, select=lambda image: image > 0)


def test_a_mapping_of_labels_is_part_of_their_name() -> None:
    swapped = MapLabelValued("label", [1, 2], [2, 1])
    assert steps_of([Identityd("label")], "label") == []
    assert steps_of([swapped], "image") == []
    assert steps_of([swapped], "label") == [["MapLabelValued", [[1.0, 2.0], [2.0, 1.0]]]]
