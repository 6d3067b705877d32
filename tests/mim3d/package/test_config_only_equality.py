"""A config-only package has the task, network, data, loss and recipe of its bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch.optim import SGD

from custom_components.backbones import adapt
from custom_components.engine import WarmupCosine, parameter_groups
from mim3d.catalog import NETWORKS, TASKS
from mim3d.phantoms import write_phantoms
from tests.mim3d.package.config_only import (
    BUNDLE,
    BUNDLES,
    TINY,
    content,
    parsed,
    state_of,
    workflow,
)

#: Keys that the two training configs share and that differ on purpose.
DIFFER = {
    *("imports", "amp", "load_pretrained", "parameters", "optimizer", "total_steps", "lr_scheduler"),  # mechanics
    *("datalist", "items", "validation_items", "deterministic_transforms", "train", "validate", "run"),
    *("command_line", "network"),
}
#: Transforms of the bundle that read and resample, which MONAI's own do here.
READING = ("CopyItemsd", "LoadImaged", "AlignLabeld", "AxisSpacingd", "Spacingd")


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


@pytest.mark.slow
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
