"""What every segmentation bundle promises, read off its files; nothing is trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "bundles"
PRETRAIN = BUNDLES / "pretrain_hybridmim" / "configs"
NAMES = sorted(path.name for path in BUNDLES.glob("seg_*"))
PRETRAINING = sorted(path.name for path in BUNDLES.glob("pretrain_*"))
NETWORKS = {
    "segresnet.yaml": "SegResNet",
    "swin_unetr.yaml": "SwinUNETR",
    "unetr.yaml": "UNETR",
    "unetr_patch8.yaml": "UNETRPatch8",
}
LAYERS = [[], *([name] for name in NETWORKS), ["smoke.yaml"]]
#: Layers of pretrain_hybridmim that give a bundle's view, and its view in smoke form.
TASKS = {
    "seg_btcv": ([], ["smoke.yaml"]),
    "seg_brats": (["task_brats.yaml"], ["task_brats.yaml", "smoke.yaml"]),
    "seg_msd_liver": (["task_msd_liver.yaml"], ["task_msd_liver.yaml", "smoke.yaml"]),
    "seg_msd_spleen": (["task_msd_spleen.yaml"], ["task_msd_spleen.yaml", "smoke.yaml"]),
    "seg_msd_hippocampus": (["task_msd_hippocampus.yaml"], ["smoke.yaml", "task_msd_hippocampus.yaml"]),
}
#: The keys of train.yaml in which bundles may differ: those of the part headed "the task", and paths.
TASK_KEYS = {
    *("imports", "btcv_split", "split", "channels", "spacing", "window", "roi_size", "intensity", "foreground"),
    *("view", "label_names", "output_names", "label_values", "label_source", "source_values", "label_mapping"),
    *("label_channels", "decide", "scored_channels", "regions", "crop_ratios", "architecture", "loss", "metric"),
    *("epochs", "val_interval", "batch_size", "num_samples", "learning_rate", "weight_decay", "rotation_axes"),
    "flip_prob",
    "cache_rate",
}
SAME_FILES = (
    "multi_gpu_train.yaml",
    "resume.yaml",
    "segresnet.yaml",
    "unetr.yaml",
    "unetr_patch8.yaml",
    "logging.conf",
)
VIEW_KEYS = ("channels", "orientation", "spacing", "roi_size")


def load(*files: Path) -> dict[str, Any]:
    return dict(ConfigParser.load_config_files([str(file) for file in files]))


def parsed(*files: Path) -> ConfigParser:
    parser = ConfigParser(load(*files))
    parser.parse()
    return parser


def configs(name: str, first: str, layers: list[str]) -> list[Path]:
    return [BUNDLES / name / "configs" / file for file in (first, *layers)]


def workflow(name: str, first: str, layers: list[str], **override: Any) -> ConfigWorkflow:
    kind = "train" if first == "train.yaml" else "infer"
    override = {"bundle_root": str(BUNDLES / name), "device": torch.device("cpu"), "amp": False, **override}
    files = [str(file) for file in configs(name, first, layers)]
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, **override)


def strings(content: Any) -> list[str]:
    """Every text in a nested config."""
    if isinstance(content, str):
        return [content]
    items = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return [text for item in items for text in strings(item)]


bundles = pytest.mark.parametrize("name", NAMES)


def test_the_five_bundles_are_there() -> None:
    assert set(NAMES) == set(TASKS)


# --- what bundles repeat ------------------------------------------------------------------------------------


@bundles
@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml", "evaluate.yaml"])
def test_bundles_differ_in_the_task_alone(name: str, first: str) -> None:
    files = (BUNDLES / bundle / "configs" / first for bundle in (name, "seg_btcv"))
    own, other = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
    differing = {key for key in {*own, *other} if own.get(key) != other.get(key)}
    assert differing <= (set() if first == "evaluate.yaml" else TASK_KEYS)


@bundles
@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_the_text_behind_the_task_is_the_same(name: str, first: str) -> None:
    texts = [
        (BUNDLES / bundle / "configs" / first).read_text(encoding="utf-8").split("# --- network", 1)[1]
        for bundle in (name, "seg_btcv")
    ]
    assert texts[0] == texts[1]


@bundles
@pytest.mark.parametrize("file", SAME_FILES)
def test_these_files_are_the_same_in_every_bundle(name: str, file: str) -> None:
    assert (BUNDLES / name / "configs" / file).read_text() == (BUNDLES / "seg_btcv/configs" / file).read_text()


@bundles
def test_swin_layers_differ_at_most_in_the_roi(name: str) -> None:
    own, other = (load(BUNDLES / bundle / "configs" / "swin_unetr.yaml") for bundle in (name, "seg_btcv"))
    assert own.pop("roi_size", [64, 64, 64]) == [64, 64, 64]
    assert own == other


@bundles
def test_licences_are_those_of_the_repository(name: str) -> None:
    assert (BUNDLES / name / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@bundles
def test_train_yaml_can_be_read_in_one_sitting(name: str) -> None:
    for path in (BUNDLES / name / "configs").glob("*.yaml"):
        longest = {"train.yaml": 250, "inference.yaml": 130}.get(path.name, 80)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= longest, path


# --- every network, both workflows, one view ----------------------------------------------------------------


@bundles
@pytest.mark.parametrize("layers", [*LAYERS, ["finetune.yaml"], ["evaluate.yaml"]], ids=str)
def test_train_builds_and_has_its_properties_without_data(name: str, layers: list[str], tmp_path: Path) -> None:
    made = workflow(name, "train.yaml", layers, output_dir=str(tmp_path))
    made.initialize()
    assert made.check_properties() == []
    assert made.max_epochs == made.parser.get_parsed_content("epochs")


@bundles
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_inference_builds_and_has_its_properties_without_data(name: str, layers: list[str]) -> None:
    made = workflow(name, "inference.yaml", layers)
    made.initialize()
    assert made.check_properties() == []


@bundles
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_train_and_inference_see_the_same_image_with_the_same_network(name: str, layers: list[str]) -> None:
    found = []
    for first in ("train.yaml", "inference.yaml"):
        parser = parsed(*configs(name, first, layers))
        keys = (*VIEW_KEYS, "label_names", "output_names", "largest_component")
        values = {key: parser.get_parsed_content(key) for key in keys}
        network = parser.get_parsed_content("architecture")
        arguments = {key: value for key, value in network.keywords.items() if key != "use_checkpoint"}
        steps = {key: dict(parser[key]) for key in ("intensity", "decide")}
        foreground = {key: value for key, value in dict(parser["foreground"]).items() if key != "keys"}
        found.append((values, network.func, arguments, steps, foreground, parser.config.get("window")))
    assert found[0] == found[1]


@bundles
@pytest.mark.parametrize(("layer", "network"), NETWORKS.items())
def test_a_network_layer_builds_its_network(name: str, layer: str, network: str) -> None:
    parser = parsed(*configs(name, "train.yaml", [layer]))
    made = parser.get_parsed_content("architecture")
    assert made.func.__name__ == network
    assert made.keywords["in_channels"] == len(parser.get_parsed_content("channels"))
    assert made.keywords["out_channels"] == len(parser.get_parsed_content("output_names"))


@bundles
def test_checkpointing_is_on_in_training_and_off_in_inference(name: str) -> None:
    for first, expected in (("train.yaml", True), ("inference.yaml", False)):
        architecture = parsed(*configs(name, first, ["swin_unetr.yaml"])).get_parsed_content("architecture")
        assert architecture.keywords["use_checkpoint"] is expected


@bundles
@pytest.mark.parametrize("smoke", [False, True])
def test_pretraining_has_the_bundles_view_and_network(name: str, smoke: bool) -> None:
    layers = TASKS[name][smoke]
    seg = parsed(*configs(name, "train.yaml", ["smoke.yaml"] * smoke))
    pretraining = parsed(PRETRAIN / "train.yaml", *(PRETRAIN / layer for layer in layers))
    assert seg.get_parsed_content("view") == pretraining.get_parsed_content("view")
    assert dict(seg["intensity"]) == dict(pretraining["intensity"])
    assert seg.config.get("window") == (pretraining["window"] if "window" in seg.config else None)
    networks = [parser.get_parsed_content("architecture") for parser in (seg, pretraining)]
    arguments = [
        {k: v for k, v in network.keywords.items() if k not in ("in_channels", "out_channels")}
        for network in networks
    ]
    assert (networks[0].func, arguments[0]) == (networks[1].func, arguments[1])


@bundles
@pytest.mark.parametrize("layer", NETWORKS)
def test_pretraining_has_the_same_network_layer(name: str, layer: str) -> None:
    found = []
    for folder, layers in ((BUNDLES / name / "configs", []), (PRETRAIN, TASKS[name][0])):
        parser = parsed(*(folder / file for file in ("train.yaml", *layers, layer)))
        network = parser.get_parsed_content("architecture")
        skipped = ("in_channels", "out_channels", "use_checkpoint", "img_size")
        found.append((network.func, {k: v for k, v in network.keywords.items() if k not in skipped}))
    assert found[0] == found[1]


@bundles
def test_pretraining_inference_takes_the_task_layer(name: str) -> None:
    own = parsed(PRETRAIN / "inference.yaml", *(PRETRAIN / layer for layer in TASKS[name][0]))
    assert own.get_parsed_content("channels") == parsed(*configs(name, "train.yaml", []))["channels"]
    own.get_parsed_content("preprocessing")


@pytest.mark.parametrize("name", [*NAMES, *PRETRAINING])
def test_pins_are_the_same_in_all_metadata(name: str) -> None:
    """Pretraining lists no package that only segmentation asks for."""
    files = (BUNDLES / bundle / "configs" / "metadata.json" for bundle in (name, "seg_btcv"))
    own, other = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    for key in ("monai_version", "pytorch_version", "numpy_version"):
        assert own[key] == other[key]
    pins = own["required_packages_version"]
    shared = other["required_packages_version"]
    assert pins == {package: shared[package] for package in (shared if name in NAMES else pins)}


# --- what others read -----------------------------------------------------------------------------------------


@bundles
def test_inference_names_no_class_of_ours(name: str) -> None:
    assert "custom_components" not in (BUNDLES / name / "configs" / "inference.yaml").read_text()


@bundles
def test_the_one_class_of_ours_that_a_layer_brings_into_inference_is_a_network_that_monai_lacks(name: str) -> None:
    """And its layer says what that costs; `ci/checks_configs.py` allows it in packages that hold the layer."""
    keys = set(load(*configs(name, "inference.yaml", [])))
    found = {}
    for path in sorted((BUNDLES / name / "configs").glob("*.yaml")):
        layer = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = [value for value in strings(layer) if "custom_components" in value]
        if named and {key.partition("#")[0] for key in layer} <= keys:
            found[path.name] = named
    assert found == {"unetr_patch8.yaml": ["custom_components.backbones.UNETRPatch8"]}
    assert "where custom_components is installed" in (BUNDLES / name / "configs/unetr_patch8.yaml").read_text()


@bundles
def test_handlers_are_dictionaries_and_the_rest_references(name: str) -> None:
    train, inference = (load(*configs(name, first, [])) for first in ("train.yaml", "inference.yaml"))
    evaluate = load(*configs(name, "train.yaml", ["evaluate.yaml"]))
    for handlers in (
        train["train"]["handlers"],
        train["validate"]["handlers"],
        evaluate["validate"]["handlers"],
        inference["handlers"],
    ):
        assert all(isinstance(handler, dict) and "_target_" in handler for handler in handlers)
    assert train["train"]["trainer"]["train_handlers"] == "@train#handlers"
    assert train["validate"]["evaluator"]["val_handlers"] == "@validate#handlers"
    assert train["validate"]["evaluator"]["key_val_metric"] == "@validate#key_metric"
    assert train["validate"]["evaluator"]["postprocessing"] == "@validate#postprocessing"
    assert inference["evaluator"]["postprocessing"] == "@postprocessing"
    validation = [h for h in train["train"]["handlers"] if h["_target_"] == "ValidationHandler"]
    assert [h["interval"] for h in validation] == ["@val_interval"]
    assert train["key_metric"] in train["validate"]["key_metric"]


@bundles
@pytest.mark.parametrize("layers", [[], *([layer] for layer in NETWORKS)], ids=str)
def test_scratch_and_fine_tuning_differ_in_one_key(name: str, layers: list[str]) -> None:
    parsers = [workflow(name, "train.yaml", layers, pretrained=value).parser for value in (None, "weights.pt")]
    scratch, tuned = (dict(parser.get()) for parser in parsers)
    assert {key for key in scratch if scratch[key] != tuned[key]} == {"pretrained"}


@bundles
def test_fine_tuning_has_a_lower_rate(name: str) -> None:
    train, finetune = (load(BUNDLES / name / "configs" / file) for file in ("train.yaml", "finetune.yaml"))
    assert set(finetune) == {"learning_rate"}
    assert finetune["learning_rate"] < train["learning_rate"]


@bundles
def test_metadata_agrees_with_the_configs(name: str) -> None:
    metadata = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
    train = parsed(*configs(name, "train.yaml", []))
    image = metadata["network_data_format"]["inputs"]["image"]
    pred = metadata["network_data_format"]["outputs"]["pred"]
    names = train.get_parsed_content("label_names")
    assert pred["channel_def"] == {str(value): text for value, text in enumerate(names)}
    assert pred["num_channels"] == len(train.get_parsed_content("output_names"))
    assert pred["value_range"] == [0, len(names) - 1]
    assert list(image["channel_def"].values()) == train.get_parsed_content("channels")
    assert image["num_channels"] == len(image["channel_def"])
    assert image["spatial_shape"] == pred["spatial_shape"] == train.get_parsed_content("roi_size")
    assert metadata["version"] in metadata["changelog"]


@bundles
def test_required_packages_are_those_of_the_requirements(name: str) -> None:
    metadata = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split(">=")[0] for line in lines if not line.startswith("#")]
    assert {*metadata["required_packages_version"], "torch", "monai", "numpy"} == set(listed)
