"""Probabilities that a segmentation bundle writes: of classes (softmax) and of overlapping regions (sigmoid)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

TINY: dict[str, Any] = {"roi_size": [32, 32, 32], "architecture#features": [4, 4, 8, 8, 16, 4]}
SHAPE, INSIDE = (24, 28, 20), (slice(4, 20), slice(3, 25), slice(2, 18))


@pytest.mark.parametrize(("bundle", "channels"), [("seg_brats", 4), ("seg_btcv", 1)])
def test_probabilities_are_those_of_the_network_and_background_outside_of_the_body(
    bundle: str, channels: int, build_bundle: Callable[..., Any], tmp_path: Path
) -> None:
    made = build_bundle(bundle, ["inference.yaml"], **TINY)
    parser = made.parser
    sigmoid, spacing = parser.get_parsed_content("sigmoid"), parser.get_parsed_content("spacing")
    assert sigmoid is (bundle == "seg_brats")
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    air = 0 if sigmoid else -1000  # what the view crops away
    data = np.full((*SHAPE, channels), air, np.float32)
    data[INSIDE] = np.random.default_rng(0).normal(100, 20, data[INSIDE].shape)
    affine = np.diag([*spacing, 1.0])
    nib.save(nib.Nifti1Image(data.squeeze(), affine), tmp_path / "a.nii.gz")
    keys = {"dataset_dir": str(tmp_path / "a.nii.gz"), "weights": str(tmp_path / "model.pt")}
    run = build_bundle(
        bundle, ["inference.yaml"], **TINY, **keys, output_dir=str(tmp_path / "out"), save_probabilities=True
    )
    run.initialize()
    run.run()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_probabilities.nii.gz", "a_seg.nii.gz"]
    written = nib.load(tmp_path / "out" / "a_probabilities.nii.gz")
    np.testing.assert_allclose(written.affine, affine)
    found = np.asanyarray(written.dataobj)

    image = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "a.nii.gz")})["image"]
    with torch.no_grad():
        logits = network(image.as_tensor()[None])[0]
    activated = logits.sigmoid() if sigmoid else logits.softmax(0)
    size = [side.stop - side.start for side in INSIDE]
    start = [(32 - side) // 2 for side in size]  # padded on both sides
    window = tuple(slice(first, first + side) for first, side in zip(start, size, strict=True))
    kept = activated[(slice(None), *window)]
    expected = np.zeros((*SHAPE, len(activated)), np.float32)
    if not sigmoid:
        expected[..., 0] = 1
    expected[INSIDE] = np.moveaxis(kept.numpy(), 0, -1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
