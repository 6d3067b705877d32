"""What every segmentation bundle promises, read off its configs; test_segmentation_runs.py trains with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from monai.networks.nets import BasicUNet

from custom_components.checks.overrides import unknown_keys
from mim3d.catalog import BUNDLES, NETWORKS, SEGMENTED, TASKS
from mim3d.verify.config_ids import strings
from tests.bundles.pretraining import parse

NAMES = sorted(path.name for path in BUNDLES.glob("seg_*"))
LAYERS = [f"{name}.yaml" for name in NETWORKS if name != SEGMENTED]
#: The same, slow: a network layer builds as the default does, and test_a_network_layer_brings_its_network is fast.
SLOW_LAYERS = [pytest.param(layer, marks=pytest.mark.slow) for layer in LAYERS]
bundles = pytest.mark.parametrize("name", NAMES)


def workflow(name: str, first: str, layers: list[str], **override: Any) -> ConfigWorkflow:
    kind = "train" if first == "train.yaml" else "infer"
    override = {"bundle_root": str(BUNDLES / name), "device": torch.device("cpu"), "amp": False, **override}
    files = [str(BUNDLES / name / "configs" / file) for file in (first, *layers)]
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, **override)


def test_every_segmentation_bundle_is_in_the_catalog() -> None:
    assert set(NAMES) == {task.bundle.name for task in TASKS.values()}


# --- every network, both workflows --------------------------------------------------------------------------


@bundles
@pytest.mark.parametrize("layer", [None, *SLOW_LAYERS, "smoke.yaml", "evaluate.yaml"])
def test_train_builds_and_has_its_properties_without_data(name: str, layer: str | None, tmp_path: Path) -> None:
    made = workflow(name, "train.yaml", [layer] if layer else [], output_dir=str(tmp_path))
    made.initialize()
    assert made.check_properties() == []
    assert made.max_epochs == made.parser.get_parsed_content("epochs")


@bundles
@pytest.mark.parametrize("layer", [None, *SLOW_LAYERS, "smoke.yaml"])
def test_inference_builds_and_has_its_properties_without_data(name: str, layer: str | None) -> None:
    made = workflow(name, "inference.yaml", [layer] if layer else [])
    made.initialize()
    assert made.check_properties() == []


@bundles
@pytest.mark.parametrize("network", [name for name in NETWORKS if name != SEGMENTED])
@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_a_network_layer_brings_its_network(name: str, network: str, first: str) -> None:
    parser = parse(name, f"{network}.yaml", first=first)
    made = parser.get_parsed_content("architecture")
    assert made.func.__name__ == NETWORKS[network].title
    assert made.keywords["in_channels"] == len(parser.get_parsed_content("channels"))
    assert made.keywords["out_channels"] == len(parser.get_parsed_content("output_names"))
    # Checkpointing saves memory in training; in inference it would only cost time.
    assert made.keywords.get("use_checkpoint", first == "train.yaml") is (first == "train.yaml")


@bundles
@pytest.mark.parametrize("layer", [None, *LAYERS])
def test_scratch_and_fine_tuning_differ_in_one_key(name: str, layer: str | None) -> None:
    layers = [layer] if layer else []
    parsers = [workflow(name, "train.yaml", layers, pretrained=value).parser for value in (None, "weights.pt")]
    scratch, tuned = (dict(parser.get()) for parser in parsers)
    assert {key for key in scratch if scratch[key] != tuned[key]} == {"pretrained"}


def test_a_pretrained_encoder_has_a_tenth_of_the_rate_and_the_key_overrides_it() -> None:
    for given, expected in (({}, 1.0), ({"pretrained": "weights.pt"}, 0.1)):
        parser = workflow("seg_btcv", "train.yaml", [], **given).parser
        assert parser.get_parsed_content("encoder_lr_factor") == expected
        assert parser.get_parsed_content("resume_settings#encoder_lr_factor") == expected
    parser = workflow("seg_btcv", "train.yaml", [], encoder_lr_factor=0.5, layer_decay=0.75).parser
    groups = parser.get_parsed_content("parameters")
    rate = parser.get_parsed_content("learning_rate")
    assert [group["lr"] for group in groups] == pytest.approx(
        [rate, *(0.5 * rate * 0.75**n for n in (4, 3, 2, 1, 0))]
    )


def test_the_encoder_alone_is_loaded_if_asked_for(tmp_path: Path) -> None:
    features, weights = [4, 4, 8, 8, 16, 4], tmp_path / "model.pt"
    torch.save(BasicUNet(3, 1, 1, features).state_dict(), weights)
    given = {"pretrained": str(weights), "architecture#features": features, "ckpt_dir": str(tmp_path / "out")}
    parser = workflow("seg_btcv", "train.yaml", [], **given, transfer="encoder").parser
    matched = parser.get_parsed_content("load_pretrained").matched
    assert {key.split(".")[0] for key in matched} == {"conv_0", "down_1", "down_2", "down_3", "down_4"}
    wrong = workflow("seg_btcv", "train.yaml", [], **given, transfer="decoder").parser
    with pytest.raises(ValueError, match=r"transfer is 'decoder'; allowed: \['all', 'encoder'\]"):
        wrong.get_parsed_content("checks#weights")()


# --- what others read -----------------------------------------------------------------------------------------


@bundles
def test_inference_names_no_class_of_ours_but_a_network_that_monai_lacks(name: str) -> None:
    found = {}
    for path in sorted((BUNDLES / name / "configs").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        named = [value for _, value in strings(yaml.safe_load(text)) if "custom_components" in value]
        goes_with_inference = path.name == "inference.yaml" or " and inference.yaml:" in text
        if named and goes_with_inference:
            found[path.name] = named
    assert found == {"unetr_patch8.yaml": ["custom_components.backbones.UNETRPatch8"]}


CONFIGS = sorted(path for path in BUNDLES.glob("*/configs/*.yaml"))


def config_id(path: Path) -> str:
    return f"{path.parts[-3]}-{path.stem}"


@pytest.mark.parametrize("path", CONFIGS, ids=config_id)
def test_a_config_has_no_absolute_path_and_no_list_position(path: Path) -> None:
    for _, value in strings(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert not re.match(r"/|~|[A-Za-z]:[\\/]", value), value
        assert "glob" in value or not re.search(r"(?<!\+ )'/", value), f"{value}: a path must begin with a key"
        assert not re.search(r"(#|::)\d", value), f"{value}: names a place in a list"
        assert "torch.utils.data" not in value, "torch's own loader repeats random draws across workers"


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.name != "inference.yaml"], ids=config_id)
def test_a_layer_changes_known_keys_or_reads_its_new_ones_itself(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    keys = [key.removeprefix("+") for key in yaml.safe_load(text)]
    first = "inference.yaml" if "# Layer for inference.yaml:" in text else "train.yaml"
    unknown = [key for key, _ in unknown_keys([str(path.with_name(first))], keys)]
    unknown = [
        key for key in unknown if f"{key.partition('#')[0]}#_target_" not in keys
    ]  # of a class that it brings
    assert [key for key in unknown if f"@{key}" not in text and key != "finalize"] == []
