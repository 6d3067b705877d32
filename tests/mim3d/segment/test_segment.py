"""``mim3d segment``: masks in the volume's own space, a bad case beside good ones, repeated calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from mim3d import cli
from mim3d.catalog import BUNDLES
from mim3d.segment import memory
from mim3d.segment.marker import read_marker

HIPPOCAMPUS = BUNDLES / "seg_msd_hippocampus"
KEYS = {"roi_size": "[32,32,32]", "architecture#features": "[4,4,8,8,16,4]", "device": "cpu"}
SHAPE = (20, 24, 18)
AFFINE = np.array([[0, 1.2, 0, 11], [-1.0, 0, 0, 5], [0, 0, 1.5, -40], [0, 0, 0, 1]])
Segment = Callable[..., tuple[int, str]]


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def image_of(data: np.ndarray, kind: type = nib.Nifti1Image) -> Any:
    image = kind(data, AFFINE)
    image.set_sform(AFFINE, 4)
    image.set_qform(AFFINE, 1)
    return image


def write(path: Path, data: np.ndarray | None = None, kind: type = nib.Nifti1Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_of(voxels() if data is None else data, kind).to_filename(path)
    return path


def workflow(bundle: Path, **keys: Any) -> ConfigWorkflow:
    files = [str(bundle / "configs" / "inference.yaml")]
    made = ConfigWorkflow(files, workflow_type="infer", logging_file=False, bundle_root=str(bundle), **keys)
    made.initialize()
    return made


SMALL: dict[str, Any] = {"roi_size": [32] * 3, "architecture#features": [4, 4, 8, 8, 16, 4], "device": "cpu"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a tiny network, whose masks have more than one value."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(workflow(HIPPOCAMPUS, **SMALL).parser.get_parsed_content("network_def").state_dict(), path)
    return path


@pytest.fixture
def segment(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Segment:
    """``segment(input, key=value)``: exit status, and what is printed; masks go to ``tmp_path/out``."""

    def run(*inputs: Path, flags: tuple[str, ...] = (), **keys: str) -> tuple[int, str]:
        words = ["segment", "seg_msd_hippocampus", *map(str, inputs), "--out", str(tmp_path / "out")]
        given = {"weights": str(weights), **KEYS, **keys}
        words += [word for key, value in given.items() for word in (f"--{key}", value)]
        try:
            cli.main([*words, *flags])
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run


def masks(folder: Path) -> dict[str, np.ndarray]:
    return {
        str(path.relative_to(folder)): np.asanyarray(nib.load(path).dataobj)
        for path in sorted(folder.rglob("*.nii.gz"))
    }


def rows(text: str) -> dict[str, list[str]]:
    """Case -> result, seconds and reason of the table."""
    table = text.split("\ncase ")[1].split("\nerror: ")[0].splitlines()[1:]
    return {row[0]: row[1:] for line in table if len(row := line.split(maxsplit=3)) == 4}


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


def test_probabilities_are_added_to_masks_that_exist(segment: Segment, tmp_path: Path) -> None:
    folder, flags = tmp_path / "out", ("--probabilities",)
    write(folder / "a.nii.gz")
    assert rows(segment(folder)[1])["a"][0] == "written"
    mask = (folder / "a_seg.nii.gz").read_bytes()
    text = segment(folder, flags=flags)[1]
    assert rows(text)["a"][0] == "written"
    assert (folder / "a_seg.nii.gz").read_bytes() == mask
    for again in (flags, ()):
        text = segment(folder, flags=again)[1]
        assert rows(text) == {"a": ["skipped", *rows(text)["a"][1:]]}
    assert "left alone, written by mim3d segment: 2 (a_probabilities.nii.gz, a_seg.nii.gz)" in text


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


def test_the_same_call_continues_and_changes_nothing(segment: Segment, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz")
    assert segment(tmp_path / "in")[0] == 0
    mask = tmp_path / "out" / "a_seg.nii.gz"
    before = mask.stat().st_mtime_ns
    write(tmp_path / "in" / "b.nii.gz")
    status, text = segment(tmp_path / "in")
    assert status == 0
    assert {case: row[0] for case, row in rows(text).items()} == {"a": "skipped", "b": "written"}
    assert mask.stat().st_mtime_ns == before


def test_a_mask_of_another_network_key_or_image_is_not_taken_for_this_one(
    segment: Segment, weights: Path, tmp_path: Path
) -> None:
    image = write(tmp_path / "a.nii.gz")
    mask = tmp_path / "out" / "a_seg.nii.gz"
    assert segment(image)[0] == 0
    before = mask.read_bytes()
    state = torch.load(weights)
    state["final_conv.bias"][0] += 0.1
    torch.save(state, tmp_path / "other.pt")
    for keys in ({"weights": str(tmp_path / "other.pt")}, {"sw_overlap": "0.25"}):
        status, text = segment(image, **keys)
        assert status == 1
        assert "a_seg.nii.gz exists, made with other weights or keys; --overwrite replaces it" in text
    write(image, voxels(1))
    assert "made with another state of the image" in segment(image)[1]
    assert mask.read_bytes() == before
    assert segment(image, flags=("--overwrite",))[0] == 0
    assert mask.read_bytes() != before


def test_a_file_of_somebody_else_is_never_replaced(segment: Segment, tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii.gz")
    theirs = write(tmp_path / "out" / "a_seg.nii.gz", voxels(5))
    before = theirs.read_bytes()
    status, text = segment(image, flags=("--overwrite",))
    assert status == 1
    assert "a_seg.nii.gz exists, and mim3d segment did not write it; give another --out" in text
    assert theirs.read_bytes() == before


def test_masks_in_the_input_folder_do_not_feed_the_next_call(segment: Segment, tmp_path: Path) -> None:
    write(tmp_path / "out" / "a.nii.gz")
    for _ in range(2):
        assert segment(tmp_path / "out")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "a_seg.nii.gz"]


def test_a_case_that_cannot_fit_into_memory_is_refused_before_it_is_read(
    segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / "a.nii.gz")
    write(tmp_path / "in" / "b.nii.gz", np.zeros((200, 200, 200), np.uint8))
    monkeypatch.setattr(memory, "free_memory", lambda: 200e6)
    status, text = segment(tmp_path / "in")
    assert status == 1
    assert {case: row[0] for case, row in rows(text).items()} == {"a": "written", "b": "failed"}
    assert "needs about 550 MB of memory, 200 MB are free" in rows(text)["b"][2]
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert rows(segment(tmp_path / "in")[1])["a"][0] == "skipped"  # its mask is there


def test_memory_is_counted_from_headers(tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii.gz", np.zeros((100, 100, 100), np.uint8))
    stored, finer = 100**3, 100**3 * 1.2 * 1.5 / 0.5**3
    needed, stitched = memory.needed_bytes([image], [0.5] * 3, [32] * 3, outputs=14)
    assert stitched == pytest.approx(2 * 15 * 4 * finer, rel=1e-3)
    assert needed == pytest.approx(4 * (stored + finer) + stitched, rel=1e-3)
    more, same = memory.needed_bytes([image], [0.5] * 3, [32] * 3, outputs=14, probabilities=True)
    assert same == stitched
    assert more == pytest.approx((1 + 3 * 14) * 4 * finer, rel=1e-3)


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
