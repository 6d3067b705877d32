"""Phantoms of each kind: seeded, with every class, and anatomically placed in the patient's space."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from mim3d.catalog import QUICK_PHANTOMS, TASKS
from mim3d.phantoms import KINDS, Case, make_case
from mim3d.phantoms.abdomen_atlas import BTCV_LABELS, PHASES, TISSUES

#: Plausible volumes in ml, wide enough for small and large patients and for partial coverage.
VOLUMES = {
    "spleen": (80, 450),
    "right kidney": (80, 280),
    "left kidney": (80, 280),
    "gallbladder": (8, 90),
    "esophagus": (5, 50),
    "liver": (750, 2000),
    "stomach": (120, 800),
    "aorta": (40, 160),
    "inferior vena cava": (40, 170),
    "portal and splenic veins": (10, 60),
    "pancreas": (25, 140),
    "right adrenal gland": (1, 9),
    "left adrenal gland": (1, 9),
}


@pytest.fixture(scope="module")
def abdomens() -> list[Case]:
    return [make_case("abdomen_ct", index, seed=3) for index in range(6)]


def millilitres(case: Case, value: int) -> float:
    return float((case.label == value).sum() * np.prod(nib.affines.voxel_sizes(case.affine)) / 1000)


def world_middle(case: Case, value: int) -> np.ndarray:
    return nib.affines.apply_affine(case.affine, np.argwhere(case.label == value).mean(0))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(kind: str) -> None:
    first, again, other = (make_case(kind, 1, seed, "tiny") for seed in (5, 5, 6))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    np.testing.assert_array_equal(first.affine, again.affine)
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", ["tiny", pytest.param("small", marks=pytest.mark.slow)])
def test_every_class_is_present_and_no_other(kind: str, size: str) -> None:
    for index in range(3):
        case = make_case(kind, index, size=size)
        assert sorted(np.unique(case.label)) == sorted(KINDS[kind].labels)
        assert case.image.dtype == np.int16
        assert case.label.dtype == np.uint8
        assert case.image.shape[:3] == case.label.shape
        channels = len(KINDS[kind].channels)
        assert case.image.shape[3:] == ((channels,) if channels > 1 else ())


def test_organ_volumes_are_plausible(abdomens: list[Case]) -> None:
    for case in abdomens:
        for value, name in BTCV_LABELS.items():
            if value:
                low, high = VOLUMES[name]
                assert low < millilitres(case, value) < high, name


def test_left_and_right_front_and_back_are_the_patients(abdomens: list[Case]) -> None:
    number = {name: value for value, name in BTCV_LABELS.items()}
    for case in abdomens:
        place = {name: world_middle(case, value) for name, value in number.items() if value}
        # World coordinates are RAS+: x grows to the patient's right, y forward, z up.
        assert place["liver"][0] > place["aorta"][0] + 30
        assert place["spleen"][0] < place["aorta"][0] - 30
        assert place["right kidney"][0] > place["left kidney"][0] + 60
        assert place["right adrenal gland"][0] > place["left adrenal gland"][0]
        assert place["inferior vena cava"][0] > place["aorta"][0]
        assert place["gallbladder"][1] > place["right kidney"][1]
        assert place["stomach"][1] > place["left kidney"][1]
        assert place["esophagus"][2] > place["pancreas"][2]


def test_six_organs_keep_their_names() -> None:
    case, labels = make_case("six_organs_ct", 0), KINDS["six_organs_ct"].labels
    place = {name: world_middle(case, value) for value, name in labels.items() if value}
    assert list(place) == ["spleen", "right kidney", "left kidney", "liver", "stomach", "aorta"]
    assert place["right kidney"][0] > place["left kidney"][0] + 60
    assert place["liver"][0] > place["aorta"][0] + 30 > place["spleen"][0] + 60
    assert place["stomach"][1] > place["left kidney"][1]
    for value, name in labels.items():
        if value:
            low, high = VOLUMES[name]
            assert low < millilitres(case, value) < high, name


def test_spacing_orientation_and_shape_differ_between_cases(abdomens: list[Case]) -> None:
    spacings = {tuple(np.round(nib.affines.voxel_sizes(case.affine), 3)) for case in abdomens}
    codes = ["".join(nib.aff2axcodes(case.affine)) for case in abdomens]
    assert len(spacings) == len(abdomens)
    assert all(max(s) / min(s) > 1.01 for s in spacings)
    assert len(set(codes)) == len(abdomens)
    assert codes == [case.codes for case in abdomens]
    assert any(set(c[0]) & set("APIS") for c in codes), "no case with permuted axes"
    assert all(len(set(case.image.shape)) > 1 for case in abdomens)


def test_tissues_have_hounsfield_units_of_the_right_order(abdomens: list[Case]) -> None:
    number = {name: value for value, name in BTCV_LABELS.items()}
    for case in abdomens:
        mean = {name: case.image[case.label == value].mean() for name, value in number.items() if value}
        phase = PHASES.index(case.note)
        assert case.image.min() < -950
        assert case.image.max() > 300
        assert mean["liver"] == pytest.approx(TISSUES["liver"].hu[phase], abs=25)
        assert mean["gallbladder"] < mean["liver"]
        if case.note == "arterial":
            assert mean["aorta"] > mean["inferior vena cava"] + 100
        if case.note == "portal":
            assert mean["portal and splenic veins"] > mean["pancreas"]


def test_tumour_regions_are_nested() -> None:
    for index in range(3):
        case = make_case("brain_mri", index, seed=1)
        spacing = nib.affines.voxel_sizes(case.affine)
        middle = [np.argwhere(case.label == value).mean(0) * spacing for value in (1, 3)]
        assert np.linalg.norm(middle[0] - middle[1]) < 25
        # Nothing of the enhancing tumour lies beside what is neither edema nor tumour.
        inside = case.label > 0
        for axis in range(3):
            for step in (-1, 1):
                assert np.roll(inside, step, axis)[case.label == 3].mean() > 0.97
        brain = case.image.max(-1) > 0
        assert brain[inside].all()
        assert 700 < brain.sum() * spacing.prod() / 1000 < 1900
        assert (case.image[~brain] == 0).all()


def test_liver_tumours_lie_in_the_liver() -> None:
    for index in range(3):
        case = make_case("liver_ct", index)
        tumour, organ = case.label == 2, case.label > 0
        for axis in range(3):
            assert np.roll(organ, 1, axis)[tumour].mean() > 0.9
        assert case.image[tumour].mean() < case.image[case.label == 1].mean() - 8


def test_hippocampus_is_small_and_its_head_is_in_front() -> None:
    for index in range(4):
        case = make_case("hippocampus_mri", index)
        assert all(34 <= n <= 55 for n in case.image.shape)
        np.testing.assert_allclose(nib.affines.voxel_sizes(case.affine), 1)
        assert world_middle(case, 1)[1] > world_middle(case, 2)[1] + 8
        assert 0.8 < millilitres(case, 1) < 4
        assert 0.8 < millilitres(case, 2) < 4


def test_tasks_of_the_catalog_name_every_kind() -> None:
    assert {*(task.phantoms for task in TASKS.values()), QUICK_PHANTOMS} == set(KINDS)
