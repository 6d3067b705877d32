"""Regions of seg_brats: label values of four sources, overlaps, scores and the loss.

Numbers are compared with loops over voxels written here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from custom_components.metrics.segmentation import score_case
from tests.bundles.brats import REGIONS, SOURCES

Run = Callable[..., ConfigWorkflow]
WRITTEN = {"core": 1, "edema": 2, "enhancing": 3}


@pytest.fixture
def parser(build_bundle: Run) -> ConfigParser:
    return build_bundle("seg_brats", ["train.yaml"]).parser


@pytest.mark.parametrize("source", SOURCES)
def test_each_sources_labels_become_the_three_regions(source: str, build_bundle: Run) -> None:
    parser = build_bundle("seg_brats", ["train.yaml"], label_source=source).parser
    meaning = SOURCES[source]
    values = [0, *meaning, *meaning, 0]
    label = torch.tensor(values).reshape(1, 2, 2, 2)
    mapping, channels = (parser.get_parsed_content(key) for key in ("label_mapping", "label_channels"))
    written = mapping({"label": label})["label"]
    found = channels({"label": written})["label"]
    assert found.shape == (3, 2, 2, 2)
    for at in itertools.product(range(2), repeat=3):
        tissue = meaning.get(int(label[(0, *at)]))
        assert int(written[(0, *at)]) == (WRITTEN[tissue] if tissue else 0)
        for channel, (region, tissues) in enumerate(REGIONS.items()):
            assert bool(found[(channel, *at)]) is (tissue in tissues), (at, region)
    assert parser.get_parsed_content("label_values") == sorted({0, *meaning})
    assert parser.get_parsed_content("output_names") == list(REGIONS)


def test_sources_are_known_and_the_default_is_that_of_the_folders_named_first(build_bundle: Run) -> None:
    for folder, expected in (("somewhere", "brats2021"), ("", "brats2023")):
        parser = build_bundle("seg_brats", ["train.yaml"], dataset_dir=folder).parser
        assert parser.get_parsed_content("label_source") == expected
    assert set(parser["source_values"]) == set(SOURCES)


def decided(logits: torch.Tensor) -> np.ndarray:
    """The exclusive map (D, H, W), voxel by voxel: the innermost region above a probability of one half."""
    found = np.zeros(logits.shape[1:], np.uint8)
    for at in itertools.product(*map(range, found.shape)):
        core, whole, enhancing = (torch.sigmoid(logits[(channel, *at)]) for channel in range(3))
        found[at] = 3 if enhancing > 0.5 else 1 if core > 0.5 else 2 if whole > 0.5 else 0
    return found


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_the_innermost_region_wins_where_they_overlap(first: str, build_bundle: Run) -> None:
    to_labels = build_bundle("seg_brats", [first]).parser.get_parsed_content("to_labels")
    every = torch.tensor(list(itertools.product((-2.0, 0.5), repeat=3))).T.reshape(3, 2, 2, 2)
    noise = torch.randn(3, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    for logits in (every, noise, torch.zeros(3, 2, 2, 2)):
        found = to_labels({"pred": logits})["pred"]
        assert found.shape == (1, *logits.shape[1:])
        np.testing.assert_array_equal(found[0].numpy(), decided(logits))


def test_regions_are_scored_on_the_map_that_is_written(parser: ConfigParser) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 6, 5, 4, generator=generator)
    label = torch.randint(0, 4, (1, 6, 5, 4), generator=generator)
    written = parser.get_parsed_content("to_labels")({"pred": logits})["pred"]
    regions, names = (parser.get_parsed_content(key) for key in ("regions", "label_names"))
    assert list(regions) == list(REGIONS)
    rows = score_case(written, label, (1.0, 1.0, 1.0), names, regions=regions)
    channels = parser.get_parsed_content("scored_channels")({"pred": written, "label": label})
    metric = parser.get_parsed_content("metric")
    per_case = metric(channels["pred"][None].float(), channels["label"][None].float())[0]
    exclusive = decided(logits)
    for channel, (row, tissues) in enumerate(zip(rows, REGIONS.values(), strict=True)):
        values = [WRITTEN[tissue] for tissue in tissues]
        both = painted = there = 0
        for at in itertools.product(*map(range, exclusive.shape)):
            inside = exclusive[at] in values
            true = int(label[(0, *at)]) in values
            assert bool(channels["pred"][(channel, *at)]) is inside
            assert bool(channels["label"][(channel, *at)]) is true
            both, painted, there = both + (inside and true), painted + inside, there + true
        assert row["dice"] == pytest.approx(2 * both / (painted + there))
        assert float(per_case[channel]) == pytest.approx(2 * both / (painted + there))
        assert (row["predicted_voxels"], row["label_voxels"]) == (painted, there)


def test_the_loss_is_dice_and_binary_cross_entropy_of_every_region(build_bundle: Run) -> None:
    made = build_bundle("seg_brats", ["train.yaml"])
    made.initialize()
    loss = made.parser.get_parsed_content("loss")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 3, 5, generator=generator)
    target = (torch.rand(2, 3, 4, 3, 5, generator=generator) > 0.6).float()
    dice, entropy = [], []
    for case in range(2):
        for region in range(3):
            p, t = torch.sigmoid(logits[case, region]), target[case, region]
            dice.append(1 - (2 * (p * t).sum() + 1e-5) / (p.sum() + t.sum() + 1e-5))
            entropy += [
                -math.log(p[where] if t[where] else 1 - p[where])
                for where in itertools.product(*(range(side) for side in p.shape))
            ]
    expected = sum(dice) / len(dice) + sum(entropy) / len(entropy)
    assert float(loss(logits, target)) == pytest.approx(float(expected), abs=1e-5)
