"""A segmentation bundle's own inference.yaml: which files it takes, and what it refuses in one line."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

BUNDLE, FILES = "seg_msd_hippocampus", ["inference.yaml", "smoke.yaml"]
TINY: dict[str, Any] = {"roi_size": [32, 32, 32], "architecture#features": [4, 4, 8, 8, 16, 4]}
SHAPE = (20, 24, 18)
Run = Callable[..., Any]


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def write(path: Path, data: np.ndarray | None = None, kind: type = nib.Nifti1Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = voxels() if data is None else data
    lower = path.with_name(path.name.lower())
    kind(data, np.diag([1.0, 1.2, 1.5, 1.0])).to_filename(lower)
    return lower.rename(path)


@pytest.fixture(scope="module")
def weights(build_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the tiny network, whose masks have more than one value."""
    torch.manual_seed(0)
    network = build_bundle(BUNDLE, FILES, **TINY).parser.get_parsed_content("network_def")
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def segment(run_bundle: Run, weights: Path, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """``segment(dataset_dir, key=value)``: the masks that it writes, by file name."""

    def run(given: Any, **keys: Any) -> dict[str, np.ndarray]:
        out = tmp_path / "out"
        keys = {"weights": str(weights), "output_dir": str(out), **keys}
        run_bundle(BUNDLE, FILES, dataset_dir=given if isinstance(given, list) else str(given), **TINY, **keys)
        return {path.name: np.asanyarray(nib.load(path).dataobj) for path in sorted(Path(out).iterdir())}

    return run


def test_every_suffix_is_found_and_earlier_results_are_left_alone(segment: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.nii.gz", "B.NII.GZ", "imagesTs/c.nii", "D_seg.nii.gz"):
        write(folder / name)
    names = ["B.NII_seg.nii.gz", "D_seg_seg.nii.gz", "a_seg.nii.gz", "c_seg.nii.gz"]
    found = segment(folder)
    assert sorted(found) == names
    for mask in found.values():
        np.testing.assert_array_equal(mask, found["a_seg.nii.gz"])
    assert len(np.unique(found["a_seg.nii.gz"])) > 1
    for name in found:  # results into the input's folder
        (tmp_path / "out" / name).rename(folder / name)
    assert sorted(segment(folder)) == names


def test_non_finite_voxels_are_refused_or_replaced_by_the_lowest_value(segment: Run, tmp_path: Path) -> None:
    data = voxels()
    data[3, 3, 3], data[4, 4, 4] = np.nan, -np.inf
    bad = write(tmp_path / "bad.nii.gz", data)
    with pytest.raises(
        SystemExit, match=f"^error: {bad} has voxels that are NaN or infinite; --non_finite replace"
    ):
        segment(bad)
    data[~np.isfinite(data)] = data[np.isfinite(data)].min()
    clean = write(tmp_path / "clean.nii.gz", data)
    segment(bad, non_finite="replace")
    found = segment(clean)
    np.testing.assert_array_equal(found["bad_seg.nii.gz"], found["clean_seg.nii.gz"])


def test_monai_label_gets_no_mask_of_non_finite_voxels(build_bundle: Run, tmp_path: Path) -> None:
    data = voxels()
    data[0, 0, 0] = np.nan
    made = build_bundle(BUNDLE, FILES, **TINY)
    made.initialize()
    with pytest.raises(RuntimeError) as caught:
        made.preprocessing({"image": str(write(tmp_path / "bad.nii.gz", data))})
    assert "infs or NaNs" in str(caught.value.__cause__)


def rgb() -> np.ndarray:
    return np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rgb(), "has voxels of type .*; one real number each is allowed"),
        (voxels().astype(np.complex64), "has voxels of type complex64; one real number each is allowed"),
        (voxels()[..., None, None], r"has shape \(20, 24, 18, 1, 1\); 3D is allowed, or 4D"),
        (voxels()[:, :, 0], r"has shape \(20, 24\); 3D is allowed"),
        (voxels()[:, :, :1], "has one slice"),
    ],
    ids=["rgb", "complex", "5D", "2D", "one slice"],
)
def test_odd_volumes_are_refused_in_one_line(data: np.ndarray, message: str, segment: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.nii.gz", data)
    with pytest.raises(SystemExit, match=f"^error: {path} {message}"):
        segment(path)
    assert not (tmp_path / "out").exists()


def test_nifti_2_gives_the_mask_of_nifti_1(segment: Run, tmp_path: Path) -> None:
    segment(write(tmp_path / "one.nii.gz"))
    found = segment(write(tmp_path / "two.nii.gz", kind=nib.Nifti2Image))
    np.testing.assert_array_equal(found["one_seg.nii.gz"], found["two_seg.nii.gz"])


@pytest.mark.parametrize("name", ["a.nii.gz", "A.NII.GZ", "a.nii"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "header"])
def test_damaged_files_end_in_one_line(name: str, damage: str, segment: Run, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "header":  # asks for more slices than there are
        image = nib.load(path)
        content = bytearray(image.to_bytes())
        content[46:48] = (999).to_bytes(2, "little")
        path.write_bytes(content if name == "a.nii" else gzip.compress(content))
    elif name != "a.nii":
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    else:
        pytest.skip("nothing in an uncompressed file tells a changed voxel")
    with pytest.raises(SystemExit, match=f"^error: {path} is truncated"):
        segment(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("units", ["meter", "micron"])
def test_a_header_in_another_unit_is_refused(units: str, segment: Run, tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    image.header.set_xyzt_units(units)
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(SystemExit, match=r"a.nii states its geometry in another unit than mm$"):
        segment(tmp_path / "a.nii")


@pytest.mark.parametrize("spacing", [0.0, np.nan])
def test_a_header_without_spacing_is_refused(spacing: float, segment: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[84:88] = np.float32(spacing).tobytes()  # pixdim[2]
    path.write_bytes(content)
    with pytest.raises(SystemExit, match=r"a.nii has a spacing \(pixdim\) that is 0 or not a number$"):
        segment(path)


@pytest.mark.parametrize("names", [("case.nii", "case.nii.gz"), ("x.nii.gz", "imagesTs/x.nii.gz")])
def test_two_files_with_one_output_are_refused(names: tuple[str, str], segment: Run, tmp_path: Path) -> None:
    first, second = (write(tmp_path / "in" / name) for name in names)
    write(tmp_path / "in" / "another.nii")
    with pytest.raises(SystemExit, match=f"^error: {first} and {second} would be written to one file"):
        segment(tmp_path / "in")
    assert not (tmp_path / "out").exists()


def write_weights(kind: str, path: Path, good: dict[str, torch.Tensor]) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "web page":
        path.write_text("<!DOCTYPE html><html></html>", encoding="utf-8")
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"a": [1]}))
    elif kind == "network":
        torch.save(torch.nn.Linear(1, 1), path)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "not finite":
        last = list(good)[-1]
        torch.save({**good, last: torch.full_like(good[last], torch.nan)}, path)
    elif kind == "truncated":
        torch.save(good, path)
        path.write_bytes(path.read_bytes()[:-400])
    elif kind == "damaged":
        torch.save(good, path)
        content = bytearray(path.read_bytes())
        content[content.find(good["final_conv.weight"].numpy().tobytes())] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no weights at .*bad.pt; train first"),
        *((kind, "weights .*bad.pt is not a file that torch.save") for kind in ("folder", "web page", "empty")),
        *((kind, "weights .*bad.pt is not a file that torch.save") for kind in ("pickle", "truncated")),
        ("network", r"weights .*bad.pt hold Python objects \(.*Linear\)"),
        ("damaged", r"weights .*bad.pt is damaged \(checksum of .*/data/\d+\): copy"),
        ("list", ".*bad.pt does not fit this network"),
        ("not finite", r".*bad.pt holds values that are not finite \(final_conv.bias\)"),
    ],
)
def test_unusable_weights_end_in_one_line(
    kind: str, message: str, segment: Run, weights: Path, tmp_path: Path
) -> None:
    write_weights(kind, tmp_path / "bad.pt", torch.load(weights))
    with pytest.raises(SystemExit, match=f"^error: {message}") as caught:
        segment(write(tmp_path / "a.nii.gz"), weights=str(tmp_path / "bad.pt"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weigths", "w.pt"], "unknown key --weigths; did you mean weights?"),
        (["--output-dirr=o"], "unknown key --output-dirr; did you mean output_dir?"),
        (["--dataset_dir", "in#1"], r"""would change 'in#1' in --dataset_dir; write it as "\$'in\\x231'"$"""),
        (["--output_dir=exp#1"], "would change 'exp#1' in --output_dir"),
    ],
    ids=["misspelled", "equals sign", "input", "output"],
)
def test_the_command_line_is_checked(
    words: list[str], message: str, segment: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configs = str([str(Path("bundles") / BUNDLE / "configs" / name) for name in FILES])
    monkeypatch.setattr("sys.argv", ["/x/monai/bundle/__main__.py", "run", "--config_file", configs, *words])
    with pytest.raises(SystemExit, match=message):
        segment(tmp_path)


def test_known_keys_and_a_quoted_path_pass(
    segment: Run, run_bundle: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["--sw-overlap", "0.25", "--architecture#features", "[4]", "--meta_file", "m", "--amp=False"]
    configs = f"bundles/{BUNDLE}/configs/inference.yaml,bundles/{BUNDLE}/configs/smoke.yaml"
    monkeypatch.setattr("sys.argv", ["/x/monai/bundle/__main__.py", "run", "--config_file", configs, *words])
    write(tmp_path / "in#1" / "a.nii.gz")
    given = "$" + repr(str(tmp_path / "in#1")).replace("#", r"\x23")
    assert list(segment(given)) == ["a_seg.nii.gz"]


@pytest.mark.parametrize("key", ["dataset_dir", "output_dir"])
def test_a_number_is_no_path(key: str, run_bundle: Run) -> None:
    with pytest.raises(SystemExit, match=f"^error: {key} is 2024, which is no path; .* write ./ before it$"):
        run_bundle(BUNDLE, FILES, **TINY, **{key: 2024})
