"""Methods and networks of the quick start: which go together, and that their configs fit one another."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from custom_components.transfer.match import match
from mim3d.arguments import UsageError
from mim3d.catalog import METHODS, NETWORKS, TASKS
from mim3d.quickstart.choice import choose
from mim3d.quickstart.data import DataSet
from mim3d.quickstart.steps import Steps

PAIRS = [(method.name, backbone) for method in METHODS.values() for backbone in method.layers]
DATA = {
    "phantoms": DataSet("phantoms", Path("data")),
    "hippocampus": DataSet("hippocampus", Path("data"), TASKS["msd_hippocampus"]),
}


def parsed(name: str, backbone: str, data: DataSet) -> tuple[ConfigParser, ConfigParser]:
    """The configs of pretraining and of segmentation, as the steps run them."""
    choice = choose(name, backbone)
    steps = Steps(data, choice, Path("out"), 0)
    parsers = []
    for bundle in (choice.method.bundle, data.task.bundle):
        parser = ConfigParser(ConfigParser.load_config_files(steps.files(bundle)))
        parser.update(steps.overrides(bundle))
        parser.parse()
        parsers.append(parser)
    return parsers[0], parsers[1]


def test_without_a_network_it_is_the_methods_own() -> None:
    for method in METHODS.values():
        choice = choose(method.name, None)
        assert choice.backbone == method.default
        assert choice.layers(method.bundle) == []


def test_what_does_not_go_together_is_refused_with_what_does() -> None:
    refused = [(name, backbone) for name in METHODS for backbone in NETWORKS if (name, backbone) not in PAIRS]
    assert ("mae", "swin_unetr") in refused
    for name, backbone in refused:
        with pytest.raises(UsageError) as error:
            choose(name, backbone)
        allowed = ", ".join(METHODS[name].layers)
        assert (
            str(error.value) == f"--method {name} does not go with --backbone {backbone}; it goes with: {allowed}"
        )


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
@pytest.mark.parametrize("data", DATA)
def test_view_and_network_are_one_and_the_whole_encoder_transfers(name: str, backbone: str, data: str) -> None:
    pretraining, segmentation = parsed(name, backbone, DATA[data])
    for key in ("view", "roi_size", "spacing", "channels"):
        assert pretraining.get_parsed_content(key) == segmentation.get_parsed_content(key), key
    for check in {"masks", "network", "factories"} & set(pretraining["checks"]):
        pretraining.get_parsed_content(f"checks#{check}")()
    segmentation.get_parsed_content("checks#network")()
    pretext, network = pretraining.get_parsed_content("pretext"), segmentation.get_parsed_content("network_def")
    roi = pretraining.get_parsed_content("roi_size")
    _, report = match(pretext.network.state_dict(), network, trained=pretext.trained, crop=roi)
    assert report.encoder_share == 1.0
    assert not [*report.missing, *report.wrong_shape, *report.unexpected, *report.adapted, *report.resized]
    assert sum(parameter.numel() for parameter in network.parameters()) < 1e7  # full-size networks have over 1.9e7


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
def test_every_network_has_its_learning_rate(name: str, backbone: str) -> None:
    rates = [config.get_parsed_content("learning_rate") for config in parsed(name, backbone, DATA["phantoms"])]
    assert rates == [1e-3, 1e-3 if NETWORKS[backbone].transformer else 1e-2]
