"""The study of the quick start: it fits every method, network and kind of data, and the budget scales it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser

from custom_components.transfer.match import match
from mim3d.catalog import METHODS, NETWORKS
from mim3d.quickstart.definition import first_difference
from mim3d.study.config_checks import check_configs
from mim3d.study.configs import RunConfig, loaded, pretraining_config, segmentation_config
from mim3d.study.find_data import find_data
from mim3d.study.plan import Plan, make_plan
from mim3d.study.read import read_study
from tests.mim3d.quickstart.conftest import Define

PAIRS = [(method.name, backbone) for method in METHODS.values() for backbone in method.layers]


def planned(file: Path) -> Plan:
    study = read_study(file)
    return make_plan(study, find_data(study, None, file.parent, True), file.parent)


def parser(config: RunConfig) -> ConfigParser:
    parsed = ConfigParser(loaded(config.files))
    parsed.update(config.keys)
    return parsed


@pytest.mark.parametrize(
    ("data", "method", "backbone"),
    [
        *((data, *pair) for data in ("phantoms", "hippocampus") for pair in PAIRS),
        ("own", "hybridmim", "basic_unet"),
    ],
)
def test_view_and_network_are_one_and_the_whole_encoder_transfers(
    defined: Define, listed: Callable[..., Path], data: str, method: str, backbone: str
) -> None:
    words = {"phantoms": [], "hippocampus": ["--data", "hippocampus"], "own": []}[data]
    words += [] if data == "phantoms" else ["--dataset_dir", str(listed())]
    plan = planned(defined("--method", method, "--backbone", backbone, *words))
    check_configs(plan)
    scratch, tuned = plan.arms
    before, after = pretraining_config(plan.study, tuned), segmentation_config(plan.study, tuned, {})
    assert segmentation_config(plan.study, scratch, {}) == after
    pretraining, segmentation = parser(before), parser(after)
    for key in ("view", "roi_size", "spacing", "channels"):
        assert pretraining.get_parsed_content(key) == segmentation.get_parsed_content(key), key
    pretext, network = pretraining.get_parsed_content("pretext"), segmentation.get_parsed_content("network_def")
    roi = pretraining.get_parsed_content("roi_size")
    _, report = match(pretext.network.state_dict(), network, trained=pretext.trained, crop=roi)
    assert report.encoder_share == 1.0
    assert not [*report.missing, *report.wrong_shape, *report.unexpected, *report.adapted, *report.resized]
    assert sum(parameter.numel() for parameter in network.parameters()) < 1e7  # full-size networks have over 1.9e7
    rates = [before.value("learning_rate"), after.value("learning_rate")]
    assert rates == [1e-3, 1e-3 if NETWORKS[backbone].transformer else 1e-2]


def test_own_data_bring_their_channels_and_labels(defined: Define, listed: Callable[..., Path]) -> None:
    folder = listed(channels=["T1", "T2"], labels={"0": "background", "1": "cyst", "2": "stone"})
    plan = planned(defined("--dataset_dir", str(folder), "--spacing", "2", "2", "3"))
    assert plan.data.folder == folder
    assert plan.label_counts == [8]
    for config in (
        pretraining_config(plan.study, plan.arms[1]),
        segmentation_config(plan.study, plan.arms[1], {}),
    ):
        assert config.value("channels") == ["T1", "T2"]
        assert parser(config)["intensity"]["_target_"] == "NormalizeIntensityd"
        assert config.value("spacing") == [2.0, 2.0, 3.0]
    assert config.value("label_names") == ["background", "cyst", "stone"]
    assert [path.name for path in folder.glob("*.json")] == ["datalist.json"]


@pytest.mark.parametrize(
    ("budget", "steps", "validations", "phantoms"),
    [
        ("1", (300, 1200), 10, (8, 4, 8, 32)),
        ("0.1", (30, 120), 2, (4, 1, 2, 4)),
        ("4", (1200, 4800), 20, (8, 4, 8, 32)),
    ],
)
def test_the_budget_scales_steps_validations_and_phantoms(
    defined: Define, budget: str, steps: tuple[int, int], validations: int, phantoms: tuple[int, ...]
) -> None:
    plan = planned(defined("--budget", budget))
    assert (plan.budgets, plan.arms[1].pretraining_steps) == ([steps[0]], steps[1])
    assert plan.study.validations == validations
    sections = plan.data.sections
    assert tuple(len(sections[name]) for name in ("training", "validation", "test", "unlabelled")) == phantoms
    assert plan.label_counts == [phantoms[0] // 2]
    assert plan.seeds == [0, 1]


def test_a_folder_that_was_begun_with_other_settings_is_refused(defined: Define) -> None:
    file = defined("--seed", "3")
    before = file.read_bytes()
    assert defined("--seed", "3").read_bytes() == before
    with pytest.raises(
        ValueError, match=r"holds a quick start with data phantoms seed 3, now it is 4; repeat the"
    ):
        defined("--seed", "4")
    assert file.read_bytes() == before


def test_the_first_difference_is_named_with_its_place() -> None:
    assert first_difference({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == ("b c", 2, 3)
    assert first_difference({"a": 1}, {"a": 1, "b": {"c": 3}}) == ("b", None, {"c": 3})


def test_the_definition_is_a_plain_study_file(defined: Define) -> None:
    content = yaml.safe_load(defined().read_text(encoding="utf-8"))
    assert content["grid"]["method"] == ["scratch", "hybridmim"]
    assert content["segmentation"]["keys"]["label_names"][2:4] == ["right kidney", "left kidney"]
