"""Two gloo ranks, started from a pretrained file."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.handlers import ValidationHandler
from monai.networks.nets import UNETR, BasicUNet
from monai.transforms import Compose, RandFlipd, RandSpatialCropd
from torch import nn

from custom_components.data import TwoViewsd
from custom_components.engine import PretrainEvaluator, PretrainTrainer, prepare_view_batch
from custom_components.handlers import BestCheckpoint, ReseedEachEpoch, ResumeCheckpoint
from custom_components.losses import CombinedLoss
from custom_components.masking import FixedPatchMaskd, MaskSampler, RandPatchMaskd
from custom_components.metrics import term_metrics
from custom_components.pretext import HybridMIM, SimCLR
from custom_components.transfer import load_pretrained
from tests.ranks import run_ranks

ALL = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
SAMPLER = MaskSampler("two_level", 0.4, 8, region_size=16, region_ratio=0.6)


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
        Dataset(data, RandPatchMaskd("image", SAMPLER)), batch_size=2, shuffle=True, drop_last=True
    )
    loss = CombinedLoss(weights)
    evaluator = PretrainEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(data, FixedPatchMaskd("image", SAMPLER)), batch_size=2),
        network=pretext,
        loss_function=loss,
        key_val_metric=term_metrics(["loss"]),
        val_handlers=[
            BestCheckpoint(str(folder / "models"), {"model.pt": net, "pretext.pt": pretext}, "val_loss", "min")
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
    ResumeCheckpoint(str(folder / "models" / "resume.pt"), objects).attach(trainer)
    return trainer, pretext, evaluator


def one_rank(rank, folder, weights):
    logging.disable(logging.WARNING)
    trainer, pretext, evaluator = build(rank, folder, weights)
    begin = copy.deepcopy(pretext.state_dict())
    outputs = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: outputs.append(trainer.state.output))
    trainer.run()
    found = {"begin": begin, "end": pretext.state_dict(), "metric": evaluator.state.metrics["val_loss"]}
    torch.save({**found, "outputs": outputs}, folder / f"rank{rank}.pt")


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [ALL, {"count": 1.0}], ids=["all terms", "count alone, decoder frozen"])
def test_two_ranks_from_a_pretrained_file_stay_equal_and_save_unwrapped(tmp_path, weights):
    start = network(seed=1).state_dict()
    torch.save({f"module.{key}": value for key, value in start.items()}, tmp_path / "start.pt")
    run_ranks(one_rank, tmp_path, weights)
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


KEYS = ("image", "valid")
TRAINED, VALIDATED = ([0, 1], [2, 3]), ([4, 5, 6], [7, 8])  # volumes of each rank


def view_loader(numbers, batch_size):
    """Volumes with padding at one end, and two views of each that depend on its number alone."""
    cut = RandSpatialCropd(KEYS, 32, random_size=False)
    views = TwoViewsd(KEYS, Compose([cut, RandFlipd(KEYS, prob=0.5, spatial_axis=0)]), seed=3)
    data = []
    for number in numbers:
        image = torch.randn(1, 48, 40, 32, generator=torch.Generator().manual_seed(number))
        valid = torch.ones_like(image, dtype=torch.uint8)
        valid[:, 30:] = 0
        data.append({"image": image, "valid": valid, "volume_id": number})
    return DataLoader(Dataset(data, views), batch_size=batch_size)


def simclr(seed):
    torch.manual_seed(seed)
    return SimCLR(UNETR(1, 1, 32, feature_size=6, hidden_size=24, mlp_dim=48, num_heads=2), 16, 8)


def view_engines(pretext, wrapped, trained, validated, batch_size):
    """Trainer and evaluator; the evaluator's loss stays on its rank, for ranks hold unequal numbers of volumes."""
    both = {"device": "cpu", "prepare_batch": prepare_view_batch}
    evaluator = PretrainEvaluator(
        val_data_loader=view_loader(validated, 3),
        network=pretext,
        loss_function=CombinedLoss({"contrast": 1.0}, gather=False),
        key_val_metric=term_metrics(["loss"]),
        additional_metrics=term_metrics(["negatives"]),
        **both,
    )
    trainer = PretrainTrainer(
        max_epochs=2,
        train_data_loader=view_loader(trained, batch_size),
        network=wrapped,
        optimizer=torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], 0.5),
        loss_function=CombinedLoss({"contrast": 1.0}),
        train_handlers=[ValidationHandler(1, evaluator)],
        **both,
    )
    return trainer, evaluator


def simclr_rank(rank, folder):
    logging.disable(logging.WARNING)
    pretext = simclr(seed=rank)
    wrapped = nn.parallel.DistributedDataParallel(pretext)
    trainer, evaluator = view_engines(pretext, wrapped, TRAINED[rank], VALIDATED[rank], 2)
    trainer.run()
    found = {"end": pretext.state_dict(), "output": trainer.state.output, "metrics": evaluator.state.metrics}
    torch.save(found, folder / f"rank{rank}.pt")


@pytest.mark.slow
def test_two_ranks_train_simclr_as_one_that_holds_all_volumes_would(tmp_path):
    run_ranks(simclr_rank, tmp_path)
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    whole = simclr(seed=0)
    begin = copy.deepcopy(whole.state_dict())
    trainer, evaluator = view_engines(whole, whole, sum(TRAINED, []), sum(VALIDATED, []), 4)
    trainer.run()
    assert equal(one["end"], two["end"])
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(one["end"][key], value, rtol=1e-3, atol=1e-5)
    moved = {key for key, value in one["end"].items() if not torch.equal(value, begin[key])}
    trained = {name for name, parameter in whole.named_parameters() if parameter.requires_grad}
    assert moved == trained | {name for name, _ in whole.named_buffers()}  # statistics
    assert max((one["end"][key] - begin[key]).abs().max() for key in moved) > 0.01
    mean = (one["output"]["loss"] + two["output"]["loss"]) / 2
    assert mean == pytest.approx(trainer.state.output["loss"], rel=1e-4)
    assert one["output"]["negatives"] == two["output"]["negatives"] == trainer.state.output["negatives"] == 6
    assert one["metrics"] == two["metrics"]  # averaged over the ranks, of which one has three volumes
    assert one["metrics"] == pytest.approx(evaluator.state.metrics, rel=1e-4)
    assert one["metrics"]["val_negatives"] == 3
