"""Stacking one file per sequence into one 4D file: voxels, grid, order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from monai.transforms import LoadImage

from custom_components.data.brats import LABEL_SOURCES
from mim3d.catalog import BUNDLES
from mim3d.cli import main, parser_of
from mim3d.datasets.stack import map_label, stack_folder, stack_images
from mim3d.phantoms import write_phantoms

SHAPE = (12, 10, 8)
SEQUENCES = ("flair", "t1", "t1ce", "t2")
AFFINE = np.array([[-1.0, 0.1, 0, 30], [0.1, -1.2, 0, 20], [0, 0, 2, -7], [0, 0, 0, 1]])


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=3)
    nib.save(image, path)
    return str(path)


def volume(seed: int, dtype: type = np.int16) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 2000, SHAPE).astype(dtype)


def label_values(seed: int) -> np.ndarray:
    """Values as BraTS 2020 and 2021 write them: 0, 1, 2, 4."""
    return np.array([0, 1, 2, 4], np.uint8)[volume(seed) % 4]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [save(tmp_path / "c" / f"{name}.nii.gz", volume(k)) for k, name in enumerate(SEQUENCES)]


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    """Two labelled cases, one of them with plain .nii files, and one without label."""
    folder = tmp_path / "data"
    for number, suffix in enumerate(("nii.gz", "nii", "nii.gz")):
        case = f"BraTS2021_{number:05d}"
        for k, name in enumerate(SEQUENCES):
            save(folder / case / f"{case}_{name}.{suffix}", volume(10 * number + k))
        if number < 2:
            save(folder / case / f"{case}_seg.{suffix}", label_values(number))
    return folder


def test_channels_are_the_files_in_the_order_given_on_their_grid(files: list[str], tmp_path: Path) -> None:
    order = [files[2], files[0], files[3], files[1]]
    out = stack_images(order, tmp_path / "new" / "case.nii.gz")
    stacked, first = nib.load(out), nib.load(files[2])
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


def test_monai_reads_the_stack_as_it_reads_the_files(files: list[str], tmp_path: Path) -> None:
    load = LoadImage(ensure_channel_first=True)
    stacked = load(stack_images(files, tmp_path / "case.nii"))
    apart = load(files)
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


@pytest.mark.parametrize("name", ["case.nii.gz", "labels/final/case.nii.gz"])
def test_what_exists_stays_unless_asked(brats: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    there = out / name.replace("case", "BraTS2021_00001")
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old")
    with pytest.raises(ValueError, match=f"{there} exists; --overwrite replaces it"):
        stack_folder(brats, out, label_source="brats2021", progress=False)
    assert [path for path in out.rglob("*") if path.is_file()] == [there]
    stack_folder(brats, out, label_source="brats2021", overwrite=True, progress=False)
    assert there.read_bytes() != b"old"


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


def test_4d_images_of_other_channels_are_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (*SHAPE, 4)), ("b", (*SHAPE, 2))):
        save(tmp_path / "data" / "imagesTr" / f"{name}.nii", np.zeros(shape, np.int16))
    with pytest.raises(ValueError, match=r"b.nii has 2 channels; expected 4"):
        stack_folder(tmp_path / "data", tmp_path / "out", label_source="msd_task01", progress=False)
    assert nib.load(tmp_path / "out" / "a.nii.gz").shape == (*SHAPE, 4)  # packed: its file was not
    listed = {"modality": {"0": "T1w", "1": "FLAIR", "2": "t1gd", "3": "T2w"}}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="lists the channels T1w, FLAIR, t1gd, T2w: in another order than FLAIR"):
        stack_folder(tmp_path / "data", tmp_path / "new", label_source="msd_task01", progress=False)


def test_a_stack_within_the_data_folder_does_not_become_data(brats: Path) -> None:
    stack_folder(brats, brats / "stacked", label_source="brats2021", progress=False)
    again, _ = stack_folder(brats, brats / "again", progress=False)
    assert len(again) == 3


def test_files_that_do_not_belong_together_are_named(files: list[str], tmp_path: Path) -> None:
    out = tmp_path / "x.nii.gz"
    small = save(tmp_path / "small.nii", volume(0)[:, :, 1:])
    moved = save(tmp_path / "moved.nii", volume(0), AFFINE + 5 * np.eye(4, k=3))
    many = save(tmp_path / "many.nii", np.stack([volume(0)] * 2, -1))
    for bad, words in (
        (small, r"small.nii has shape"),
        (moved, "moved.nii lies elsewhere"),
        (many, "has 2 channels"),
    ):
        with pytest.raises(ValueError, match=words):
            stack_images([files[0], bad], out)
    with pytest.raises(ValueError, match="no.nii does not exist"):
        stack_images([files[0], str(tmp_path / "no.nii")], out)
    with pytest.raises(ValueError, match="names 1 files; allowed: at least two"):
        stack_images(files[:1], out)
    with pytest.raises(ValueError, match="x.mha; allowed: a name in .nii or .nii.gz"):
        stack_images(files, tmp_path / "x.mha")
    assert not out.exists()


def test_folders_without_anything_to_stack_are_refused(brats: Path, tmp_path: Path) -> None:
    save(tmp_path / "ct" / "a.nii.gz", volume(0))
    with pytest.raises(ValueError, match="ct has one file per case already: nothing to stack"):
        stack_folder(tmp_path / "ct", tmp_path / "out")
    with pytest.raises(ValueError, match="there are 3 cases; allowed: a folder"):
        stack_folder(brats, tmp_path / "all.nii.gz")
    for parent, sequence in ((p, name) for p in "ab" for name in SEQUENCES):
        save(tmp_path / "twice" / parent / "case" / f"case_{sequence}.nii.gz", volume(0))
    with pytest.raises(ValueError, match="several cases named case"):
        stack_folder(tmp_path / "twice", tmp_path / "out", progress=False)


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
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["stack", "--images", *files, "--out", str(tmp_path / "case.nii.gz")])
    assert "channels: 0 flair.nii.gz, 1 t1.nii.gz, 2 t1ce.nii.gz, 3 t2.nii.gz" in capsys.readouterr().out
    assert nib.load(tmp_path / "case.nii.gz").shape == (*SHAPE, 4)


def test_the_help_lists_every_label_source() -> None:
    assert all(source in parser_of("stack").format_help() for source in LABEL_SOURCES)
