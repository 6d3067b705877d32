"""The dense probe: what it measures, and that training does not notice it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from torch import nn

from custom_components.data import DataList
from custom_components.faults import Fault
from custom_components.handlers import DenseProbe, ProbeBeforeTraining, ValidationCurve, read_curve
from custom_components.handlers.dense_probe import encoder_scales
from custom_components.metrics import PROBE_METRICS
from custom_components.pretext import SimCLR
from tests.ranks import run_ranks

ROI = (64, 32, 32)
SIZES = {"training": 3, "validation": 3, "test": 1}


def data_list(folder: Path) -> DataList:
    """Cases without files behind them: the transform below makes each volume from its number."""
    listed: dict[str, list[dict[str, str]]] = {}
    for section, number in SIZES.items():
        listed[section] = []
        for k in range(number):
            image, label = f"{section}{k}.nii.gz", f"{section}{k}_seg.nii.gz"
            for name in (image, label):
                (folder / name).touch()
            listed[section].append({"image": image, "label": label})
    (folder / "datalist.json").write_text(json.dumps(listed))
    return DataList(folder, require_label=False)


def read(item, easy=True):
    """Blobs of value 3 and 5; their intensity tells them apart if ``easy``."""
    assert not Path(item["label"]).name.startswith("test")
    generator = torch.Generator().manual_seed(item["volume_id"])
    label = torch.zeros(1, 80, 32, 32)
    for value in (3, 5):
        d, h, w = (int(torch.randint(side - 12, (), generator=generator)) for side in (80, 32, 32))
        label[0, d : d + 12, h : h + 12, w : w + 12] = value
    noise = torch.randn(label.shape, generator=generator)
    image = label + 0.1 * noise if easy else noise
    return {"image": image, "label": label, "valid": torch.ones_like(label)}


class Evaluator(Engine):
    """What the probe needs of a PretrainEvaluator."""

    def __init__(self, network: nn.Module, epoch: int = 1) -> None:
        super().__init__(lambda engine, batch: None)
        self.network = network
        self.state.device = torch.device("cpu")
        self.state.epoch = epoch


def probed(network, data, transform=read, epoch=1, **kwargs):
    evaluator = Evaluator(network, epoch)
    DenseProbe(data, transform, ROI, **{"interval": 1, **kwargs})(evaluator)
    return evaluator.state.metrics


@pytest.mark.slow
def test_every_backbone_finds_what_intensity_shows_and_nothing_in_noise(make_network, network_name, tmp_path):
    network, data = SimCLR(make_network(network_name), 8, 8), data_list(tmp_path)
    scores = probed(network, data, volumes=2)
    assert set(scores) == set(PROBE_METRICS)
    chance = probed(network, data, lambda item: read(item, easy=False), volumes=2)
    assert scores["val_probe_accuracy"] > chance["val_probe_accuracy"] + 0.15
    assert abs(chance["val_probe_accuracy"] - 1 / 3) < 0.15
    if network.backbone.strides[0] == 1:  # coarser features miss the borders
        assert scores["val_probe_dice"] > chance["val_probe_dice"] + 0.2


def test_scales_are_all_stages_with_the_bottleneck_last(make_network, network_name):
    backbone = SimCLR(make_network(network_name), 8, 8).eval().backbone
    image = torch.randn(1, 1, *ROI)
    with torch.no_grad():
        found = encoder_scales(backbone, image)
        encoded = backbone.encode(image)
    assert len(found) == len(backbone.stages)
    assert torch.equal(found[-1], encoded.bottleneck)
    assert [ROI[0] // scale.shape[2] for scale in found] == list(backbone.strides)


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002 - MONAI draws from the global one


def test_nothing_of_training_changes(make_network, tmp_path):
    network = SimCLR(make_network("BasicUNet"), 8, 8).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    states = random.getstate(), numpy_state(), torch.get_rng_state()
    probe = DenseProbe(data_list(tmp_path), read, ROI, 1, volumes=2)
    evaluator = Evaluator(network)
    probe(evaluator)
    first = dict(evaluator.state.metrics)
    probe(evaluator)
    assert evaluator.state.metrics == first
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert random.getstate() == states[0]
    assert numpy_state() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.is_grad_enabled()


def test_values_of_other_weights_do_not_stay(make_network, tmp_path):
    network, evaluator = SimCLR(make_network("BasicUNet"), 8, 8), Evaluator(nn.Module())
    probe = DenseProbe(data_list(tmp_path), read, ROI, interval=4, volumes=1)
    evaluator.network = network
    seen = []
    for epoch in (2, 4, 6):
        evaluator.state.epoch = epoch
        probe(evaluator)
        seen.append(set(evaluator.state.metrics))
    assert seen == [set(), set(PROBE_METRICS), set()]
    assert probed(network, data_list(tmp_path), interval=None) == {}
    assert probed(network, DataList("", require_label=False)) == {}


def test_a_value_that_training_lacks_counts_as_missed(make_network, tmp_path):
    def without_five_in_training(item):
        data = read(item)
        if Path(item["label"]).name.startswith("training"):
            data["label"][data["label"] == 5] = 0
        return data

    network, data = SimCLR(make_network("BasicUNet"), 8, 8), data_list(tmp_path)
    both, one = (probed(network, data, each, volumes=2) for each in (read, without_five_in_training))
    assert 0 < one["val_probe_dice"] < 0.5
    assert one["val_probe_dice"] < both["val_probe_dice"]


def test_labels_without_foreground_end_with_one_line(make_network, tmp_path):
    network = SimCLR(make_network("BasicUNet"), 8, 8)

    def empty(item):
        return {**read(item), "label": torch.zeros(1, 80, 32, 32)}

    with pytest.raises(Fault, match="labels of the 2 training cases that the dense probe reads are 0 everywhere"):
        probed(network, data_list(tmp_path), empty, volumes=2)


def test_the_untrained_network_is_epoch_zero_of_the_curve(make_network, tmp_path):
    network = SimCLR(make_network("BasicUNet"), 8, 8)
    probe = DenseProbe(data_list(tmp_path), read, ROI, interval=5, volumes=1)
    curve = ValidationCurve(str(tmp_path / "out"))
    trainer = Evaluator(network)
    ProbeBeforeTraining(probe, network, curve).attach(trainer)
    trainer.run([0], max_epochs=1)
    (row,) = read_curve(curve.path)
    assert row == {"epoch": 0, **probe.measure(network, torch.device("cpu"))}
    resumed = Evaluator(network)
    ProbeBeforeTraining(probe, network, curve, resume=True).attach(resumed)
    resumed.run([0], max_epochs=1)
    assert len(read_curve(curve.path)) == 1


def one_rank(rank, folder):
    torch.manual_seed(0)
    from tests.conftest import NETWORKS

    network = SimCLR(NETWORKS["BasicUNet"](1, 1, ROI), 8, 8)
    torch.save(probed(network, DataList(folder, require_label=False)), folder / f"scores{rank}.pt")


@pytest.mark.slow
def test_two_ranks_share_the_cases_and_find_what_one_finds(make_network, tmp_path):
    data = data_list(tmp_path)
    run_ranks(one_rank, tmp_path)
    first, second = (torch.load(tmp_path / f"scores{rank}.pt", weights_only=True) for rank in range(2))
    assert first == second
    assert first == pytest.approx(probed(SimCLR(make_network("BasicUNet"), 8, 8), data), abs=1e-3)
