"""Intensities that are not what a view expects are named in one table; real scans and phantoms are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose, Identityd, NormalizeIntensityd, ScaleIntensityRanged

from custom_components.checks import Intensities
from custom_components.checks.intensities import describe_volume, hu_window
from custom_components.data.labelled import spread_evenly
from mim3d.catalog import BUNDLES
from mim3d.phantoms.cases import make_case

WINDOW = (-175.0, 250.0)
CT = ScaleIntensityRanged("image", *WINDOW, 0.0, 1.0, clip=True)
MR = NormalizeIntensityd("image", channel_wise=True)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """Abdominal CT in HU, with air around the body."""
    return make_case("abdomen_ct", 0, size="tiny").image.astype(np.float32)


def body(scan: np.ndarray) -> np.ndarray:
    """A part without air outside the body."""
    return scan[tuple(slice(n // 3, 2 * n // 3) for n in scan.shape)]


def looks(volume: np.ndarray, window: tuple[float, float] | None = WINDOW) -> str | None:
    finding = describe_volume(volume, window)[2]
    return finding and finding.looks


@pytest.mark.parametrize("part", [np.asarray, body])
@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (lambda hu: hu, None),
        (lambda hu: hu.astype(np.int16), None),
        (lambda hu: np.clip(hu, -200, 300), None),
        (lambda hu: hu + 1024, "HU + 1024"),
        (lambda hu: np.clip(hu + 1000, 0, 4095), "HU + 1024"),
        (lambda hu: (hu + 32768).astype(np.uint16), "HU + 32768"),
        (lambda hu: hu - 1024, "HU - 1024"),
        (lambda hu: (np.clip(hu, -1000, 1000) + 1000) / 2000, "scaled, as to 0...1 or by a z-score"),
        (lambda hu: (hu - hu.mean()) / hu.std(), "scaled, as to 0...1 or by a z-score"),
        (lambda hu: ((np.clip(hu, -175, 250) + 175) * 0.6).astype(np.uint8), "8-bit grey values of a picture"),
        (lambda hu: np.clip(hu, -60, 80), "HU clipped at -60 and at 80"),
        (lambda hu: hu * 1000, "no CT: HU stay below 100000"),
        (np.zeros_like, "empty: all voxels are 0"),
        (lambda hu: np.full_like(hu, -1024), "constant"),
    ],
)
def test_ct_that_is_not_stored_in_hu_is_recognised(
    scan: np.ndarray, part: Callable[..., np.ndarray], store: Callable[..., np.ndarray], expected: str | None
) -> None:
    assert looks(store(part(scan))) == expected


def test_mr_in_a_ct_view_is_no_hu() -> None:
    assert looks(make_case("hippocampus_mri", 1).image) == "no HU: air is -1000 HU and fat -100 HU"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda volume: volume, None),
        (lambda volume: volume * 1e6, None),
        (lambda volume: volume.astype(np.uint8), None),
        (np.zeros_like, "empty: all voxels are 0"),
        (lambda volume: np.where(volume == volume.max(), volume * 1e6, volume), "99.8 % of the voxels lie in"),
        (lambda volume: np.where(volume == volume.max(), volume, 0), "99.8 % of the voxels are 0"),
    ],
)
def test_a_z_score_needs_values_that_differ(change: Callable[..., np.ndarray], expected: str | None) -> None:
    volume = make_case("hippocampus_mri", 0, size="tiny").image.astype(np.float32)
    found = looks(change(volume), None)
    assert found is None if expected is None else found is not None and found.startswith(expected)


@pytest.mark.parametrize(("kind", "window"), [("liver_ct", WINDOW), ("spleen_ct", WINDOW), ("brain_mri", None)])
def test_phantoms_give_no_warning(kind: str, window: tuple[float, float] | None) -> None:
    image = make_case(kind, 0, size="tiny").image
    channels = np.moveaxis(image, -1, 0) if image.ndim == 4 else image[None]
    assert [looks(channel, window) for channel in channels] == [None] * len(channels)


def write(folder: Path, volumes: dict[str, np.ndarray]) -> list[dict]:
    for name, volume in volumes.items():
        nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / name)
    return [{"image": str(folder / name)} for name in volumes]


def test_one_table_names_every_wrong_file(tmp_path: Path, scan: np.ndarray) -> None:
    items = write(tmp_path, {"a.nii.gz": scan, "b.nii.gz": scan + 1024, "c.nii": np.zeros((9, 8, 7), np.int16)})
    report = Intensities(items[:2], ["CT"], CT, items[2:], dataset_dir=str(tmp_path))()
    assert report is not None
    first, second, *table = report.splitlines()
    assert first == "3 of 3 volumes read; expected: HU, window -175 to 250"
    assert second == "warning: 2 of them look wrong"
    assert table[0].split("  ")[1] == "file"
    assert [line.split()[0] for line in table[1:]] == ["b.nii.gz", "c.nii"]
    assert "subtract 1024 from every voxel" in table[1]
    assert "0 to 0" in table[2]
    assert "empty: all voxels are 0  leave it out" in table[2]


def test_the_key_makes_it_an_error_in_one_line(tmp_path: Path, scan: np.ndarray) -> None:
    items = write(tmp_path, {"a.nii.gz": scan, "b.nii.gz": scan + 1024, "c.nii.gz": scan + 1024})
    with pytest.raises(ValueError) as refused:
        Intensities(items, ["CT"], CT, strict=True)()
    assert str(refused.value).startswith(
        f"{tmp_path}/b.nii.gz holds {scan.min() + 1024:g} to {scan.max() + 1024:g}: "
    )
    assert "; 1 more like it" in str(refused.value)
    assert (
        Intensities(items[:1], ["CT"], CT, strict=True)()
        == "1 of 1 volumes read; expected: HU, window -175 to 250"
    )


def test_each_channel_is_named_in_files_and_in_an_axis(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 20, (8, 8, 8)).astype(np.float32)
    empty = np.zeros_like(values)
    both = write(tmp_path, {"both.nii": np.stack([values, empty], -1), "v.nii": values, "e.nii": empty})
    items = [both[0], {"image": [both[1]["image"], both[2]["image"]]}]
    report = Intensities(items, ["T1", "T2"], MR, dataset_dir=str(tmp_path))() or ""
    assert [line.split("  ")[1] for line in report.splitlines()[3:]] == ["both.nii (channel 1)", "e.nii"]


def test_values_that_are_not_finite_end_the_check_as_they_would_end_training(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 20, (8, 8, 8)).astype(np.float32)
    values[1, 2, 3] = np.nan
    items = write(tmp_path, {"a.nii": values})
    with pytest.raises(ValueError, match=r"a.nii holds 1 of 512 values that are not finite"):
        Intensities(items, ["MRI"], MR)()
    assert Intensities(items, ["MRI"], MR, non_finite="replace")() == "1 of 1 volumes read"


def test_a_long_table_is_cut(tmp_path: Path) -> None:
    items = write(tmp_path, {f"{n:02d}.nii": np.zeros((4, 4, 4), np.int16) for n in range(13)})
    lines = (Intensities(items, ["MRI"], MR)() or "").splitlines()
    assert lines[1] == "warning: 13 of them look wrong"
    assert lines[-1] == "  and 3 more"
    assert len(lines) == 2 + 1 + 10 + 1


def test_the_volumes_read_are_spread_evenly(tmp_path: Path) -> None:
    items = [{"image": str(n)} for n in range(101)]
    assert [int(item["image"]) for item in spread_evenly(items, 5)] == [0, 25, 50, 75, 100]
    assert spread_evenly(items, None) == items
    assert Intensities(items, ["CT"], CT, volumes=0)() is None  # none of these files exists
    real = write(tmp_path, {f"{n}.nii": np.zeros((4, 4, 4), np.int16) for n in range(3)})
    assert (Intensities(real, ["MRI"], MR, volumes=2)() or "").startswith("2 of 3 volumes read\n")
    with pytest.raises(ValueError, match="intensity_volumes is -1"):
        Intensities(items, ["CT"], CT, volumes=-1)()


def test_the_window_is_that_of_the_transform_and_for_ct_only() -> None:
    assert hu_window(CT, ["CT"]) == WINDOW
    assert hu_window(Compose([Identityd("image"), Compose([CT])]), ["CT portal"]) == WINDOW
    assert hu_window(CT, ["MRI"]) is None
    assert hu_window(MR, ["CT"]) is None


@pytest.mark.parametrize(
    "folder", [*BUNDLES.glob("seg_*"), *BUNDLES.glob("pretrain_*")], ids=lambda path: path.name
)
def test_each_training_config_compares_ct_with_its_own_window(folder: Path) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(folder / "configs" / "train.yaml"))
    check = parser.get_parsed_content("checks#intensities")
    found = hu_window(check.intensity, check.channels)
    assert found == (tuple(parser["window"]) if "window" in parser.get() else None)
    assert (found is None) == (parser["channels"] != ["CT"])


@pytest.mark.parametrize(
    ("channel", "is_ct"),
    [
        ("CT", True),
        ("ct_venous", True),
        ("low-dose CT", True),
        ("CECT", True),
        ("functional", False),
        ("contrast T1", False),
    ],
)
def test_a_channel_is_ct_if_a_word_of_its_name_ends_so(channel: str, is_ct: bool) -> None:
    assert hu_window(CT, ["MR", channel]) == (tuple(map(float, WINDOW)) if is_ct else None)
