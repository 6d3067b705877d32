"""Two gloo ranks, started from a pretrained file."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.handlers import ValidationHandler
from monai.networks.nets import BasicUNet
from torch import multiprocessing, nn

from custom_components.engine import PretrainEvaluator, PretrainTrainer, part_metrics
from custom_components.handlers import BestWeights, ReseedEachEpoch, ResumePoint
from custom_components.losses import CombinedLoss
from custom_components.masking import FixedPatchMaskd, RandPatchMaskd
from custom_components.pretext import HybridMIM
from custom_components.transfer import load_pretrained

ALL = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
SIZES = {"patch_size": 8, "region_size": 16, "region_ratio": 0.6}


def network(seed):
    torch.manual_seed(seed)
    return BasicUNet(3, 1, 1, features=(4, 4, 4, 4, 8, 4))


def volumes(rank):
    """Four volumes of its own for each rank."""
    generator = torch.Generator().manual_seed(rank)
    return [
        {"image": torch.randn(1, 32, 32, 32, generator=generator), "volume_id": 4 * rank + number}
        for number in range(4)
    ]


def build(rank, folder, weights):
    """A trainer of one rank, its unwrapped pretext network and its evaluator."""
    net = network(seed=10 + rank)  # the ranks start apart: the file and DDP bring them together
    load_pretrained(net, folder / "start.pt")
    pretext = HybridMIM(net, 8, 16, terms=list(weights), window_size=16, contrast_features=8)
    wrapped = nn.parallel.DistributedDataParallel(pretext)
    data = volumes(rank)
    loader = DataLoader(
        Dataset(data, RandPatchMaskd("image", 0.4, **SIZES)), batch_size=2, shuffle=True, drop_last=True
    )
    loss = CombinedLoss(weights)
    evaluator = PretrainEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(data, FixedPatchMaskd("image", 0.4, **SIZES)), batch_size=2),
        network=pretext,
        loss_function=loss,
        key_val_metric=part_metrics(["loss"]),
        val_handlers=[
            BestWeights(str(folder / "models"), {"model.pt": net, "pretext.pt": pretext}, "val_loss", "min")
        ],
    )
    optimizer = torch.optim.AdamW(pretext.parameters(), 0.01)
    trainer = PretrainTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=loader,
        network=wrapped,
        optimizer=optimizer,
        loss_function=loss,
        train_handlers=[ReseedEachEpoch(0, loader), ValidationHandler(1, evaluator)],
    )
    objects = {"pretext": pretext, "optimizer": optimizer}
    ResumePoint(str(folder / "models" / "resume.pt"), objects).attach(trainer)
    return trainer, pretext, evaluator


def one_rank(rank, folder, weights):
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    trainer, pretext, evaluator = build(rank, Path(folder), weights)
    begin = copy.deepcopy(pretext.state_dict())
    outputs = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: outputs.append(trainer.state.output))
    trainer.run()
    found = {"begin": begin, "end": pretext.state_dict(), "metric": evaluator.state.metrics["val_loss"]}
    torch.save({**found, "outputs": outputs}, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [ALL, {"count": 1.0}], ids=["all terms", "count alone, decoder frozen"])
def test_two_ranks_from_a_pretrained_file_stay_equal_and_save_unwrapped(tmp_path, weights):
    start = network(seed=1).state_dict()
    torch.save({f"module.{key}": value for key, value in start.items()}, tmp_path / "start.pt")
    multiprocessing.spawn(one_rank, (str(tmp_path), weights), nprocs=2)
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert equal(one["begin"], two["begin"])
    for key, value in start.items():
        if not key.startswith("final_conv."):
            assert torch.equal(one["begin"][f"network.{key}"], value), key
    assert equal(one["end"], two["end"])
    assert not torch.equal(
        one["begin"]["network.conv_0.conv_0.conv.weight"], one["end"]["network.conv_0.conv_0.conv.weight"]
    )
    frozen = torch.equal(one["begin"]["network.final_conv.weight"], one["end"]["network.final_conv.weight"])
    assert frozen == ("reconstruction" not in weights)
    assert one["metric"] == two["metric"]  # averaged over the ranks
    assert one["outputs"] != two["outputs"]  # of different volumes
    if "contrast" in weights:
        assert all(output["negatives"] == 6 for output in one["outputs"])  # 4 volumes over both ranks, 2 views
    models = tmp_path / "models"
    assert list(torch.load(models / "model.pt", weights_only=True)) == list(start)
    assert set(torch.load(models / "pretext.pt", weights_only=True)) == set(one["end"])
    assert equal(torch.load(models / "resume.pt", weights_only=True)["pretext"], one["end"])
