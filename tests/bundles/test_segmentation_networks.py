"""Every network layer in every segmentation bundle, resuming, and two ranks, on phantoms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest
import torch

from tests.bundles.segmentation_runs import (
    FEATURES,
    ONE_EPOCH,
    SMALL,
    Folder,
    Load,
    Run,
    Same,
    every_bundle,
    places,
    view,
    voxels,
)

pytestmark = pytest.mark.slow


@every_bundle
@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
@pytest.mark.parametrize("layer", [None, *SMALL])
def test_every_network_takes_the_shipped_window_at_its_shipped_size(
    name: str, first: str, layer: str | None, build_bundle: Run
) -> None:
    parser = build_bundle(name, [first, *([layer] if layer else [])]).parser
    channels, roi = (parser.get_parsed_content(key) for key in ("channels", "roi_size"))
    network = parser.get_parsed_content("network_def").eval().to("meta")  # shapes alone, without a number
    found = network(torch.zeros(1, len(channels), *roi, device="meta"))
    assert found.shape == (1, len(parser.get_parsed_content("output_names")), *roi)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("segresnet.yaml", "seg_msd_liver"),
        ("segresnet.yaml", "seg_brats"),
        ("swin_unetr.yaml", "seg_btcv"),
        ("swin_unetr.yaml", "seg_brats"),
        ("unetr.yaml", "seg_msd_spleen"),
        ("unetr.yaml", "seg_brats"),
    ],
)
def test_a_network_layer_trains_and_segments(
    name: str, layer: str, phantoms_of: Folder, run_bundle: Run, tmp_path: Path, load: Load
) -> None:
    override = {**view(name), **SMALL[layer]}
    keep = tmp_path / "keep.yaml"
    start = tmp_path / "start.pt"
    keep.write_text(f"+initialize:\n- \"$torch.save(@network_def.state_dict(), '{start}')\"\n")
    files = ["train.yaml", "smoke.yaml", layer, str(keep)]
    short = {**ONE_EPOCH, "num_samples": 1, "rotation_axes": [1, 2]}
    made = run_bundle(name, files, **override, **short, **places(phantoms_of(name), tmp_path))
    assert torch.isfinite(made.trainer.state.output["loss"])
    weights = tmp_path / "models" / "model.pt"
    first, last = load(start), load(weights)
    assert first.keys() == last.keys()
    assert all(torch.isfinite(value).all() for value in last.values() if value.is_floating_point())
    assert sum(not torch.equal(first[key], last[key]) for key in last) > len(last) / 2
    image = sorted((phantoms_of(name) / "imagesTr").iterdir())[0]
    out = {"dataset_dir": str(image), "output_dir": str(tmp_path / "out"), "weights": str(weights)}
    run_bundle(name, ["inference.yaml", "smoke.yaml", layer], **override, **out)
    (mask,) = (tmp_path / "out").iterdir()
    assert voxels(mask).shape == nib.load(image).shape[:3]


@pytest.mark.parametrize("name", ["seg_brats", "seg_msd_liver"])
def test_two_epochs_and_two_resumed_equal_four(
    name: str, phantoms_of: Folder, run_bundle: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    for folder, parts in (("halves", [(2, False), (4, True)]), ("whole", [(4, False)])):
        for epochs, resume in parts:
            override = {**view(name), **FEATURES, **places(phantoms_of(name), tmp_path / folder)}
            # The schedule of four epochs in both: two alone would decay sooner.
            override |= {"epochs": epochs, "resume": resume, "val_interval": 1, "total_steps": 4, "num_samples": 1}
            run_bundle(name, ["train.yaml", "smoke.yaml"], **override)
    halves, whole = (load(tmp_path / folder / "models" / "resume.pt") for folder in ("halves", "whole"))
    assert halves["trainer"]["epoch"] == 4
    assert [key for key in whole if not same(halves[key], whole[key])] == []
    assert same(*(load(tmp_path / folder / "models" / "model.pt") for folder in ("halves", "whole")))


@pytest.mark.parametrize(("name", "layers"), [("seg_brats", ["unetr.yaml"]), ("seg_msd_hippocampus", [])])
def test_two_ranks_train_one_network(
    name: str,
    layers: list[str],
    phantoms_of: Folder,
    torchrun_bundle: Callable[..., None],
    tmp_path: Path,
    load: Load,
    same: Same,
) -> None:
    keep = tmp_path / "keep.yaml"  # what each rank starts from, and ends with
    save = "\"$torch.save(@network_def.state_dict(), '{}/{}%d.pt' % @rank)\""
    parts = [f"+{key}:\n- {save.format(tmp_path, key)}\n" for key in ("initialize", "finalize")]
    keep.write_text("".join(parts))
    small = SMALL[layers[0]] if layers else FEATURES
    # Two epochs, since DDP names a parameter without gradient at the second step.
    override = {**view(name), **small, **places(phantoms_of(name), tmp_path), "epochs": 2, "val_interval": 2}
    files = ["train.yaml", "smoke.yaml", *layers, "multi_gpu_train.yaml", str(keep)]
    torchrun_bundle(name, files, **override, batch_size=1, num_samples=1, learning_rate=0.01)
    first, second = (load(tmp_path / f"finalize{rank}.pt") for rank in range(2))
    assert same(first, second)
    start = load(tmp_path / "initialize0.pt")
    assert sum(not torch.equal(first[key], start[key]) for key in first) > len(first) / 2
    assert set(load(tmp_path / "models" / "model.pt")) == set(first), "keys are those of the bare network"
    assert load(tmp_path / "models" / "resume.pt")["trainer"]["iteration"] == 2
