"""Methods and networks of the quick start: what goes together, and that its configs fit one another."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser

from custom_components.transfer.match import match

ALLOWED = {
    "hybridmim": ["basic_unet", "segresnet", "swin_unetr", "unetr", "unetr_patch8"],
    "mae": ["unetr", "unetr_patch8", "basic_unet", "segresnet"],
    "simmim": ["unetr", "unetr_patch8", "swin_unetr"],
    "simclr": ["unetr", "unetr_patch8", "basic_unet", "segresnet", "swin_unetr"],
}
PAIRS = [(name, backbone) for name, backbones in ALLOWED.items() for backbone in backbones]
REFUSED = [pair for pair in product(ALLOWED, ALLOWED["hybridmim"]) if pair not in PAIRS]


@pytest.fixture
def ci(quick_start):
    names = ("quickstart", "quickstart_data", "quickstart_methods")
    quickstart, data, methods = (getattr(quick_start, name) for name in names)
    return SimpleNamespace(quickstart=quickstart, data=data, methods=methods)


@pytest.fixture
def parsed(ci):
    """``parsed(name, backbone, task)``: the two parsers of pretraining and of segmentation, as the steps run."""

    def parse(name, backbone, task):
        choice = ci.methods.choose(name, backbone)
        steps = ci.quickstart.Steps(task, choice, Path("out"), 0)
        parsers = []
        for bundle in (choice.method.bundle, task.segment):
            parser = ConfigParser(ConfigParser.load_config_files(steps.files(bundle)))
            parser.update(steps.overrides(bundle))
            parser.parse()
            parsers.append(parser)
        return parsers

    return parse


@pytest.fixture
def tasks(ci):
    phantoms = ci.data.Task("phantoms", Path("data"))
    return {"phantoms": phantoms, "hippocampus": ci.data.hippocampus_task(Path("data"))}


@pytest.mark.parametrize("name", ALLOWED)
def test_the_table_is_the_one_that_is_meant(ci, name):
    assert list(ci.methods.METHODS[name].layers) == ALLOWED[name]
    default = ci.methods.choose(name, None)
    assert default.backbone == ALLOWED[name][0]
    assert default.layers(default.method.bundle) == []


@pytest.mark.parametrize(("name", "backbone"), REFUSED)
def test_what_does_not_go_together_is_refused(ci, name, backbone):
    with pytest.raises(SystemExit) as refused:
        ci.methods.choose(name, backbone)
    allowed = ", ".join(ALLOWED[name])
    told = f"error: --method {name} does not go with --backbone {backbone}; it goes with: {allowed}"
    assert str(refused.value) == told


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
@pytest.mark.parametrize("data", ["phantoms", "hippocampus"])
def test_every_layer_is_there_and_the_view_is_one(parsed, tasks, data, name, backbone):
    pretraining, segmentation = parsed(name, backbone, tasks[data])
    for key in ("view", "roi_size", "spacing", "channels"):
        assert pretraining.get_parsed_content(key) == segmentation.get_parsed_content(key), key
    arguments = [
        dict(parser.get_parsed_content("architecture").keywords) for parser in (pretraining, segmentation)
    ]
    for of_one in arguments:
        of_one.pop("out_channels")
    assert arguments[0] == arguments[1]


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
@pytest.mark.parametrize("data", ["phantoms", "hippocampus"])
def test_sizes_divide_and_the_whole_encoder_carries_over(parsed, tasks, data, name, backbone):
    pretraining, segmentation = parsed(name, backbone, tasks[data])
    segmentation.get_parsed_content("checks#network")()
    for check in ("masks", "network", "factories"):
        if check in pretraining["checks"]:
            pretraining.get_parsed_content(f"checks#{check}")()
    network, pretext = segmentation.get_parsed_content("network_def"), pretraining.get_parsed_content("pretext")
    roi = pretraining.get_parsed_content("roi_size")
    _, report = match(pretext.network.state_dict(), network, trained=pretext.trained, crop=roi)
    assert report.encoder_share == 1.0
    assert not [*report.missing, *report.wrong_shape, *report.unexpected, *report.adapted, *report.resized]
    assert sum(parameter.numel() for parameter in network.parameters()) < 1e7  # full-size ones: from 1.9e7


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
def test_pretraining_learns_at_the_rate_of_its_smoke_layer(parsed, tasks, name, backbone):
    pretraining, _ = parsed(name, backbone, tasks["phantoms"])
    assert pretraining.get_parsed_content("learning_rate") == 1e-3
