"""``mim3d segment``: masks in the volume's own space, a bad case beside good ones, wrong command lines."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d import cli
from mim3d.segment.marker import read_marker
from tests.mim3d.segment.small import (
    HIPPOCAMPUS,
    KEYS,
    SHAPE,
    SMALL,
    Segment,
    masks,
    rows,
    voxels,
    workflow,
    write,
)


def test_a_bad_case_is_reported_and_the_others_go_on(segment: Segment, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    clean = write(folder / "a.nii.gz")
    whole = clean.read_bytes()
    (folder / "damaged.nii.gz").write_bytes(whole[: len(whole) // 2])
    bad = voxels()
    bad[1, 2, 3] = np.nan
    write(folder / "nan.nii.gz", bad)
    (folder / "lost.nii.gz").symlink_to("nowhere.nii.gz")
    write(folder / "sub" / "z.nii")
    status, text = segment(folder)
    assert status == 1
    assert "error: 3 of 5 cases failed: damaged, lost, nan; the table says why" in text.splitlines()
    found = rows(text)
    assert {case: row[0] for case, row in found.items()} == {
        "a": "written",
        "damaged": "failed",
        "lost": "failed",
        "nan": "failed",
        "sub/z": "written",
    }
    assert found["lost"][2].endswith("lost.nii.gz is a link to nothing")
    assert "damaged.nii.gz is truncated or corrupt" in found["damaged"][2]
    assert "nan.nii.gz holds 1 of 8640 values that are not finite" in found["nan"][2]
    made = masks(tmp_path / "out")
    assert list(made) == ["a_seg.nii.gz", "sub/z_seg.nii.gz"]
    np.testing.assert_array_equal(made["a_seg.nii.gz"], made["sub/z_seg.nii.gz"])
    assert len(np.unique(made["a_seg.nii.gz"])) > 1


def test_the_mask_is_that_of_inference_yaml(segment: Segment, weights: Path, tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii.gz")
    assert segment(image)[0] == 0
    keys = {"weights": str(weights), "output_dir": str(tmp_path / "bundle"), "dataset_dir": str(image)}
    workflow(HIPPOCAMPUS, **SMALL, **keys).run()
    found = masks(tmp_path)
    np.testing.assert_array_equal(found["out/a_seg.nii.gz"], found["bundle/a_seg.nii.gz"])


def test_probabilities_are_those_of_inference_yaml_and_sum_to_one(
    segment: Segment, weights: Path, tmp_path: Path
) -> None:
    image = write(tmp_path / "in" / "a.nii.gz")
    assert segment(image, flags=("--probabilities",))[0] == 0
    out = tmp_path / "out" / "a_probabilities.nii.gz"
    written = nib.load(out)
    assert written.get_data_dtype() == np.float32
    np.testing.assert_array_equal(written.affine, nib.load(image).affine)
    values = np.asanyarray(written.dataobj)
    assert values.shape == (*SHAPE, 3)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-6)
    keys = {"weights": str(weights), "output_dir": str(tmp_path / "bundle"), "dataset_dir": str(image)}
    workflow(HIPPOCAMPUS, **SMALL, **keys, save_probabilities=True).run()
    found = masks(tmp_path / "bundle")
    np.testing.assert_array_equal(found["a_probabilities.nii.gz"], values)
    np.testing.assert_array_equal(found["a_seg.nii.gz"], masks(tmp_path / "out")["a_seg.nii.gz"])


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("data", [voxels(), voxels()[:, :, :1]], ids=["volume", "one slice"])
def test_the_mask_has_shape_and_header_of_the_volume(
    data: np.ndarray, kind: type, segment: Segment, tmp_path: Path
) -> None:
    image = nib.load(write(tmp_path / "a.nii.gz", data, kind))
    assert segment(tmp_path / "a.nii.gz")[0] == 0
    mask = nib.load(tmp_path / "out" / "a_seg.nii.gz")
    assert mask.shape == image.shape
    assert type(mask) is type(image)
    np.testing.assert_array_equal(mask.affine, image.affine)
    for form in ("sform", "qform"):
        found, code = getattr(mask, f"get_{form}")(coded=True)
        expected, stated = getattr(image, f"get_{form}")(coded=True)
        np.testing.assert_array_equal(found, expected)
        assert code == stated == {"sform": 4, "qform": 1}[form]


def test_non_finite_voxels_are_replaced_on_request(segment: Segment, tmp_path: Path) -> None:
    data = voxels()
    data[3, 3, 3] = np.inf
    write(tmp_path / "in" / "bad.nii.gz", data)
    data[3, 3, 3] = data[np.isfinite(data)].min()
    write(tmp_path / "in" / "clean.nii.gz", data)
    assert segment(tmp_path / "in", non_finite="replace")[0] == 0
    found = masks(tmp_path / "out")
    np.testing.assert_array_equal(found["bad_seg.nii.gz"], found["clean_seg.nii.gz"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seg_btcv", "in", "--weigths", "w.pt"], "unknown key --weigths.*did you mean --weights?"),
        (["seg_btcv", "in", "--output_dir", "x"], "--output_dir is set by --out of mim3d segment"),
        (["seg_btcv", "in", "--architecture#in_chanels", "2"], "unknown key --architecture#in_chanels"),
        (["pretrain_mae", "in"], "pretrain_mae is no segmentation bundle"),
        (["seg_btcv", "in", "--layer", "none.yaml"], "--layer none.yaml does not exist; seg_btcv has"),
        (["seg_btcv", "in", "--weights", "none.pt"], "weights file none.pt does not exist"),
        (["seg_btcv", "in", "--non_finite", "skip"], "non_finite is 'skip'; allowed: raise, replace"),
        (["seg_btcv", "in", "--roi_size", "[30,32,32]"], "roi_size"),
        (["seg_btcv", "in", "--architecture#features", "no"], "network_def cannot be built with these layers and"),
        (["seg_btcvv", "in"], "'seg_btcvv' is not a bundle"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["segment", *words, "--out", str(tmp_path / "out")])
    assert stopped.value.code in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_paths_with_signs_of_the_config_language_are_paths(
    segment: Segment, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in#1", "@in", "%in", "$in", "2024", "a,b"):
        write(tmp_path / name / "a.nii.gz")
        here = Path(name)
        (tmp_path / f"w{name}.pt").write_bytes(weights.read_bytes())
        words = ["segment", "seg_msd_hippocampus", name, "--out", f"{name}/out", "--weights", f"w{name}.pt"]
        cli.main([*words, *(word for key, value in KEYS.items() for word in (f"--{key}", value))])
        assert read_marker(here / "out" / "a_seg.nii.gz")
