"""MONAI Label's own rules for a bundle (monaibundle app, 0.8.5), applied to every seg bundle without MONAI Label.

`infer` and `train_overrides` do with a config what ``BundleInferTask`` and ``BundleTrainTask`` of the app do, in
the same order. ``ci/label_roundtrip.sh`` tries the same bundles in a real server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigItem, ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, LoadImaged, SaveImaged

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.name for path in (ROOT / "bundles").glob("seg_*/configs"))
NAMES = sorted(path.parent.name for path in (ROOT / "bundles").glob("*/configs"))
#: What the app reads of inference, and what it sets in train: an id that is not there would be set in vain.
INFERENCE_IDS = ("bundle_root", "device", "network_def", "preprocessing", "postprocessing", "inferer")
TRAIN_IDS = (
    "bundle_root",
    "device",
    "network",
    "train#trainer#max_epochs",
    "train#dataset#data",
    "train#handlers",
    "validate#dataset#data",
)
every_bundle = pytest.mark.parametrize("bundle", BUNDLES)


def configs(bundle: str) -> Path:
    return ROOT / "bundles" / bundle / "configs"


def parser_of(bundle: str, name: str) -> ConfigParser:
    """One file, as the app reads it: no layers, and the bundle's folder put in."""
    parser = ConfigParser()
    parser.read_config(configs(bundle) / f"{name}.yaml")
    parser.config.update({"bundle_root": str(ROOT / "bundles" / bundle)})
    return parser


def metadata(bundle: str) -> dict[str, Any]:
    return dict(json.loads((configs(bundle) / "metadata.json").read_text()))


def label_names(bundle: str) -> list[str]:
    return list(parser_of(bundle, "inference").get_parsed_content("label_names"))


def set_device(parser: ConfigParser, device: str) -> None:
    """The app puts a string in, at each request, into a parser that has been used before."""
    parser.config.update({"device": device})
    if parser.ref_resolver.items.get("device"):
        parser.ref_resolver.items["device"] = ConfigItem(config=device, id="device")


def infer(parser: ConfigParser, image: Path, network: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    """Preprocessing, inferer and postprocessing as the app runs them, without the transform that saves."""
    data: dict[str, Any] = {"model": "seg", "image": str(image), "image_path": str(image), "device": "cpu"}
    set_device(parser, "cpu")
    for transform in parser.get_parsed_content("preprocessing").transforms:
        data = transform(data)
    set_device(parser, "cpu")
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    set_device(parser, "cpu")
    kept = [t for t in parser.get_parsed_content("postprocessing").transforms if not isinstance(t, SaveImaged)]
    return dict(Compose(kept)(data))


def train_overrides(bundle: str, train: list[Any], validation: list[Any], epochs: int) -> dict[str, Any]:
    """What the app hands to ``monai.bundle.run``: its own lists, epochs and device, and a loader put first."""
    handlers = parser_of(bundle, "train").get("train#handlers", [])
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(ROOT / "bundles" / bundle / "models" / "model.pt"),
        "load_dict": {"model": "$@network"},
        "strict": False,
    }
    if not [handler for handler in handlers if handler.get("_target_") == "CheckpointLoader"]:
        handlers.insert(0, loader)
    values = (str(ROOT / "bundles" / bundle), "cpu", None, epochs, train, handlers, validation)
    return {key: value for key, value in zip(TRAIN_IDS, values, strict=True) if key != "network"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, str]]]:
    """Two small studies of a bundle's channels on oblique and swapped axes, labels with every value it names."""
    folder = tmp_path_factory.mktemp("studies")
    swapped = np.array([[0, 2.5, 0, 11], [-2.0, 0, 0, 5], [0, 0, 3.0, -40], [0, 0, 0, 1.0]])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    affines = [turn @ np.diag([-2.0, -2.0, 3.0, 1.0]), swapped]

    def make(bundle: str) -> list[dict[str, str]]:
        channels, values = parser_of(bundle, "inference").get_parsed_content("channels"), len(label_names(bundle))
        items = []
        for number, affine in enumerate(affines):
            rng = np.random.default_rng(number)
            shape = (18, 20, 14) if len(channels) == 1 else (18, 20, 14, len(channels))
            label = rng.integers(0, values, shape[:3]).astype(np.uint8)
            item = {key: str(folder / bundle / key / f"{number}.nii.gz") for key in ("image", "label")}
            for key, voxels in (("image", rng.integers(1, 200, shape).astype(np.int16)), ("label", label)):
                Path(item[key]).parent.mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(voxels, affine), item[key])
            items.append(item)
        return items

    return make


# --- names and files ----------------------------------------------------------------------------------------


@every_bundle
def test_the_name_is_one_that_the_app_takes_for_a_segmentation(bundle: str) -> None:
    assert not re.search("deepedit|deepgrow|detection|classification|_v", bundle)
    assert [name for name in NAMES if name != bundle and name.startswith(bundle)] == []


@every_bundle
@pytest.mark.parametrize("name", ["inference", "train"])
def test_one_file_is_complete(bundle: str, name: str) -> None:
    folder = configs(bundle)
    for needed in ("metadata.json", "logging.conf", "multi_gpu_train.yaml"):
        assert (folder / needed).is_file()
    assert list(folder.glob(f"{name}.*")) == [folder / f"{name}.yaml"]  # the app would take a .json first
    config = ConfigParser.load_config_file(folder / f"{name}.yaml")
    json.dumps(config)  # multi-GPU training writes it as JSON
    parser = parser_of(bundle, name)
    ids = INFERENCE_IDS if name == "inference" else TRAIN_IDS
    assert [key for key in ids if parser.get(key) is None] == []
    assert not re.search(r"%\S+\.(yaml|json)", json.dumps(config))


@every_bundle
@pytest.mark.parametrize("name", ["inference", "train"])
def test_nothing_asks_a_device_for_its_type(bundle: str, name: str) -> None:
    assert "@device." not in (configs(bundle) / f"{name}.yaml").read_text()


@every_bundle
def test_inference_names_no_code_that_two_bundles_would_bring(bundle: str) -> None:
    """Of the layers unetr_patch8.yaml does, its network: served only where custom_components is installed."""
    text = (configs(bundle) / "inference.yaml").read_text()
    assert "custom_components" not in text
    assert "scripts" not in text


@every_bundle
def test_labels_are_those_of_the_metadata(bundle: str) -> None:
    sides = metadata(bundle)["network_data_format"]
    (image, given), (pred, written) = (next(iter(sides[side].items())) for side in ("inputs", "outputs"))
    assert (image, pred) == ("image", "pred")
    assert len(given["spatial_shape"]) == 3
    for name in ("inference", "train"):
        names = parser_of(bundle, name).get_parsed_content("label_names")
        assert written["channel_def"] == {str(value): label for value, label in enumerate(names)}
    assert names[0] == "background"
    assert len({label.lower() for label in names}) == len(names)  # the app lists them in lower case


@every_bundle
def test_the_network_alone_is_built_and_fits_what_training_saves(bundle: str) -> None:
    keys = []
    for name in ("inference", "train"):
        with torch.device("meta"):
            network = parser_of(bundle, name).get_parsed_content("network_def", instantiate=True)
        keys.append({key: value.shape for key, value in network.state_dict().items()})
    assert keys[0] == keys[1]
    outputs = metadata(bundle)["network_data_format"]["outputs"]["pred"]["num_channels"]
    assert len(parser_of(bundle, "train").get_parsed_content("output_names")) == outputs


# --- inference ----------------------------------------------------------------------------------------------


@every_bundle
def test_transforms_that_the_app_looks_for_are_in_the_lists_themselves(bundle: str) -> None:
    parser = parser_of(bundle, "inference")
    before, after = (parser.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
    assert isinstance(before, Compose)
    assert isinstance(after, Compose)
    assert [type(t) for t in before.transforms].count(LoadImaged) == 1
    assert {SaveImaged, Invertd} <= {type(t) for t in after.transforms}


@every_bundle
def test_a_request_gives_a_mask_on_the_studys_grid_with_every_named_value(bundle: str, cases: Any) -> None:
    parser = parser_of(bundle, "inference")
    outputs = len(parser.get_parsed_content("output_names"))
    torch.manual_seed(0)
    for item in cases(bundle):
        made = infer(parser, item["image"], lambda x: torch.randn(x.shape[0], outputs, *x.shape[2:]))
        study = nib.load(item["image"])
        mask = made["pred"]
        assert made["image_path"] == item["image"]  # the app takes the mask's file type from it
        assert mask.shape == (1, *study.shape[:3])
        assert mask.dtype == torch.uint8
        assert isinstance(made["image"], MetaTensor)  # its affine is what the app writes
        np.testing.assert_allclose(made["image"].meta["original_affine"], study.affine, atol=1e-4)
        np.testing.assert_allclose(mask.affine, study.affine, atol=1e-4)
        assert set(torch.unique(torch.as_tensor(mask)).tolist()) == set(range(len(label_names(bundle))))


# --- training -----------------------------------------------------------------------------------------------


def training(bundle: str, train: list[Any], validation: list[Any], epochs: int = 1, **more: Any) -> ConfigWorkflow:
    overrides = train_overrides(bundle, train, validation, epochs)
    made = ConfigWorkflow(
        str(configs(bundle) / "train.yaml"),
        meta_file=str(configs(bundle) / "metadata.json"),
        workflow_type="train",
        logging_file=False,
        **overrides,
        **more,
    )
    made.initialize()
    return made


@every_bundle
def test_handlers_are_dictionaries_that_the_trainer_refers_to(bundle: str) -> None:
    parser = parser_of(bundle, "train")
    handlers = parser.get("train#handlers")
    assert [handler for handler in handlers if not isinstance(handler, dict) or "_target_" not in handler] == []
    assert "CheckpointLoader" not in [handler["_target_"] for handler in handlers]
    assert parser.get("train#trainer")["train_handlers"] == "@train#handlers"


@every_bundle
def test_training_takes_the_apps_lists_epochs_and_loader(bundle: str, cases: Any, tmp_path: Path) -> None:
    first, second = cases(bundle)
    small = {"num_workers": 0, "batch_size": 1, "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    made = training(bundle, [first], [second], **small)
    parser = made.parser
    parser.get_parsed_content("preflight")()  # the checks before the first epoch pass
    loader = parser.get_parsed_content("train#handlers#0")
    assert loader.load_dict["model"] is parser.get_parsed_content("network")
    assert parser.get_parsed_content("train#dataset").data == [first]
    assert parser.get_parsed_content("validate#dataset").data == [second]
    assert parser.get_parsed_content("cases") == [first]
    assert parser.get_parsed_content("train#trainer#max_epochs") == 1
    assert parser.get_parsed_content("total_steps") == 1
    batch = next(iter(parser.get_parsed_content("train#dataloader")))
    channels, outputs = (len(parser.get_parsed_content(key)) for key in ("channels", "output_names"))
    roi = parser.get_parsed_content("roi_size")
    assert batch["image"].shape[1:] == (channels, *roi)  # small studies are padded
    loss = parser.get_parsed_content("loss")(torch.zeros(len(batch["image"]), outputs, *roi), batch["label"])
    assert torch.isfinite(loss)


@every_bundle
def test_weights_go_where_the_app_reads_them_and_have_the_shortest_name(bundle: str) -> None:
    models = ROOT / "bundles" / bundle / "models"
    parser = parser_of(bundle, "train")
    assert parser.get_parsed_content("ckpt_dir") == str(models)
    assert list(parser["best_checkpoint"]["files"]) == ["model.pt"]
    others = set(re.findall(r"([\w.]+\.pt)'", (configs(bundle) / "train.yaml").read_text())) - {"model.pt"}
    assert [name for name in others if len(name) <= len("model.pt")] == []


@every_bundle
@pytest.mark.parametrize("layer", [None, "smoke.yaml"])
def test_few_epochs_are_enough_to_keep_weights(bundle: str, layer: str | None) -> None:
    """The app's user sets the number of epochs alone; without a validation nothing is saved."""
    files = ["train.yaml", *([layer] if layer else [])]
    for epochs in (1, 3, 1000):
        parser = ConfigParser(ConfigParser.load_config_files([str(configs(bundle) / name) for name in files]))
        parser["train#trainer#max_epochs"] = epochs
        assert 1 <= parser.get_parsed_content("val_interval") <= epochs


@every_bundle
@pytest.mark.parametrize("layer", [None, "smoke.yaml"])
def test_a_label_made_from_a_written_mask_is_trained_on_as_it_is(bundle: str, layer: str | None) -> None:
    """In the app, labels have the values that the bundle writes, whatever data set it was first trained on."""
    files = ["train.yaml", *([layer] if layer else [])]
    parser = ConfigParser(ConfigParser.load_config_files([str(configs(bundle) / name) for name in files]))
    values = torch.arange(len(label_names(bundle)))[None]
    mapped = parser.get_parsed_content("label_mapping")({"label": values})["label"]
    assert torch.equal(torch.as_tensor(mapped).long(), values)
    allowed = parser.get_parsed_content("label_values")
    assert allowed is None or list(allowed) == values[0].tolist()
