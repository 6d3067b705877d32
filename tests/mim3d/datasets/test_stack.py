"""Stacking one file per sequence into one 4D file: voxels, grid and order."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage

from mim3d.cli import main
from mim3d.datasets.stack import stack_folder, stack_images
from tests.mim3d.datasets.brats_files import AFFINE, SHAPE, label_values, save, volume


def test_channels_are_the_files_in_the_order_given_on_their_grid(sequences: list[str], tmp_path: Path) -> None:
    order = [sequences[2], sequences[0], sequences[3], sequences[1]]
    out = stack_images(order, tmp_path / "new" / "case.nii.gz")
    stacked, first = nib.load(out), nib.load(sequences[2])
    assert stacked.shape == (*SHAPE, 4)
    assert stacked.get_data_dtype() == np.int16
    for channel, path in enumerate(order):
        assert np.array_equal(np.asanyarray(stacked.dataobj)[..., channel], np.asanyarray(nib.load(path).dataobj))
    assert np.array_equal(stacked.affine, first.affine)
    for name in ("qform", "sform"):
        (ours, our_code), (theirs, their_code) = (
            getattr(i.header, f"get_{name}")(coded=True) for i in (stacked, first)
        )
        assert our_code == their_code
        assert np.allclose(ours, theirs)
    assert stacked.header.get_zooms()[:3] == first.header.get_zooms()
    assert list(out.parent.iterdir()) == [out]


def test_monai_reads_the_stack_as_it_reads_the_files(sequences: list[str], tmp_path: Path) -> None:
    load = LoadImage(ensure_channel_first=True)
    stacked = load(stack_images(sequences, tmp_path / "case.nii"))
    apart = load(sequences)
    assert stacked.shape == (4, *SHAPE)
    assert np.array_equal(stacked.numpy(), apart.numpy())
    assert np.allclose(stacked.affine, apart.affine)


def test_scaled_and_mixed_types_keep_their_values(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("u.nii.gz", "i.nii.gz", "f.nii.gz", "s.nii.gz")]
    for path, dtype in zip(paths[:3], (np.uint8, np.int16, np.float64), strict=True):
        save(path, (volume(1) % 200).astype(dtype))
    scaled = nib.Nifti1Image(volume(4), AFFINE)
    scaled.header.set_slope_inter(0.5, -3)
    nib.save(scaled, paths[3])
    assert nib.load(stack_images(paths[:2], tmp_path / "two.nii.gz")).get_data_dtype() == np.int16
    every = nib.load(stack_images(paths, tmp_path / "four.nii.gz"))
    assert every.get_data_dtype() == np.float32
    for channel, path in enumerate(paths):
        assert np.allclose(every.get_fdata()[..., channel], nib.load(path).get_fdata(), atol=1e-3)


def test_a_folder_becomes_one_file_per_case_with_labels_where_monai_label_looks(
    brats: Path, tmp_path: Path
) -> None:
    out = tmp_path / "studies"
    written, channels = stack_folder(brats, out, label_source="brats2021", progress=False)
    names = [f"BraTS2021_{k:05d}.nii.gz" for k in range(3)]
    assert [path.name for path in written] == names
    assert channels == ["FLAIR", "T1", "T1ce", "T2"]
    assert sorted(path.name for path in (out / "labels" / "final").iterdir()) == names[:2]
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {*names, *(f"labels/final/{name}" for name in names[:2])}
    for number, name in enumerate(names):
        stacked = nib.load(out / name).get_fdata()
        assert all(np.array_equal(stacked[..., k], volume(10 * number + k)) for k in range(4))
    for number, name in enumerate(names[:2]):
        label = nib.load(out / "labels" / "final" / name)
        written, source = np.asanyarray(label.dataobj), label_values(number)
        assert label.get_data_dtype() == np.uint8
        assert np.unique(written).tolist() == [0, 1, 2, 3]
        assert np.array_equal(written, np.where(source == 4, 3, source))
        assert np.array_equal(label.affine, nib.load(out / name).affine)
    stack_folder(brats, tmp_path / "plain", progress=False)
    assert not (tmp_path / "plain" / "labels").exists()


def test_a_stack_within_the_data_folder_does_not_become_data(brats: Path) -> None:
    stack_folder(brats, brats / "stacked", label_source="brats2021", progress=False)
    again, _ = stack_folder(brats, brats / "again", progress=False)
    assert len(again) == 3


def test_the_command_stacks_a_folder_and_names_the_channels(
    brats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["stack", str(brats), "--out", str(tmp_path / "out")]
    main([*words, "--labels", "--label_source", "brats2021"])
    output = capsys.readouterr().out
    assert "images: 3 in " in output
    assert "channels: 0 FLAIR, 1 T1, 2 T1ce, 3 T2" in output
    assert (tmp_path / "out" / "labels" / "final" / "BraTS2021_00001.nii.gz").is_file()
    with pytest.raises(SystemExit):
        main(words)
    assert "BraTS2021_00000.nii.gz exists (and 2 more); --overwrite replaces" in capsys.readouterr().err
    main([*words, "--overwrite"])


def test_the_command_stacks_named_files(
    sequences: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["stack", "--images", *sequences, "--out", str(tmp_path / "case.nii.gz")])
    assert "channels: 0 flair.nii.gz, 1 t1.nii.gz, 2 t1ce.nii.gz, 3 t2.nii.gz" in capsys.readouterr().out
    assert nib.load(tmp_path / "case.nii.gz").shape == (*SHAPE, 4)
