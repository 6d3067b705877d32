"""The effective rank of the features of validation volumes."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset

from custom_components.engine import PretrainEvaluator
from custom_components.handlers import FeatureRank
from custom_components.losses import CombinedLoss
from custom_components.metrics import effective_rank, term_metrics
from custom_components.pretext import HybridMIM, pooled_bottleneck


@pytest.fixture
def evaluate(make_network):
    def run(samples, validations=1):
        pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=["reconstruction"]).train()
        evaluator = PretrainEvaluator(
            device="cpu",
            val_data_loader=DataLoader(Dataset(samples), batch_size=2),
            network=pretext,
            loss_function=CombinedLoss({"reconstruction": 1.0}),
            key_val_metric=term_metrics(["loss"]),
            val_handlers=[FeatureRank()],
        )
        for epoch in range(1, validations + 1):
            evaluator.run(epoch)
        return pretext, evaluator.state.metrics.get("val_effective_rank")

    return run


def test_it_is_that_of_the_pooled_features_of_unmasked_volumes(evaluate, make_samples):
    samples = make_samples(5)
    samples[0]["valid"][:, 16:] = False
    pretext, found = evaluate(samples, validations=2)
    assert pretext.training
    with torch.no_grad():
        pooled = [pooled_bottleneck(pretext.eval(), s["image"][None], s["valid"][None]) for s in samples]
    assert found == pytest.approx(effective_rank(torch.cat(pooled)), rel=1e-3)
    assert 1 < found <= 4


def test_equal_volumes_are_a_collapse_and_one_volume_has_no_rank(evaluate, make_samples):
    assert evaluate(make_samples(1) * 4)[1] == 0
    assert evaluate(make_samples(1))[1] is None
