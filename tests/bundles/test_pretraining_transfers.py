"""Where the weights of each pretraining go: into the segmentation network, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from custom_components.backbones import adapt
from custom_components.transfer import TransferReport, load_pretrained, resize_positions, write_card
from mim3d.catalog import METHODS
from tests.bundles.pretraining import (
    CLASSES,
    ROWS,
    TINY,
    parse,
    seg_layer,
    small,
    tiny,
    trained_of,
)
from tests.bundles.pretraining_steps import SINCOS, Load, Option, places, tensors

pytestmark = pytest.mark.slow
#: Methods whose own network is UNETR, and which pretrain UNETRPatch8 too.
ON_TOKENS = [method.bundle.name for method in METHODS.values() if method.default == "unetr"]
Weights = Callable[..., Path]
POSITIONS = "vit.patch_embedding.position_embeddings"


@pytest.fixture(scope="module")
def weights(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """``weights(bundle, layer, key=value)``: a model.pt as the method leaves it, with the config's card."""

    def make(bundle: str, layer: str | None, **changes: Any) -> Path:
        path = tmp_path_factory.mktemp(bundle) / "model.pt"
        parser = tiny(bundle, layer, **places(volumes, path.parent), **changes)
        torch.save(parser.get_parsed_content("pretext").network.state_dict(), path)
        write_card(path, parser.get_parsed_content("card"))
        return path

    return make


def transfer(path: Path, layer: str | None, **changes: Any) -> tuple[TransferReport, dict[str, Tensor], nn.Module]:
    """Load a file into seg_btcv's network: the report, the network's tensors from before, and the network."""
    shared = {key: TINY[key] for key in ("spacing", "roi_size")}
    name = CLASSES.get(layer or "", "BasicUNet")
    parser = parse("seg_btcv", layer, **{**shared, **small(name), **changes})
    network = parser.get_parsed_content("network_def")
    before = tensors(network)
    stated = parser.get_parsed_content("load_pretrained#architecture")
    report = load_pretrained(network, path, view=parser.get_parsed_content("view"), architecture=stated)
    return report, before, network


#: HybridMIM's regions are whole bottleneck cells of Swin's 32 voxels.
CELLS = {"patch_size": [16, 16, 16], "region_size": [32, 32, 32], "window_size": None}
TRANSFERS: list[Option] = [
    (*row, CELLS if row == ("pretrain_hybridmim", "swin_unetr.yaml") else {}) for row in ROWS
]
TRANSFERS += [("pretrain_mae", f"{name}.yaml", {"decoder": "light"}) for name in ("basic_unet", "segresnet")]
TRANSFERS += [(f"pretrain_{name}", None, SINCOS) for name in ("mae", "simmim")]


@pytest.mark.parametrize("case", TRANSFERS, ids=str)
def test_what_was_trained_goes_into_the_segmentation_network_and_nothing_else(
    case: Option, weights: Weights, load: Load
) -> None:
    bundle, layer, changes = case
    path = weights(bundle, layer, **changes)
    report, before, network = transfer(path, seg_layer(bundle, layer))
    given, last = load(path), f"{adapt(network).output_layer}."
    output = {key for key in before if key.startswith(last)}
    trained = trained_of(bundle, layer, changes.get("decoder", "full"))
    matched = {key for key in before if key.startswith(trained)} - output
    assert len(output) == 2
    assert set(report.expected_missing) == output
    assert set(report.matched) == matched
    assert set(report.untrained) == set(before) - output - matched
    for problem in ("adapted", "resized", "missing", "wrong_shape", "unexpected"):
        assert getattr(report, problem) == [], problem
    assert report.view_differences == report.network_differences == []
    assert report.encoder_share == 1.0
    for key, value in network.state_dict().items():
        assert torch.equal(value, (given if key in matched else before)[key]), key


@pytest.mark.parametrize("bundle", ON_TOKENS)
@pytest.mark.parametrize(("layer", "token"), [(None, 16), ("unetr_patch8.yaml", 8)])
def test_another_roi_resizes_the_positions_alone(
    bundle: str, layer: str | None, token: int, weights: Weights, load: Load
) -> None:
    path = weights(bundle, layer)
    report, _, network = transfer(path, seg_layer(bundle, layer), roi_size=[48, 32, 64])
    grids = tuple(tuple(side // token for side in roi) for roi in ((32, 32, 32), (48, 32, 64)))
    assert report.resized == [f"{POSITIONS}: {grids[0]} -> {grids[1]}"]
    assert set(report.matched) == {key for key in load(path) if key.startswith("vit.")} - {POSITIONS}
    assert report.missing == report.wrong_shape == report.network_differences == []
    assert report.view_differences == ["roi_size: pretrained with [32, 32, 32], this config has [48, 32, 64]"]
    assert report.encoder_share == 1.0
    resized = resize_positions(load(path)[POSITIONS], *grids)
    assert torch.equal(network.state_dict()[POSITIONS], resized)


@pytest.mark.parametrize("bundle", ON_TOKENS)
@pytest.mark.parametrize(("layer", "wrong"), [(None, "unetr_patch8.yaml"), ("unetr_patch8.yaml", "unetr.yaml")])
@pytest.mark.parametrize("roi", [[32, 32, 32], [64, 64, 64], [16, 16, 16]])
def test_tokens_of_another_size_are_refused(
    bundle: str, layer: str | None, wrong: str, roi: list[int], weights: Weights
) -> None:
    with pytest.raises(ValueError, match=f"do not fit {CLASSES[wrong]}: .*patch_embeddings.weight: "):
        transfer(weights(bundle, layer), wrong, roi_size=roi)
