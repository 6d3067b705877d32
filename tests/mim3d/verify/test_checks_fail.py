"""Every check of mim3d verify can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mim3d.catalog import BUNDLES, ROOT
from mim3d.package.pack import package
from mim3d.verify.checks import CHECKS, HEAVY
from tests.mim3d.verify.breakages import (
    INFERENCE,
    ISOLATED,
    META,
    NAMES,
    README,
    SAMPLE,
    TRAIN,
    put,
    put_interval,
    put_text,
    without,
)


def card_of_other_weights(root):
    (root / "models").mkdir()
    (root / "models" / "model.pt").write_bytes(b"weights")
    (root / "models" / "model.card.json").write_text('{"sha256": "0"}')


PRED, IMAGE = "network_data_format/outputs/pred", "network_data_format/inputs/image"
BROKEN = [
    ("files present", lambda root: (root / "docs" / "data_license.txt").unlink(), "data_license.txt"),
    ("nothing left over", put_text("models/resume.pt", None, "state"), "models/resume.pt"),
    ("licences", put_text("LICENSE", None, ""), "0 characters"),
    ("licences", put_text("docs/data_license.txt", None, " \n"), "0 characters"),
    ("weights or none", put_text("docs/README.md", "no weights", "no words"), "found neither"),
    ("weights or none", put_text("large_files.yml", None, "large_files: [{path: models/model.pt}]"), "hash_type"),
    ("weights or none", put_text("models/m.pt", None, "x"), "models/m.pt"),
    ("weights or none", card_of_other_weights, "sha256 0 in models/model.card.json"),
    ("json equals yaml", put(TRAIN, "epochs", 7), "epochs"),
    (
        "no machine's paths",
        put_text("docs/data_license.txt", None, "see /home/someone/data"),
        "docs/data_license.txt:1",
    ),
    (
        "no machine's paths",
        put_text("configs/mine.yaml", None, "x: /mnt/disk/list.json"),
        "mine.yaml:1",
    ),
    ("no machine's paths", put_text("configs/mine.yaml", None, "x: C:\\data\\list.json"), "mine.yaml:1"),
    ("no machine's paths", put_text("configs/mine.yaml", None, f"x: {ROOT}/list.json"), "mine.yaml:1"),
    ("logging.conf", put_text("configs/logging.conf", "StreamHandler", "rich.RichHandler"), "rich.RichHandler"),
    ("README sections", put_text("docs/README.md", "## Data\n", "## Volumes\n"), "no Data"),
    ("README is filled in", put_text(README, "## Data\n", "## Data\n@RESULT@"), "@RESULT@ in docs/README.md"),
    ("README is filled in", put_text(README, "--bundle_root .", "--bundle_root bundles/seg_btcv"), "bundles/seg"),
    ("README is filled in", put_text("docs/data_license.txt", None, "see docs/monai_label.md"), "monai_label"),
    ("README commands", put_text(README, "--dataset_dir", "--data_dir"), "--data_dir"),
    ("README commands", put_text(README, "configs/segresnet.yaml", "configs/seg.yaml"), "no configs/seg.yaml"),
    ("README commands", put_text(README, "../pretrain_hybridmim/configs", "../pretrain/configs"), "../pretrain/"),
    ("README commands", put_text(README, "configs/train.yaml", "train.yaml"), "configs of one bundle"),
    ("README commands", put_text(README, "--bundle_root . ", "--bundle_root .. "), "--bundle_root .. for"),
    ("imports are named in metadata", put(META, "required_packages_version/nibabel", ...), "nibabel"),
    ("metadata keys", put(META, "copyright", ...), "copyright"),
    ("metadata keys", put(META, "schema", "https://example.org/schema.json"), "example.org"),
    ("metadata schema", put(META, "required_packages_version", ["einops"]), "is not of type 'object'"),
    ("metadata schema", put(META, f"{PRED}/num_channels", "14"), "is not of type 'integer'"),
    ("version", put(META, "version", "0.10.0"), "0.10.0"),
    ("version", put(META, "version", "0.9.9"), "no 0.9.9 in the changelog"),
    ("versions are pip pins", put(META, "pytorch_version", "2.13.0+cpu"), "torch 2.13.0+cpu"),
    ("versions are pip pins", put(META, "required_packages_version/scipy", ">=1.11"), "scipy >=1.11"),
    ("image and pred", put(META, f"{PRED}/channel_def/3", ...), "'2', '4'"),
    ("image and pred", put(META, f"{IMAGE}/value_range", ...), "image without value_range"),
    ("image and pred", put(META, "network_data_format/inputs", {"scan": {}}), "scan"),
    ("channels and labels as in the config", put(META, f"{PRED}/channel_def/0", "air"), "air"),
    ("channels and labels as in the config", put(META, f"{IMAGE}/spatial_shape", [96, 96, 64]), "64"),
    ("channels and labels as in the config", put(META, f"{PRED}/num_channels", 13), "found 13"),
    ("channels and labels as in the config", put(INFERENCE, "channels", ["MR"]), "MR"),
    ("required ids", put(INFERENCE, "output_dir", ...), "inference without output_dir"),
    ("required ids", put(TRAIN, "train/inferer", ...), "train#inferer"),
    ("references, not inline content", put(TRAIN, "train/trainer/train_handlers", []), "train_handlers inline"),
    (
        "references, not inline content",
        put(INFERENCE, "dataset/transform", {"_target_": "Compose"}),
        "transform inline",
    ),
    ("handlers are dictionaries", put(TRAIN, "train/handlers/0", "@best_checkpoint"), "train#handlers"),
    ("val_interval", put_interval(5), "found 5"),
    ("label: short training validates", put(TRAIN, "val_interval", 50), "50 for 1 epochs"),
    ("metric and key names", put(TRAIN, "key_metric", "val_dice"), "key_metric val_dice"),
    (
        "metric and key names",
        put(TRAIN, "validate/handlers/0", {"_target_": "MetricsSaver", "metrics": ["val_acc"]}),
        "val_acc",
    ),
    ("model.pt is saved flat", put(TRAIN, "ckpt_dir", "elsewhere"), "ckpt_dir elsewhere"),
    (
        "model.pt is saved flat",
        put(TRAIN, "best_checkpoint/files", {"model.pt": "@resume_checkpoint"}),
        "no such saver",
    ),
    ("own classes by _target_", put(TRAIN, "imports/0", "$import custom_components"), "imports#0"),
    ("inference names MONAI and torch only", put(INFERENCE, "x", "custom_components.data"), "inference.json"),
    ("configs stand alone", put(TRAIN, "loss", "%configs/other.yaml::loss"), "%configs/other.yaml"),
    ("no # in strings", put_text("configs/mine.yaml", None, "datalist: list#2.json"), "list#2.json"),
    ("device may be a string", put(TRAIN, "amp", "$@device.type == 'cuda'"), "amp"),
    ("layers change keys that exist", put_text("configs/mine.yaml", None, "resume: '@resumed'"), "@resumed"),
    ("monai.bundle download", lambda root: None, "no zip beside"),  # the copy is the folder alone
    ("inference properties", put(INFERENCE, "inferer/_target_", "custom_components.Inferer"), "'inferer'"),
    ("train properties", put(TRAIN, "train/inferer", ...), "inferer"),
    ("evaluate properties", put("configs/evaluate.yaml", "validate#handlers", ["@nothing"]), "nothing"),
    ("layers build", put("configs/segresnet.yaml", "architecture/_target_", "NoSuchNet"), "NoSuchNet"),
    ("label: names", put(META, f"{PRED}/channel_def/1", "Liver"), "differ in lower case"),
    ("label: inference transforms", without(INFERENCE, "postprocessing/transforms", "Invertd"), "Invertd"),
    ("label: inference transforms", without(INFERENCE, "postprocessing/transforms", "CastToTyped"), "torch.uint8"),
    (
        "label: mask on the input's grid",
        without(INFERENCE, "postprocessing/transforms", "Invertd"),
        "(30, 26, 18)",
    ),
    ("label: mask on the input's grid", without(INFERENCE, "preprocessing/transforms", "DeleteItemsd"), "update"),
    ("label: training", put(TRAIN, "val_interval", 50), "val_interval"),
    ("label: training", put(TRAIN, "train/handlers/0", {"_target_": "CheckpointLoader"}), "a CheckpointLoader"),
    ("label: written masks are labels", put(TRAIN, "label_values", [0, 1]), "label_values [0, 1]"),
    ("label: training", put(TRAIN, "network", ...), "network"),
    ("label: small studies are padded", without(TRAIN, "deterministic_transforms", "SpatialPadd"), "padding"),
]


@pytest.mark.parametrize(("name", "breakage", "told"), BROKEN, ids=[f"{b[0]}: {b[2]}" for b in BROKEN])
def test_a_check_fails_on_what_it_is_for(packages, run, tmp_path, name, breakage, told):
    root = Path(shutil.copytree(packages(SAMPLE), tmp_path / SAMPLE))
    breakage(root)
    (result,) = run(root, [name])
    assert not result.ok
    assert told in result.note
    assert len(result.note.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("../pretrain_hybridmim/configs/task_brats.yaml", "../pretrain_hybridmim/configs/task.yaml", "task.yaml"),
        ("../pretrain_hybridmim --dataset_dir", "../pretrain_hybridmim --label_names", "--label_names"),
    ],
)
def test_commands_of_a_bundle_packed_beside_are_checked_too(packages, run, tmp_path, old, new, told):
    for name in ("seg_brats", "pretrain_hybridmim"):
        shutil.copytree(packages(name), tmp_path / name)
    (before,) = run(tmp_path / "seg_brats", ["README commands"])
    put_text(README, old, new)(tmp_path / "seg_brats")
    (after,) = run(tmp_path / "seg_brats", ["README commands"])
    assert (before.ok, after.ok) == (True, False)
    assert told in after.note


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        (TRAIN, "best_checkpoint/files/model.pt", "$@ema.module"),
        (TRAIN, "ema/network", "@train_network"),
        (TRAIN, "make_pretext/network", "$@architecture()"),
    ],
)
def test_what_pretraining_saves_is_the_network_alone(packages, run, tmp_path, file, key, value):
    root = Path(shutil.copytree(packages("pretrain_mae"), tmp_path / "pretrain_mae"))
    (before,) = run(root, ["model.pt is saved flat"])
    put(file, key, value)(root)
    (after,) = run(root, ["model.pt is saved flat"])
    assert (before.ok, after.ok) == (True, False)
    assert "no such saver" in after.note


def test_a_network_of_ours_is_allowed_if_a_layer_brings_it(run, tmp_path):
    """unetr_patch8.yaml names our class on purpose; inference.yaml itself never does."""
    names = ["inference names MONAI and torch only", "inference properties"]
    layers = ["smoke.yaml", "unetr_patch8.yaml"]
    root, _ = package(BUNDLES / SAMPLE, tmp_path / "packed", layers=layers)
    named, built = run(root, names)
    assert named.ok
    assert built.ok
    assert "UNETRPatch8: MONAI Label takes it only where custom_components is installed" in named.note
    assert "without custom_components" not in built.note
    text = (root / "configs" / "inference.yaml").read_text()
    (root / "configs" / "inference.yaml").write_text(text.partition("\n")[2])  # as if no layer had brought it
    assert [result.ok for result in run(root, names)] == [False, False]


@pytest.mark.parametrize("name", ["seg_btcv_v2", "Seg", "seg"])
def test_a_name_that_corrupts_listings_fails(packages, run, tmp_path, name):
    root = Path(shutil.copytree(packages(SAMPLE), tmp_path / name))
    (result,) = run(root, ["bundle name"], [*NAMES, name])
    assert not result.ok


def test_every_check_is_seen_failing():
    heavy = [name for name, (group, _) in CHECKS.items() if group in HEAVY]
    elsewhere = {"bundle name", "no Python code"}  # above; in tests/mim3d/package/test_config_only.py
    assert {*(name for name, _, _ in BROKEN), *elsewhere, *ISOLATED, *heavy} == set(CHECKS)
