"""The guards: every bad input ends in SystemExit with one line that names it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet

from custom_components.checks.inference import guard_inference
from custom_components.checks.preflight import guard_pretraining, guard_segmentation
from custom_components.data import load_datalist
from custom_components.pretext import DenseMAE
from custom_components.transfer import write_card
from mim3d.datasets.prepare import prepare_datalist
from tests.ranks import run_ranks

FEATURES = (4, 4, 4, 4, 4, 4)


def make_folder(folder: Path, cases: int = 4, shape: tuple[int, ...] = (20, 18, 16)) -> Path:
    """A folder with labelled cases of three classes and its data list."""
    rng = np.random.RandomState(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for case in range(cases):
        image = rng.randint(-200, 300, shape).astype(np.int16)
        label = (image > 0).astype(np.uint8) + (image > 100)
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / "images" / f"c{case}.nii.gz")
        nib.save(nib.Nifti1Image(label.astype(np.uint8), np.eye(4)), folder / "labels" / f"c{case}.nii.gz")
    item = [{"image": f"images/c{k}.nii.gz", "label": f"labels/c{k}.nii.gz"} for k in range(cases)]
    sections = {"unlabelled": [{"image": i["image"]} for i in item[:-1]], "training": item[:-1]}
    (folder / "datalist.json").write_text(json.dumps({**sections, "validation": item[-1:]}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")


def network(in_channels: int = 1, out_channels: int = 1) -> BasicUNet:
    return BasicUNet(3, in_channels, out_channels, FEATURES)


def lists(folder: Path | str, section: str, **options: object) -> functools.partial:
    """What ``_mode_: callable`` makes of ``load_datalist`` in a config."""
    return functools.partial(load_datalist, str(folder), section, **options)


MASKING = {
    "patch_size": 8,
    "region_size": [16, 16, 16],
    "mask_ratio": 0.5,
    "region_ratio": 0.75,
    "window_size": 16,
    "mask_mode": "two_level",
    "fill": "zero",
}


def pretraining(folder: Path | str, **changes: object) -> None:
    """A run that passes but for the changes, of which those named in `MASKING` go into ``masking``."""
    masking = {key: changes.pop(key, value) for key, value in MASKING.items()}
    values: dict = {
        "items": lists(folder, "unlabelled"),
        "validation_items": lists(folder, "validation", require_label=False),
        "network": changes.get("network") or network(),
        "in_channels": 1,
        "roi_size": 32,
        "masking": masking,
        "loss_weights": {"reconstruction": 1.0, "count": 0.1, "contrast": 0.1},
        "spacing": [1.0, 1.0, 1.0],
        "cache_rate": 0.5,
        "dataset_dir": str(folder),
    }
    guard_pretraining(**{**values, **changes})


def segmentation(folder: Path | str, **changes: object) -> None:
    values: dict = {
        "items": lists(folder, "training", require_label=True),
        "validation_items": lists(folder, "validation", require_label=True),
        "network": network(1, 3),
        "in_channels": 1,
        "num_classes": 3,
        "roi_size": 32,
        "dataset_dir": str(folder),
    }
    guard_segmentation(**{**values, **changes})


def refusal(guard: object, *arguments: object, **changes: object) -> str:
    with pytest.raises(SystemExit) as caught:
        guard(*arguments, **changes)  # type: ignore[operator]
    message = str(caught.value.code)
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


def test_good_runs_pass_and_say_what_was_checked(folder: Path, capsys: pytest.CaptureFixture) -> None:
    pretraining(folder, ckpt_dir=str(folder / "out"))
    told = capsys.readouterr().out
    assert "checked: 3 images, 1 for validation, 1 channel(s); cache " in told
    segmentation(folder, items=lists(folder, "training")())  # a plain list will do
    assert "labels 0 to 2" in capsys.readouterr().out
    assert not (folder / "out").exists()


def test_the_network_and_the_random_state_are_left_alone(folder: Path) -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    pretraining(folder, network=net)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"region_size": 20}, ["region_size (20, 20, 20)", "patch_size (8, 8, 8)"]),
        ({"region_size": 8, "patch_size": 4, "window_size": None}, ["region_size (8, 8, 8)", "multiple of 16"]),
        ({"roi_size": [32, 32, 40]}, ["roi_size (32, 32, 40)", "region_size (16, 16, 16)"]),
        ({"mask_ratio": 1.2}, ["mask_ratio", "[0, 1]", "1.2"]),
        ({"mask_ratio": -0.1, "mask_mode": "uniform"}, ["mask_ratio", "[0, 1]", "-0.1"]),
        ({"region_ratio": 2}, ["region_ratio", "[0, 1]", "2"]),
        ({"region_ratio": None}, ["region_ratio is missing"]),
        ({"mask_ratio": 0.9, "region_ratio": 0.25}, ["mask_ratio 0.9", "region_ratio 0.25"]),
        ({"mask_mode": "blocks"}, ["mask_mode is 'blocks'", "two_level, uniform"]),
        ({"fill": "black"}, ["fill is 'black'", "zero"]),
        ({"window_size": 24}, ["window_size is (24, 24, 24)", "region_size (16, 16, 16)"]),
        ({"window_size": 48}, ["window_size is (48, 48, 48)", "roi_size (32, 32, 32)"]),
        ({"loss_weights": {"reconstrution": 1.0}}, ["unknown loss part reconstrution", "reconstruction"]),
        ({"loss_weights": {"count": -1.0}}, ["count", "-1.0"]),
        ({"batch_size": 1}, ["contrast", "2 volumes", "batch_size 1"]),
        ({"batch_size": 4}, ["3 training case(s)", "batch of 4 volumes"]),
        ({"batch_size": 4, "loss_weights": {"count": 1}}, ["3 training case(s)", "batch_size 4"]),
        ({"batch_size": 0, "loss_weights": {"count": 1}}, ["batch_size is 0"]),
        ({"loss_weights": 1}, ["loss weights must map", "found 1"]),
        ({"in_channels": 4}, ["takes 1 channels", "in_channels is 4"]),
        ({"in_channels": 4, "network": network(4, 4)}, ["c0.nii.gz has 1 channels", "expected 4"]),
        ({"network": network(1, 2)}, ["2 output channels", "1 input"]),
        ({"network": torch.nn.Conv3d(1, 1, 3)}, ["Conv3d"]),
        ({"cache_rate": 1.5}, ["cache_rate is 1.5"]),
        ({"spacing": [1.0, 1.0]}, ["spacing is [1.0, 1.0]", "mm"]),
        ({"pretrained": "/no/such.pt"}, ["/no/such.pt"]),
    ],
)
def test_bad_pretraining_values_are_refused(folder: Path, changes: dict, words: list[str]) -> None:
    message = refusal(pretraining, folder, **changes)
    assert [word for word in words if word not in message] == [], message


def test_uniform_masks_need_no_region_ratio(folder: Path) -> None:
    pretraining(folder, mask_mode="uniform", region_ratio=None)


def test_without_masks_nothing_of_them_is_checked(folder: Path) -> None:
    pretraining(folder, masking=None)
    plain = {"patch_size": 8, "mask_mode": "uniform", "mask_ratio": [0.5, 0.9]}
    pretraining(folder, masking=plain)
    message = refusal(pretraining, folder, masking={**plain, "mask_ratio": [0.5, 1.9]})
    assert "mask_ratio" in message
    assert "1.9" in message


def test_a_validated_contrast_needs_two_volumes_and_can_be_the_key_metric(folder: Path) -> None:
    settings = {"masking": None, "loss_weights": {"contrast": 1.0}, "measured": ["loss", "contrast", "negatives"]}
    *train, one = lists(folder, "unlabelled")()
    two = [one, *lists(folder, "validation", require_label=False)()]
    pretraining(folder, items=train, validation_items=two, key_metric="val_contrast", **settings)
    message = refusal(pretraining, folder, items=train, validation_items=[one], key_metric="val_loss", **settings)
    assert "1 validation case(s); a contrast needs 2 volumes" in message
    evaluated = {**settings, "loss_weights": None, "validation_items": None}
    pretraining(folder, items=two, **evaluated)
    assert "1 validation case(s)" in refusal(pretraining, folder, items=[one], **evaluated)
    message = refusal(pretraining, folder, items=train, validation_items=two, key_metric="val_mae", **settings)
    assert "'val_mae'; with these loss parts it can be val_loss, val_contrast" in message


def test_loss_parts_that_the_method_does_not_have_are_refused(folder: Path) -> None:
    builds = [functools.partial(DenseMAE, network(), 16)]
    settings = {"masking": None, "builds": builds}
    message = refusal(pretraining, folder, loss_weights={"reconstruction": 1.0, "count": 0.1}, **settings)
    assert "loss_weights names count, which DenseMAE does not have; allowed: reconstruction" in message
    pretraining(folder, loss_weights={"reconstruction": 1.0, "count": 0}, **settings)


def test_contrast_off_allows_one_volume(folder: Path) -> None:
    pretraining(folder, batch_size=1, loss_weights={"reconstruction": 1.0})


def test_fewer_volumes_than_ranks_are_refused_without_contrast_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"reconstruction": 1.0}
    monkeypatch.setattr("custom_components.checks.preflight.world_size", lambda: 4)
    message = refusal(pretraining, folder, batch_size=1, loss_weights=weights)
    assert "3 training case(s) cannot be shared among 4 ranks" in message
    monkeypatch.setattr("custom_components.checks.preflight.world_size", lambda: 2)
    pretraining(folder, batch_size=2, loss_weights=weights)  # the first volume comes twice: 2 on each rank
    pretraining(folder, batch_size=9, loss_weights=None)  # an evaluation


@pytest.mark.parametrize("guard", [pretraining, segmentation])
def test_roi_that_the_network_cannot_halve_is_refused(folder: Path, guard: object) -> None:
    changes = {"patch_size": 10, "region_size": 20, "window_size": None} if guard is pretraining else {}
    message = refusal(guard, folder, roi_size=40, **changes)
    assert "roi_size (40, 40, 40)" in message
    assert "multiple of 16" in message


@pytest.mark.parametrize("guard", [pretraining, segmentation])
def test_folder_faults_are_refused(tmp_path: Path, guard: object) -> None:
    assert f"{tmp_path / 'none'} does not exist" in refusal(guard, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert f"no .nii or .nii.gz under {tmp_path / 'empty'}" in refusal(guard, tmp_path / "empty")
    assert "dataset_dir is empty" in refusal(guard, "")


@pytest.mark.parametrize("guard", [pretraining, segmentation])
def test_missing_and_truncated_images_are_refused(folder: Path, guard: object) -> None:
    image = folder / "images" / "c1.nii.gz"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    assert f"{image} is truncated or corrupt" in refusal(guard, folder)
    image.unlink()
    assert f"{image} does not exist" in refusal(guard, folder)


def test_label_faults_are_refused(folder: Path) -> None:
    label = folder / "labels" / "c3.nii.gz"  # the validation case
    nib.save(nib.Nifti1Image(np.zeros((20, 18, 15), np.uint8), np.eye(4)), label)
    assert "c3.nii.gz has shape (20, 18, 15)" in refusal(segmentation, folder)
    nib.save(nib.Nifti1Image(np.full((20, 18, 16), 7, np.uint8), np.eye(4)), label)
    assert "c3.nii.gz holds the values 7; allowed: whole numbers 0 to 2" in refusal(segmentation, folder)
    segmentation(folder, check_label_values=False)


BRATS_FILES = ("flair", "t1", "t1ce", "t2")


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    """Three cases of one file per sequence, label values 0, 1, 2 and 4, and their list."""
    shape, rng = (20, 18, 16), np.random.RandomState(0)
    for number in range(3):
        case = tmp_path / "brats" / f"BraTS2021_{number:05d}"
        case.mkdir(parents=True)
        values = {name: rng.randint(0, 900, shape).astype(np.int16) for name in BRATS_FILES}
        values["seg"] = rng.choice([0, 1, 2, 4], shape).astype(np.int16)
        for name, volume in values.items():
            nib.save(nib.Nifti1Image(volume, np.eye(4)), case / f"{case.name}_{name}.nii.gz")
    prepare_datalist(tmp_path / "brats", validation=1)
    return tmp_path / "brats"


def brats_changes(**changes: object) -> dict:
    """What a four-channel config with three overlapping regions gives the guard."""
    values = {
        "network": network(4, 3),
        "in_channels": 4,
        "channels": ["FLAIR", "T1", "T1ce", "T2"],
        "label_values": [0, 1, 2, 4],
        "label_source": "brats2021",
        "spacing": [1.0, 1.0, 1.0],
        "cache_rate": 1.0,
    }
    return {**values, **changes}


def test_cases_of_several_files_pass_with_their_own_label_values(
    brats: Path, capsys: pytest.CaptureFixture
) -> None:
    segmentation(brats, **brats_changes())
    told = capsys.readouterr().out
    assert "checked: 2 images, 1 for validation, 4 channel(s); cache " in told
    assert "; labels 0, 1, 2, 4 (brats2021)" in told
    channels = ["t2f", "t1n", "t1c", "t2w"]  # the same sequences
    pretraining(brats, network=network(4, 4), in_channels=4, channels=channels, batch_size=2)


def test_labels_of_another_source_are_refused(brats: Path) -> None:
    message = refusal(segmentation, brats, **brats_changes(label_values=[0, 1, 2, 3], label_source="msd_task01"))
    assert "_seg.nii.gz holds the values 4 (in all 0, 1, 2, 4)" in message
    assert "allowed with label_source 'msd_task01': 0, 1, 2, 3" in message


@pytest.mark.parametrize("guard", [pretraining, segmentation])
def test_channels_in_another_order_than_the_lists_are_refused(brats: Path, guard: object) -> None:
    changes = brats_changes(channels=["T1", "T1ce", "T2", "FLAIR"])
    if guard is pretraining:
        changes = {name: changes[name] for name in ("in_channels", "channels")} | {"network": network(4, 4)}
    message = refusal(guard, brats, **changes)
    assert f"{brats} lists the channels FLAIR, T1, T1ce, T2: in another order than T1, T1ce, T2, FLAIR" in message
    content = json.loads((brats / "datalist.json").read_text())
    (brats / "mine.json").write_text(json.dumps({**content, "channels": ["T1", "T1ce", "T2", "FLAIR"]}))
    items = {"items": lists(brats, "training", datalist="mine.json"), "validation_items": None}
    guard(brats, **{**changes, **items, "datalist": "mine.json"})  # type: ignore[operator]
    del content["channels"]
    (brats / "datalist.json").write_text(json.dumps(content))
    guard(brats, **changes)  # type: ignore[operator]


def test_a_sequence_on_another_grid_is_refused(brats: Path) -> None:
    path = brats / "BraTS2021_00001" / "BraTS2021_00001_t1ce.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((20, 18, 15), np.int16), np.eye(4)), path)
    assert f"{path} has shape (20, 18, 15)" in refusal(segmentation, brats, **brats_changes())
    path.unlink()
    assert f"{path} does not exist" in refusal(segmentation, brats, **brats_changes())


def test_inference_takes_several_files_per_image(
    brats: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    weights = tmp_path / "model.pt"
    torch.save(network(4, 3).state_dict(), weights)
    images = [item["image"] for item in load_datalist(brats, ["training", "validation"])]
    guard_inference(images, network(4, 3), 4, 32, str(weights))
    assert "checked: 3 images, 4 channel(s)" in capsys.readouterr().out
    message = refusal(guard_inference, [image[:3] for image in images], network(4, 3), 4, 32, str(weights))
    assert "and 2 more files have 3 channels; expected 4" in message
    Path(images[1][2]).unlink()
    assert f"{images[1][2]} does not exist" in refusal(guard_inference, images, network(4, 3), 4, 32, str(weights))


def test_inference_by_a_networks_heads_needs_the_weights_of_both(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = [item["image"] for item in lists(folder, "unlabelled")()]
    masking = {"patch_size": 16, "mask_ratio": 0.5, "mask_mode": "uniform", "fill": "learned"}
    pretext = DenseMAE(network(), 16, decoder="light", fill="learned")
    whole, bare = tmp_path / "pretext.pt", tmp_path / "model.pt"
    torch.save(pretext.state_dict(), whole)
    torch.save(pretext.network.state_dict(), bare)
    values = (images, pretext.network, 1, 32)
    guard_inference(*values, str(whole), masking=masking, pretext=pretext)
    assert "checked: 3 images" in capsys.readouterr().out
    message = refusal(guard_inference, *values, str(bare), masking=masking, pretext=pretext)
    assert "model.pt do not fit this DenseMAE" in message
    assert "fill is 'learned'" in refusal(guard_inference, *values, str(bare), masking=masking)
    guard_inference(*values, str(bare), masking={**masking, "fill": "zero"})
    guard_inference(*values, str(bare), masking={key: value for key, value in masking.items() if key != "fill"})


def test_classes_must_be_the_networks(folder: Path) -> None:
    assert "3 output channels, num_classes (with background) is 14" in refusal(
        segmentation, folder, num_classes=14
    )


def test_a_case_in_training_and_validation_is_refused(folder: Path) -> None:
    message = refusal(segmentation, folder, validation_items=lists(folder, "training"))
    assert "c0.nii.gz is in both training and validation (3 such cases)" in message


def test_weights_of_another_network_are_refused_and_its_own_pass(folder: Path, tmp_path: Path) -> None:
    own, other, page = (tmp_path / name for name in ("own.pt", "other.pt", "page.pt"))
    torch.save(network().state_dict(), own)
    torch.save(torch.nn.Linear(3, 3).state_dict(), other)
    page.write_text("<html>")
    segmentation(folder, pretrained=str(own))
    for weights in (other, page):
        assert str(weights) in refusal(segmentation, folder, pretrained=str(weights))
    wide = tmp_path / "wide.pt"
    torch.save(BasicUNet(3, 1, 1, (8, 8, 8, 8, 8, 8)).state_dict(), wide)
    assert str(wide) in refusal(segmentation, folder, pretrained=str(wide))


def test_misspelled_override_comes_first(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.yaml").write_text("epochs: 3\n")
    argv = ["/x/monai/bundle/__main__.py", "run", "--config_file", str(tmp_path / "train.yaml"), "--epoch", "1"]
    monkeypatch.setattr("sys.argv", argv)
    message = refusal(pretraining, folder, mask_ratio=7)
    assert "unknown override 'epoch' (nearest: 'epochs')" in message


def test_a_fault_of_the_guards_own_keeps_its_traceback(folder: Path) -> None:
    with pytest.raises(TypeError, match="not a finding"):
        pretraining(folder, items=_broken)


def _broken() -> list[dict]:
    raise TypeError("not a finding")


def _rank(rank: int, results: Path, folder: Path) -> None:
    try:
        segmentation(folder)
        code: object = "passed"
    except SystemExit as end:
        code = end.code
    (results / f"{rank}.json").write_text(json.dumps(code))


@pytest.mark.slow
@pytest.mark.parametrize("bad", [None, "c1"])  # c1's voxels are read by rank 1 only
def test_what_one_rank_finds_ends_all_ranks(folder: Path, tmp_path: Path, bad: str | None) -> None:
    if bad:
        label = folder / "labels" / f"{bad}.nii.gz"
        nib.save(nib.Nifti1Image(np.full((20, 18, 16), 7, np.uint8), np.eye(4)), label)
    run_ranks(_rank, tmp_path, folder)
    codes = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    if bad is None:
        assert codes == ["passed", "passed"]
    else:
        assert "c1.nii.gz holds the values 7" in codes[0]
        assert codes[1] == 1


CONFIG = """
dataset_dir: ""
epochs: 3
network: {_target_: BasicUNet, spatial_dims: 3, in_channels: 1, out_channels: 3, features: [4, 4, 4, 4, 4, 4]}
training_list:
  _target_: custom_components.data.load_datalist
  _mode_: callable
  dataset_dir: "@dataset_dir"
  section: training
  require_label: true
guard:
  _target_: custom_components.checks.guard_segmentation
  items: "@training_list"
  validation_items: null
  network: "@network"
  in_channels: 1
  num_classes: 3
  roi_size: [32, 32, 32]
  dataset_dir: "@dataset_dir"
dataset: {_target_: Dataset, data: "$@training_list()"}
run:
- "@guard"
- "$print('cases:', len(@dataset))"
"""


def _bundle_run(tmp_path: Path, *words: str) -> tuple[int, list[str]]:
    config = tmp_path / "train.yaml"
    config.write_text(CONFIG)
    (tmp_path / "metadata.json").write_text("{}")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), *words]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()


@pytest.mark.slow
def test_in_a_bundle_the_guard_runs_before_the_data_are_listed(folder: Path, tmp_path: Path) -> None:
    status, lines = _bundle_run(tmp_path, "--dataset_dir", str(folder))
    assert status == 0
    assert any(line.startswith("checked: 3 images") for line in lines)
    assert any(line.startswith("cases: 3") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "last"),
    [
        (("--dataset_dir", "/no/such"), "error: dataset_dir /no/such does not exist"),
        (("--epoch", "3"), "error: unknown override 'epoch' (nearest: 'epochs')"),
    ],
)
def test_in_a_bundle_a_finding_is_the_last_line(tmp_path: Path, words: tuple[str, ...], last: str) -> None:
    status, lines = _bundle_run(tmp_path, *words)
    assert status == 1
    assert lines[-1].startswith(last)


@pytest.mark.parametrize("guard", [pretraining, segmentation])
def test_weights_that_learned_the_channels_in_another_order_are_refused(brats: Path, guard: object) -> None:
    weights = brats.parent / "pretrained.pt"
    torch.save(network(4, 4).state_dict(), weights)
    write_card(weights, {"view": {"channels": ["T1", "FLAIR", "T1ce", "T2"]}})
    changes = brats_changes(pretrained=str(weights))
    if guard is pretraining:
        kept = ("in_channels", "channels", "pretrained")
        changes = {name: changes[name] for name in kept} | {"network": network(4, 4)}
    message = refusal(guard, brats, **changes)
    assert "the card of" in message
    assert "T1, FLAIR, T1ce, T2: in another order than FLAIR, T1, T1ce, T2" in message
