"""Labels beside stacks: mapped to the values of seg_brats, or refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from custom_components.data.brats import LABEL_SOURCES
from mim3d.catalog import BUNDLES
from mim3d.cli import parser_of
from mim3d.datasets.stack import map_label, stack_folder
from mim3d.phantoms import write_phantoms
from tests.mim3d.datasets.brats_files import AFFINE, SHAPE, label_values, save, volume


def test_label_sources_are_those_of_the_bundles_config() -> None:
    config = yaml.safe_load((BUNDLES / "seg_brats" / "configs" / "train.yaml").read_text(encoding="utf-8"))
    assert {name: list(values) for name, values in LABEL_SOURCES.items()} == config["source_values"]


@pytest.mark.parametrize(
    ("source", "pairs"),
    [
        ("brats2020", {0: 0, 1: 1, 2: 2, 4: 3}),
        ("brats2021", {0: 0, 1: 1, 2: 2, 4: 3}),
        ("brats2023", {0: 0, 1: 1, 2: 2, 3: 3}),
        ("msd_task01", {0: 0, 2: 1, 1: 2, 3: 3}),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_are_mapped_to_the_values_of_the_bundle_on_their_grid(
    tmp_path: Path, source: str, pairs: dict[int, int], dtype: type
) -> None:
    values = np.array(list(pairs))[volume(3) % 4].astype(dtype)
    label = save(tmp_path / "seg.nii.gz", values[..., None] if source == "brats2020" else values)
    map_label(label, save(tmp_path / "t1.nii", volume(1)), tmp_path / "new" / "out.nii.gz", source)
    written = nib.load(tmp_path / "new" / "out.nii.gz")
    found = np.asanyarray(written.dataobj)
    assert written.get_data_dtype() == np.uint8
    assert found.shape == SHAPE
    for index in np.ndindex(SHAPE):
        assert found[index] == pairs[int(values[index])]
    assert np.array_equal(written.affine, nib.load(label).affine)
    assert written.header["qform_code"] == 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.nii.gz"]


def test_labels_that_the_source_does_not_have_end_the_call(brats: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = r"BraTS2021_00000_seg.nii.gz holds the values 4; allowed with label_source 'brats2023': 0, 1, 2, 3$"
    with pytest.raises(ValueError, match=said):
        stack_folder(brats, out, label_source="brats2023", progress=False)
    assert not list(out.rglob("*.nii.gz"))
    with pytest.raises(
        ValueError, match="label_source is 'brats2024'; allowed: brats2020, brats2021, brats2023, msd"
    ):
        stack_folder(brats, out, label_source="brats2024", progress=False)
    image = save(tmp_path / "t1.nii", volume(1))
    half = save(tmp_path / "half.nii", np.full(SHAPE, 0.5, np.float32))
    with pytest.raises(ValueError, match=r"half.nii holds the value 0.5 at voxel \(0, 0, 0\), and 959 more"):
        map_label(half, image, tmp_path / "x.nii.gz", "brats2020")
    many = save(tmp_path / "many.nii", volume(1))
    with pytest.raises(ValueError, match=r"many.nii holds the values 7, .* and \d+ more; allowed"):
        map_label(many, image, tmp_path / "x.nii.gz", "brats2020")
    moved = save(tmp_path / "moved.nii", label_values(0), AFFINE + 5 * np.eye(4, k=3))
    with pytest.raises(ValueError, match="moved.nii lies elsewhere"):
        map_label(moved, image, tmp_path / "x.nii.gz", "brats2020")


def test_images_that_are_4d_already_are_copied_beside_mapped_labels(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_phantoms(data, "brain_mri", size="tiny", training=1, unlabelled=1, progress=False)
    with pytest.raises(ValueError, match="data has one file per case already: nothing to stack"):
        stack_folder(data, out, progress=False)
    written, channels = stack_folder(data, out, label_source="msd_task01", progress=False)
    assert channels == ["FLAIR", "T1", "T1ce", "T2"]
    assert [path.name for path in written] == ["brain_mri_000.nii.gz", "brain_mri_001.nii.gz"]
    assert written[0].read_bytes() == (data / "imagesTr" / written[0].name).read_bytes()
    (label,) = (out / "labels" / "final").iterdir()
    found, source = (np.asanyarray(nib.load(path).dataobj) for path in (label, data / "labelsTr" / label.name))
    assert {(int(a), int(b)) for a, b in zip(source.flat, found.flat, strict=True)} == {
        (0, 0),
        (1, 2),
        (2, 1),
        (3, 3),
    }


def test_the_help_lists_every_label_source() -> None:
    assert all(source in parser_of("stack").format_help() for source in LABEL_SOURCES)
