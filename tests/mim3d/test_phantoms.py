"""Phantoms: seeded, anatomically placed, stored with true affines, and written as a data set without leaks."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.catalog import QUICK_PHANTOMS, TASKS
from mim3d.cli import main
from mim3d.phantoms import KINDS, Case, make_case, split_counts, write_phantoms
from mim3d.phantoms.abdomen_atlas import BTCV_LABELS, ORGANS, PHASES, TISSUES
from mim3d.phantoms.fields import occupancy, smooth_field
from mim3d.phantoms.shapes import Ball, Tube, distance
from mim3d.phantoms.volume_grid import ORIENTATIONS, make_grid

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


def test_stored_arrays_and_affine_name_the_same_places() -> None:
    grid = make_grid((-6, -8, -10), (6, 8, 10), (1.0, 2.0, 2.5), "PIR")
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    stored, affine = grid.store(array, (1, 2, 3))
    assert "".join(nib.aff2axcodes(affine)) == "PIR"
    for spot in [(0, 0, 0), (3, 1, 5), tuple(n - 1 for n in grid.shape)]:
        world = np.array([axis[i] for axis, i in zip(grid.axes, spot, strict=True)]) + (1, 2, 3)
        there = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), world)).astype(int)
        assert stored[tuple(there)] == array[spot]


def test_signed_distances_are_those_of_ball_and_tube() -> None:
    points = np.array([[0, 0, 0], [10, 0, 0], [13, 0, 0], [0, 7, 0]], np.float32).T
    np.testing.assert_allclose(distance((Ball((0, 0, 0), (10, 10, 10)),), points), [-10, 0, 3, -3], atol=1e-4)
    np.testing.assert_allclose(distance((Tube(((-5, 0, 0, 2), (5, 0, 0, 2))),), points), [-2, 3, 6, 5], atol=1e-4)


def test_a_field_depends_on_place_and_not_on_voxel_size() -> None:
    coarse, fine = ([np.arange(-20, 20.1, step) for _ in range(3)] for step in (2.0, 1.0))
    a, b = (smooth_field(axes, 15.0, np.random.default_rng(0)) for axes in (coarse, fine))
    np.testing.assert_allclose(a, b[::2, ::2, ::2], atol=1e-4)


def test_partial_volume_keeps_the_volume_of_a_ball() -> None:
    grid = make_grid((-20, -20, -20), (20, 20, 20), (3, 3, 3), "RAS")
    share = occupancy(distance((Ball((0.7, 0.3, 0), (12, 12, 12)),), grid.points()), 3.0)
    assert share.sum() * 27 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.04)


def test_every_row_of_the_atlas_names_known_tissues_and_earlier_rows() -> None:
    seen = {"cavity"}
    for organ in ORGANS:
        assert organ.tissue in TISSUES
        assert organ.shell is None or organ.shell[1] in TISSUES
        assert {organ.moves_with, organ.inside} - {None} <= seen
        seen.add(organ.name)
    assert {organ.label for organ in ORGANS} - {None} == set(BTCV_LABELS)


def test_orientations_are_valid_and_distinct() -> None:
    assert len(set(ORIENTATIONS)) == len(ORIENTATIONS)
    assert all(sorted("LR".find(c) >= 0 for c in code) == [False, False, True] for code in ORIENTATIONS)


@pytest.mark.parametrize(
    ("cases", "given", "expected"),
    [
        (20, {}, [5, 2, 3, 10]),
        (30, {"training": 6, "validation": 2, "test": 4, "unlabelled": None}, [6, 2, 4, 18]),
        (None, {"training": 2, "test": 1}, [2, 0, 1, 0]),
        (5, {"training": 5}, [5, 0, 0, 0]),
        (1, {}, [0, 0, 0, 1]),
    ],
)
def test_counts_add_up(cases: int | None, given: dict[str, int | None], expected: list[int]) -> None:
    assert list(split_counts(cases, given).values()) == expected


@pytest.mark.slow
def test_data_set_lists_what_it_wrote_and_no_case_twice(tmp_path: Path) -> None:
    path = write_phantoms(tmp_path / "set", cases=7, size="tiny", training=2, validation=1, test=1, progress=False)
    listed = json.loads(path.read_text())
    assert path.name == "datalist.json"
    assert {name: len(listed[name]) for name in ("training", "validation", "test", "unlabelled")} == {
        "training": 2, "validation": 1, "test": 1, "unlabelled": 3,
    }  # fmt: skip
    assert listed["channels"] == ["CT"]
    assert listed["labels"]["6"] == "liver"
    images = [item["image"] for name in ("training", "validation", "test", "unlabelled") for item in listed[name]]
    assert len(set(images)) == 7
    assert all("label" not in item for item in listed["unlabelled"])
    for item in listed["training"]:
        image, label = (nib.load(path.parent / item[key]) for key in ("image", "label"))
        np.testing.assert_array_equal(image.affine, label.affine)
        assert image.shape == label.shape
        assert image.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8
        assert image.header.get_xyzt_units()[0] == "mm"
    files = {p.relative_to(path.parent).as_posix() for p in path.parent.rglob("*") if p.is_file()}
    labels = {item["label"] for name in ("training", "validation", "test") for item in listed[name]}
    assert files == {*images, *labels, "datalist.json", "phantoms.png"}


def test_files_do_not_depend_on_what_else_is_written(tmp_path: Path) -> None:
    few = write_phantoms(tmp_path / "few", "hippocampus_mri", training=1, progress=False).parent
    many = write_phantoms(tmp_path / "many", "hippocampus_mri", training=3, progress=False).parent
    name = "imagesTr/hippocampus_mri_000.nii.gz"
    assert (few / name).read_bytes() == (many / name).read_bytes()


def test_four_sequences_are_one_file_with_named_channels(tmp_path: Path) -> None:
    path = write_phantoms(tmp_path, "brain_mri", training=1, size="tiny", progress=False)
    listed = json.loads(path.read_text())
    assert listed["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    assert nib.load(tmp_path / listed["training"][0]["image"]).shape[3] == 4


def test_overwrite_replaces_phantoms_and_nothing_else(tmp_path: Path) -> None:
    write_phantoms(tmp_path, "hippocampus_mri", training=3, progress=False)
    with pytest.raises(ValueError, match="holds 8 files.*--overwrite"):
        write_phantoms(tmp_path, "hippocampus_mri", training=1, progress=False)
    write_phantoms(tmp_path, "hippocampus_mri", training=1, overwrite=True, progress=False)
    assert len(list((tmp_path / "imagesTr").iterdir())) == 1
    (tmp_path / "imagesTr" / "patient.nii.gz").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"patient\.nii\.gz"):
        write_phantoms(tmp_path, "hippocampus_mri", training=1, overwrite=True, progress=False)
    assert (tmp_path / "datalist.json").exists()


def test_a_foreign_data_list_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_text('{"name": "our patients"}')
    with pytest.raises(ValueError, match="not written by this command"):
        write_phantoms(tmp_path, training=1, size="tiny", overwrite=True, progress=False)
    assert "our patients" in (tmp_path / "datalist.json").read_text()


def test_command_writes_a_set_and_refuses_to_replace_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["phantoms", "--kind", "hippocampus_mri", "--cases", "2", "--training", "1", "--out", str(tmp_path)]
    main(words)
    assert "datalist.json" in capsys.readouterr().out
    assert (tmp_path / "phantoms.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main(words)
    assert "--overwrite" in capsys.readouterr().err


def test_tasks_of_the_catalog_name_every_kind() -> None:
    assert {*(task.phantoms for task in TASKS.values()), QUICK_PHANTOMS} == set(KINDS)
