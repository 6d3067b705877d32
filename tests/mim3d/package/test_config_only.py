"""The config-only form of the segmentation bundles: what it holds, that it equals the bundle, and runs alone."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
from torch.optim import SGD

from custom_components.backbones import adapt
from custom_components.engine import WarmupCosine, parameter_groups
from mim3d.catalog import NETWORKS, TASKS
from mim3d.cli import main
from mim3d.package.contents import collect
from mim3d.package.pack import package
from mim3d.phantoms import write_phantoms
from mim3d.verify.checks import select
from mim3d.verify.checks_config_only import ALONE
from mim3d.verify.checks_workflows import without_own_code
from mim3d.verify.registry import Result

BUNDLES = [task.bundle for task in TASKS.values()]
BUNDLE = TASKS["msd_hippocampus"].bundle
FEATURES = [4, 4, 8, 8, 16, 4]
TINY: dict[str, Any] = {
    "spacing": [2.0, 2.0, 2.0],
    "roi_size": [32, 32, 32],
    "architecture#features": FEATURES,
    "num_workers": 0,
    "batch_size": 2,
    "val_interval": 1,
}
#: Keys that the two training configs share and that differ on purpose.
DIFFER = {
    *("imports", "amp", "load_pretrained", "parameters", "optimizer", "total_steps", "lr_scheduler"),  # mechanics
    *("datalist", "items", "validation_items", "deterministic_transforms", "train", "validate", "run"),
    "command_line",
}
#: Transforms of the bundle that read and resample, which MONAI's own do here.
READING = ("CopyItemsd", "LoadImaged", "AlignLabeld", "AxisSpacingd", "Spacingd")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """``packed(bundle)``: the folder of its config-only package; made once."""
    out = tmp_path_factory.mktemp("config_only")

    def pack(bundle: Path) -> Path:
        folder = out / f"config_only_{bundle.name}"
        return folder if folder.is_dir() else package(bundle, out, config_only=True)[0]

    return pack


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of the hippocampus with a data list."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    sections = {"training": 3, "validation": 2, "test": 1, "unlabelled": 0}
    write_phantoms(folder, TASKS["msd_hippocampus"].phantoms, size="tiny", progress=False, **sections)
    return folder


def workflow(root: Path, *names: str, **override: Any) -> ConfigWorkflow:
    """A workflow of configs of a bundle or package, on the CPU."""
    files = [str(root / "configs" / f"{name}.yaml") for name in names]
    kind = "inference" if names[0] == "inference" else "train"
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, bundle_root=str(root), **override)


def parsed(root: Path, key: str, *names: str, **override: Any) -> Any:
    """One resolved entry of a training config."""
    return workflow(root, *(names or ("train",)), **override).parser.get_parsed_content(key)


def content(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "configs" / "train.yaml").read_text(encoding="utf-8")))


def state_of(component: Any) -> Any:
    """Parameters of a transform or loss, without random states and addresses of functions."""
    if isinstance(component, (list, tuple)):
        return [state_of(item) for item in component]
    if type(component).__module__.startswith(("monai", "functools")) and hasattr(component, "__dict__"):
        own = {key: state_of(value) for key, value in vars(component).items() if key not in ("R", "pool")}
        return type(component).__qualname__, own, state_of(getattr(component, "args", None))
    return re.sub(r" at 0x\w+", "", repr(component))


def alone(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``monai.bundle run`` inside a package's folder, where neither this project nor scipy can be imported."""
    absent = "custom_components,mim3d,scipy,skimage,einops,psutil,matplotlib"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    line = [sys.executable, "-c", ALONE, absent, "run", "--bundle_root", ".", *words]
    return subprocess.run(line, cwd=root, env=env, capture_output=True, encoding="utf-8", timeout=600, check=False)


def options(keys: dict[str, Any]) -> list[str]:
    return [word for key, value in keys.items() for word in (f"--{key}", str(value))]


# --- what a package holds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_package_holds_no_code_and_passes_the_checks_of_packages(
    bundle: Path, packed: Callable[[Path], Path], run: Callable[..., list[Result]]
) -> None:
    root = packed(bundle)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix in (".py", ".pyc", ".so")] == []
    texts = [path.read_text(encoding="utf-8") for path in files if path.parent.name == "configs"]
    assert len(texts) == 12
    assert [text[:80] for text in texts if "custom_components" in text or "mim3d" in text] == []
    results = run(root, select(["files", "metadata", "configs"], []), [root.name])
    assert "no Python code" in {result.name for result in results}
    assert [(result.name, result.note) for result in results if not result.ok] == []
    needed = json.loads((root / "configs" / "metadata.json").read_text())["required_packages_version"]
    assert sorted(needed) == ["fire", "nibabel", "pytorch-ignite", "pyyaml", "tensorboard", "tqdm"]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("configs/extra.py", "x = 1\n", "configs/extra.py"),
        ("configs/mine.yaml", "loss: {_target_: custom_components.losses.CombinedLoss}\n", "mine: loss#_target_"),
        ("configs/mine.yaml", "imports: [$import skimage]\n", "mine: imports#0"),
        ("configs/mine.yaml", "loss: {_target_: scipy.ndimage.zoom}\n", "mine: loss#_target_"),
        ("configs/mine.yaml", "loss: {_target_: NoSuchLoss}\n", "mine: loss#_target_"),
    ],
)
def test_code_and_classes_of_others_are_found(
    file: str,
    text: str,
    told: str,
    packed: Callable[[Path], Path],
    run: Callable[..., list[Result]],
    tmp_path: Path,
) -> None:
    root = Path(shutil.copytree(packed(BUNDLE), tmp_path / packed(BUNDLE).name))
    (root / file).write_text(text)
    (result,) = run(root, ["no Python code"])
    assert not result.ok
    assert told in result.note


def test_checks_of_each_kind_of_package_leave_the_other_alone(
    packed: Callable[[Path], Path], packages: Callable[[str], Path], run: Callable[..., list[Result]]
) -> None:
    names = ["own copy of custom_components", "trains and segments alone"]
    assert run(packed(BUNDLE), names[:1])[0].note == "not for a config-only package"
    assert run(packages(BUNDLE.name), names[1:])[0].note == "for config-only packages"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretrain_mae"], "pretrain_mae needs Python code of its own; allowed: seg_btcv, "),
        (["seg_btcv", "pretrain_mae"], "pretrain_mae needs Python code of its own"),
        (["seg_btcv", "--layer", "unetr_patch8.yaml"], "names custom_components.backbones.UNETRPatch8 in arch"),
        (["seg_btcv", "--layer", "replace.yaml"], "a layer sets non_finite to 'replace', which MONAI's classes"),
        (["seg_btcv", "--layer", "tta.yaml"], "tta.yaml is not merged"),
        (["elsewhere/seg_btcv"], "elsewhere/seg_btcv has no sources; give the name of the bundle, seg_btcv"),
    ],
)
def test_what_has_no_config_only_form_is_refused_in_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("replace.yaml").write_text("non_finite: replace\n", encoding="utf-8")
    shutil.copytree(TASKS["btcv"].bundle / "configs", "elsewhere/seg_btcv/configs")
    with pytest.raises(SystemExit):
        main(["package", *words, "--config_only", "--out", "out"])
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_layers_are_merged_and_the_metadata_names_what_they_need(tmp_path: Path) -> None:
    """The list that a layer names is on another machine; the package's own default stays."""
    layer = tmp_path / "mine.yaml"
    layer.write_text("datalist: /data/list.json\nlabel_names: [background, a, b]\nlargest_component: [1]\n")
    files = collect(BUNDLE, ["unetr.yaml", str(layer)], config_only=True)
    train, metadata = (json.loads(files[f"configs/{name}.json"]) for name in ("train", "metadata"))
    assert yaml.safe_load(files["configs/train.yaml"]) == train
    assert train["architecture"]["_target_"] == "UNETR"
    assert train["datalist"] == "$@dataset_dir + '/datalist.json'"
    assert {"einops", "scikit-image"} <= set(metadata["required_packages_version"])
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    assert "no datalist" not in files["docs/README.md"].decode()


def test_weights_are_packed_and_the_documents_say_so(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pt")
    files = collect(BUNDLE, weights=tmp_path / "model.pt", config_only=True)
    assert files["models/model.pt"] == (tmp_path / "model.pt").read_bytes()
    assert "No data and no weights are included" not in files["docs/README.md"].decode()
    assert "added by whoever packed this bundle" in files["docs/data_license.txt"].decode()


# --- equality with the bundle -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_task_view_network_loss_and_recipe_are_those_of_the_bundle(
    bundle: Path, packed: Callable[[Path], Path]
) -> None:
    root = packed(bundle)
    full, plain = content(bundle), content(root)
    shared = set(full) & set(plain)
    assert {key for key in shared if full[key] != plain[key]} == DIFFER
    assert {"channels", "spacing", "roi_size", "intensity", "foreground", "label_names", "architecture"} <= shared
    assert {"loss", "metric", "epochs", "learning_rate", "weight_decay", "crop_ratios", "warmup_share"} <= shared
    ours, theirs = (parsed(place, "network_def") for place in (root, bundle))
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    for key in ("loss", "metric", "intensity", "foreground", "label_mapping", "label_channels", "to_labels"):
        assert state_of(parsed(root, key)) == state_of(parsed(bundle, key)), key
    for key in ("train#preprocessing", "validate#preprocessing"):
        lists = [parsed(place, key).transforms for place in (root, bundle)]
        kept = [[item for item in items if type(item).__name__ not in READING] for items in lists]
        assert len(kept[0]) > 4
        assert state_of(kept[0]) == state_of(kept[1])


def test_prepared_volumes_are_those_of_the_bundle(packed: Callable[[Path], Path], tmp_path: Path) -> None:
    """The bundle resamples with a transform of its own, only where there is foreground; rounding differs."""
    write_phantoms(tmp_path / "ct", "abdomen_ct", size="tiny", progress=False, training=1, validation=1)
    bundle, keys = TASKS["btcv"].bundle, {"spacing": [6.0, 6.0, 6.0], "roi_size": [32, 32, 32]}
    made = []
    for root in (packed(bundle), bundle):
        config = workflow(root, "train", dataset_dir=str(tmp_path / "ct"), **keys).parser
        item = config.get_parsed_content("items")[0]
        made.append(config.get_parsed_content("validate#preprocessing")({k: item[k] for k in ("image", "label")}))
    ours, theirs = made
    assert ours["image"].shape == theirs["image"].shape
    assert torch.allclose(ours["image"].as_tensor(), theirs["image"].as_tensor(), atol=1e-3)
    assert (ours["label"] != theirs["label"]).float().mean() < 1e-3
    assert torch.allclose(ours["image"].affine, theirs["image"].affine, atol=1e-4)


@pytest.mark.parametrize(
    "name", [network.title for network in NETWORKS.values() if network.name != "unetr_patch8"]
)
def test_encoder_and_output_layer_are_those_that_our_code_knows(
    name: str, packed: Callable[[Path], Path], make_network: Callable[..., torch.nn.Module]
) -> None:
    network = make_network(name, 1, 3)
    config = ConfigParser(content(packed(BUNDLE)))
    config["network_def"], config["pretrained"], config["learning_rate"] = network, "weights.pt", 0.01
    rates = {id(p): group["lr"] for group in config.get_parsed_content("parameters") for p in group["params"]}
    expected = parameter_groups(network, 0.01, encoder_lr_factor=0.1)
    wanted = {id(p): group["lr"] for group in expected for p in group["params"]}
    assert rates == pytest.approx(wanted)
    assert len({*rates.values()}) == 2
    given = {
        key: torch.full_like(value, 0.5)
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    config["state"] = given | {k: v for k, v in network.state_dict().items() if k not in given}
    config.get_parsed_content("load_pretrained")
    kept = [
        key for key, value in network.state_dict().items() if key in given and not torch.equal(value, given[key])
    ]
    layer = adapt(network).output_layer
    assert kept == [key for key in given if key.startswith(f"{layer}.")]
    assert kept


def test_the_learning_rate_is_that_of_the_bundle_at_each_step(packed: Callable[[Path], Path], data: Path) -> None:
    keys = {"dataset_dir": str(data), "epochs": 20, **TINY}
    config = workflow(packed(BUNDLE), "train", **keys).parser
    ours, steps = config.get_parsed_content("lr_scheduler"), config.get_parsed_content("total_steps")
    assert steps == 20 * 2
    theirs = WarmupCosine(SGD(torch.nn.Linear(1, 1).parameters(), lr=config["learning_rate"]), 4, steps)
    for _ in range(steps):
        assert ours.get_last_lr()[0] == pytest.approx(theirs.get_last_lr()[0])
        for schedule in (ours, theirs):
            schedule.optimizer.step()
            schedule.step()


def test_pretrained_weights_arrive_and_the_output_layer_does_not(
    packed: Callable[[Path], Path], make_network: Callable[..., torch.nn.Module], tmp_path: Path
) -> None:
    """A pretraining bundle's network has as many output channels as input channels."""
    saved = make_network("BasicUNet", 1, 1, seed=5)
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    config = workflow(packed(BUNDLE), "train", pretrained=str(tmp_path / "model.pt"), **TINY).parser
    optimizer, network = config.get_parsed_content("optimizer"), config.get_parsed_content("network")
    found, given = network.state_dict(), torch.load(tmp_path / "model.pt", weights_only=True)
    assert {key for key in found if found[key].shape != given[key].shape} == {
        "final_conv.weight",
        "final_conv.bias",
    }
    loaded = [key for key in given if not key.startswith("final_conv")]
    assert all(torch.equal(found[key], given[key]) for key in loaded)
    assert [round(group["lr"] / config["learning_rate"], 6) for group in optimizer.param_groups] == [1.0, 0.1]
    torch.save({key: value for key, value in given.items() if key != loaded[0]}, tmp_path / "model.pt")
    with pytest.raises(SystemExit, match=rf"^error: pretrained .*model\.pt does not fit this .*: {loaded[0]} "):
        parsed(packed(BUNDLE), "optimizer", pretrained=str(tmp_path / "model.pt"), **TINY)


# --- runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_property_of_a_workflow_is_there_without_our_code(
    bundle: Path, packed: Callable[[Path], Path]
) -> None:
    with without_own_code():
        for names in (("train",), ("train", "evaluate"), ("inference",)):
            made = workflow(packed(bundle), *names)
            made.initialize()
            assert made.check_properties() == []


@pytest.fixture(scope="module")
def trained(packed: Callable[[Path], Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package's folder, after a fine-tuning in a process that cannot import this project."""
    root = tmp_path_factory.mktemp("trained") / "package"
    shutil.copytree(packed(BUNDLE), root)
    torch.manual_seed(1)
    network = parsed(root, "network_def", **TINY)
    torch.save(network.state_dict(), root / "start.pt")
    keys = options(TINY | {"epochs": 2, "learning_rate": 1e-2})
    words = ["--config_file", "configs/train.yaml", "--dataset_dir", str(data), "--pretrained", "start.pt", *keys]
    done = alone(root, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.slow
def test_a_package_alone_trains_evaluates_and_segments(trained: Path, data: Path, tmp_path: Path) -> None:
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    start = torch.load(trained / "start.pt", weights_only=True)
    assert weights.keys() == start.keys()
    assert not torch.equal(weights["conv_0.conv_0.conv.weight"], start["conv_0.conv_0.conv.weight"])
    assert list((trained / "eval").glob("events.out.tfevents.*"))
    configs = "['configs/train.yaml','configs/evaluate.yaml']"
    view = {key: TINY[key] for key in ("spacing", "roi_size", "architecture#features")}
    keys = options(view | {"num_workers": 0, "dataset_dir": data})
    done = alone(trained, "--config_file", configs, *keys)
    assert done.returncode == 0, done.stderr[-3000:]
    with (trained / "eval" / "validation" / "val_mean_dice_raw.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["filename"]).parent for row in rows] == [data / "imagesTr"] * 2

    full = {"dataset_dir": str(data), "output_dir": str(tmp_path / "full"), "num_workers": 0, "amp": False, **view}
    made = workflow(BUNDLE, "train", "evaluate", weights=str(trained / "models" / "model.pt"), **full)
    made.initialize()
    made.run()
    with (tmp_path / "full" / "cases.csv").open(encoding="utf-8") as file:
        scores = [float(row["dice"]) for row in csv.DictReader(file)]
    ours = [float(row[name]) for row in rows for name in ("class0", "class1")]
    assert ours == pytest.approx(scores, abs=1e-5)

    image = next((data / "imagesTr").iterdir())
    words = ["--config_file", "configs/inference.yaml", "--dataset_dir", str(image), "--output_dir", str(tmp_path)]
    done = alone(trained, *words, *options(view))
    assert done.returncode == 0, done.stderr[-3000:]
    (mask,) = tmp_path.glob("*_seg.nii.gz")
    assert nib.load(mask).shape == nib.load(image).shape


def spoil(data: Path, folder: Path, how: Callable[[np.ndarray], np.ndarray], kind: str) -> Path:
    """A copy of the data whose first training image or label is changed."""
    shutil.copytree(data, folder)
    item = json.loads((folder / "datalist.json").read_text())["training"][0]
    image = nib.load(folder / item[kind])
    nib.Nifti1Image(how(np.asanyarray(image.dataobj)), image.affine).to_filename(folder / item[kind])
    return folder


def run_training(root: Path, **keys: Any) -> ConfigWorkflow:
    made = workflow(root, "train", **{"epochs": 1, **TINY, **keys})
    made.initialize()
    made.run()
    return made


def test_what_would_go_wrong_silently_ends_the_run_in_one_line(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    root, models = packed(BUNDLE), {"ckpt_dir": str(tmp_path / "m"), "output_dir": str(tmp_path / "e")}
    with pytest.raises(
        SystemExit, match=r"^error: dataset_dir '.*' needs a datalist\.json with the sections train"
    ):
        run_training(root, dataset_dir=str(tmp_path), **models)
    wrong = spoil(data, tmp_path / "label", lambda voxels: (voxels * 3).astype(np.uint8), "label")
    with pytest.raises(SystemExit, match=r"^error: label .* has the value [36]; allowed: \[0, 1, 2\]"):
        run_training(root, dataset_dir=str(wrong), **models)
    shutil.rmtree(wrong / "labelsTr")
    with pytest.raises(SystemExit, match=r"^error: the data list names .*labelsTr.*, which does not exist"):
        run_training(root, dataset_dir=str(wrong), **models)
    with pytest.raises(SystemExit, match="^error: pretrained nothing.pt is not a file"):
        run_training(root, dataset_dir=str(data), pretrained="nothing.pt", **models)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pt").write_bytes(b"of another run")
    with pytest.raises(SystemExit, match=r"^error: .* holds model\.pt of another run; --overwrite True"):
        run_training(root, dataset_dir=str(data), **models)
    assert (tmp_path / "m" / "model.pt").read_bytes() == b"of another run"


@pytest.mark.slow
def test_a_misspelled_key_ends_the_command(trained: Path, data: Path) -> None:
    words = ["--config_file", "configs/train.yaml", "--dataset_dir", str(data), "--epoch", "1"]
    done = alone(trained, *words)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: unknown key --epoch; did you mean epochs?")


def test_training_ends_at_a_loss_that_is_not_finite(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    def with_nan(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[::2] = np.nan
        return voxels

    wrong = spoil(data, tmp_path / "nan", with_nan, "image")
    keys = {"ckpt_dir": str(tmp_path / "m"), "output_dir": str(tmp_path / "e"), "intensity#nonzero": False}
    made = run_training(packed(BUNDLE), dataset_dir=str(wrong), epochs=3, **keys)
    assert made.trainer.state.iteration < 6
    assert not (tmp_path / "m" / "model.pt").exists()


def test_a_client_of_federated_learning_trains_and_evaluates(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    """Two rounds of one epoch, in MONAI's own client, which reads the JSON files; the rate falls over both."""
    root = Path(shutil.copytree(packed(BUNDLE), tmp_path / "client"))
    keys = {"dataset_dir": str(data), "epochs": 2, "warmup_share": 0.0, **TINY}
    with without_own_code():
        client = MonaiAlgo(str(root), local_epochs=1, send_weight_diff=False, train_kwargs=keys, eval_kwargs=keys)
        client.initialize({"CLIENT_NAME": "site"})
        weights, rates = client.get_weights().weights, []
        for _ in range(2):
            before = {key: value.clone() for key, value in weights.items()}
            client.train(ExchangeObject(weights=weights), {})
            weights = client.get_weights().weights
            rates.append(client.trainer.optimizer.param_groups[0]["lr"])
        metrics = client.evaluate(ExchangeObject(weights=weights), {}).metrics
        client.finalize()
    assert not torch.equal(weights["final_conv.weight"], before["final_conv.weight"])
    assert rates == pytest.approx([0.5e-2, 0.0], abs=1e-9)
    assert client.trainer.state.epoch == 2
    assert 0.0 <= metrics["val_mean_dice"] <= 1.0
