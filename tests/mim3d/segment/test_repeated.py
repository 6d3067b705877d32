"""A call of ``mim3d segment`` beside what is there already: it continues, and replaces nothing of others."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.mim3d.segment.small import Segment, rows, voxels, write


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
