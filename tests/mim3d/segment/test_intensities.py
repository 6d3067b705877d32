"""What ``mim3d segment`` says about intensities that the network was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from mim3d import cli
from mim3d.catalog import BUNDLES
from mim3d.segment.intensities import odd_intensities
from tests.mim3d.segment.small import KEYS, SMALL, workflow

WINDOW = (-175.0, 250.0)


def body(shape: tuple[int, int, int] = (24, 22, 20)) -> np.ndarray:
    """HU of a body of soft tissue in air, with bone."""
    rng = np.random.default_rng(0)
    hu = np.full(shape, -1000.0)
    hu[4:-4, 4:-4, 4:-4] = rng.normal(40, 30, hu[4:-4, 4:-4, 4:-4].shape)
    hu[8:10, 8:10, 8:10] = 900
    return hu.astype(np.float32)


@pytest.mark.parametrize(
    ("change", "looks"),
    [
        (lambda hu: hu, None),
        (
            lambda hu: (hu - hu.min()) / np.ptp(hu),
            "CT holds 0 to 1: scaled, as to 0...1 or by a z-score; store HU",
        ),
        (lambda hu: np.round((hu - hu.min()) / np.ptp(hu) * 255), "CT holds 0 to 255: 8-bit grey values"),
        (lambda hu: hu + 1024, "CT holds 24 to 1924: HU + 1024; subtract 1024 from every voxel"),
        (np.zeros_like, "CT holds 0 to 0: empty: all voxels are 0"),
    ],
)
def test_ct_that_is_not_in_hu_is_named(change: Any, looks: str | None) -> None:
    found = odd_intensities(change(body())[None], ["CT"], WINDOW)
    assert len(found) == (looks is not None)
    assert all(line.startswith(str(looks)) for line in found)


def test_mr_has_no_unit_and_each_channel_is_named() -> None:
    volumes = np.abs(np.stack([body(), body(), body()]))
    volumes[1, 0, 0, 0] = 1e7
    volumes[2] = 3
    first, second = odd_intensities(volumes, ["T1", "T2", "FLAIR"], None)
    assert first.startswith("T2 holds 0.")
    assert "99.8 % of the voxels lie in" in first
    assert second.startswith("FLAIR holds 3 to 3: constant")


def test_the_command_warns_and_writes_the_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = BUNDLES / "seg_msd_spleen"
    network = workflow(bundle, **SMALL).parser.get_parsed_content("network_def")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    for name, values in (("hu", body()), ("scaled", body() / 1000)):
        (tmp_path / "in").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([1.5, 1.5, 2, 1])), tmp_path / "in" / f"{name}.nii.gz")
    words = [word for key, value in KEYS.items() for word in (f"--{key}", value)]
    given = ["--out", str(tmp_path / "out"), "--weights", str(tmp_path / "model.pt"), *words]
    cli.main(["segment", "seg_msd_spleen", str(tmp_path / "in"), *given])
    good, odd = (line for line in capsys.readouterr().out.splitlines() if " written " in line and "_seg" in line)
    assert "warning" not in good
    assert "scaled_seg.nii.gz; warning: CT holds -1 to 0.9: scaled, as to 0...1 or by a z-score" in odd
    assert (tmp_path / "out" / "scaled_seg.nii.gz").is_file()
