"""Which volumes look like label maps by their voxels: labels of several kinds do, images of few values do not."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.data.label_like import label_like

SHAPE = (48, 40, 32)
RNG = np.random.RandomState(0)


def smooth() -> np.ndarray:
    """A head in float64: 0 outside, 0 to 1 inside, with noise as of an MR."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    head = np.clip(0.6 + 0.3 * np.sin(4 * grid).prod(0) + RNG.normal(0, 0.03, SHAPE), 0, 1)
    return np.where((grid**2).sum(0) < 0.8, head, 0.0)


def regions(values: int) -> np.ndarray:
    return np.kron(RNG.randint(0, values, (6, 5, 4)), np.ones((8, 8, 8), int))


def brain() -> np.ndarray:
    return np.where(smooth() > 0, regions(90), 0)


LABELS = {
    "binary": smooth() > 0.7,
    "binary as float": (smooth() > 0.7).astype(np.float32),
    "thin": (np.indices(SHAPE).sum(0) % 7 == 0).astype(np.uint8),
    "three classes": regions(3).astype(np.uint8),
    "118 classes": regions(118).astype(np.int16),
    "brain": brain().astype(np.int32),
    "numbers far apart": (brain() * 23).astype(np.float64),
    "after a float round trip": (brain() * 0.99999999).astype(np.float32),
}
IMAGES = {
    "16 bits": smooth() * 4000,
    "8 bits": np.round(smooth() * 255).astype(np.uint8),
    "6 bits": np.round(smooth() * 63).astype(np.uint8),
    "4 bits": np.round(smooth() * 15).astype(np.uint8),
    "CT window": np.clip(np.round(smooth() * 900 - 300), -175, 250).astype(np.int16),
    "fractions": (regions(3) / 2).astype(np.float32),
    "noise": RNG.randint(0, 20, SHAPE).astype(np.uint8),
    "constant": np.zeros(SHAPE, np.uint8),
}


def save(folder: Path, values: np.ndarray, suffix: str) -> str:
    path = folder / f"x{suffix}"
    nib.save(nib.Nifti1Image(values.astype(np.uint8) if values.dtype == bool else values, np.eye(4)), path)
    return str(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", list(LABELS))
def test_label_maps_are_found(tmp_path: Path, kind: str, suffix: str) -> None:
    count = len(np.unique(np.round(LABELS[kind].astype(float))))
    assert f"holds only {count} values (0, " in label_like(save(tmp_path, LABELS[kind], suffix))


@pytest.mark.parametrize("kind", list(IMAGES))
def test_images_are_not_taken_for_label_maps(tmp_path: Path, kind: str) -> None:
    assert label_like(save(tmp_path, IMAGES[kind], ".nii.gz")) == ""


def test_a_file_that_changed_is_read_again_and_a_damaged_one_is_left_to_the_checks(tmp_path: Path) -> None:
    path = save(tmp_path, LABELS["three classes"], ".nii.gz")
    assert label_like(path)
    save(tmp_path, IMAGES["8 bits"], ".nii.gz")
    assert label_like(path) == ""
    Path(path).write_bytes(b"x")
    assert label_like(path) == ""
    assert label_like(str(tmp_path / "no.nii")) == ""


def test_an_image_is_read_no_further_than_needed(tmp_path: Path) -> None:
    path = Path(save(tmp_path, RNG.normal(0, 1, (128, 128, 64)).astype(np.float32), ".nii"))
    with path.open("r+b") as file:
        file.truncate(1 << 17)
    assert label_like(str(path)) == ""  # the end is missing and was not asked for
