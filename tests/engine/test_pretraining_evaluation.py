"""What pretraining takes from a batch, and its evaluation: metrics, last outputs, two views."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor

from custom_components.engine import PretrainEvaluator, PretrainTrainer, prepare_pretrain_batch, prepare_view_batch
from custom_components.losses import CombinedLoss
from custom_components.metrics import pretext_scores, term_metrics, validation_names
from custom_components.pretext import HybridMIM, SimCLR
from tests.engine.loss_weights import PLAIN, WEIGHTS


def test_prepare_batch_gives_plain_tensors_and_ids():
    image = MetaTensor(torch.ones(2, 1, 4, 4, 4))
    batch = {"image": image, "mask": torch.ones(2, 1, 2, 2, 2, dtype=torch.bool), "valid": image > 0}
    found = prepare_pretrain_batch({**batch, "volume_id": [3, 5]}, "cpu")
    assert [type(item) for item in found[:3]] == [torch.Tensor] * 3
    assert found[1].dtype == found[2].dtype == torch.bool
    assert found[3].tolist() == [3, 5]
    assert prepare_pretrain_batch({**batch, "volume_id": torch.tensor([[3], [5]])})[3].tolist() == [3, 5]
    assert prepare_pretrain_batch(batch)[3] is None


def test_a_batch_without_mask_raises_and_names_what_is_there():
    with pytest.raises(ValueError, match=r"no \['mask', 'valid'\]; it has \['image', 'label'\]"):
        prepare_pretrain_batch({"image": torch.ones(1), "label": torch.ones(1)})


def view_samples(make_samples, count=4):
    """Samples of stripes, each of its own width; the second view is the first, mirrored and half of it padding."""
    samples = make_samples(count)
    for number, sample in enumerate(samples):
        stripes = torch.sin(torch.arange(32) / 2**number).expand_as(sample["image"])
        sample["image"] = stripes + 0.1 * sample["image"]
        sample["image_2"], sample["valid_2"] = sample["image"].flip(1), sample["valid"].clone()
        sample["valid_2"][:, :16] = False
    return samples


def test_prepare_view_batch_gives_both_views_then_both_validities_then_ids(make_samples):
    one, two = view_samples(make_samples, 2)
    batch = {key: torch.stack([one[key], two[key]]) for key in ("image", "image_2", "valid", "valid_2")}
    found = prepare_view_batch({**batch, "image": MetaTensor(batch["image"]), "volume_id": [3, 5]}, "cpu")
    assert [type(item) for item in found] == [torch.Tensor] * 5
    for item, key in zip(found, ("image", "image_2", "valid", "valid_2"), strict=False):
        assert torch.equal(item, batch[key])
    assert found[4].tolist() == [3, 5]
    assert prepare_view_batch(batch)[4] is None
    with pytest.raises(
        ValueError, match=r"no \['image_2', 'valid_2'\]; it has \['image', 'valid'\]. Is TwoViewsd"
    ):
        prepare_view_batch({key: batch[key] for key in ("image", "valid")})


def test_two_views_are_trained_and_validated_on(make_network, make_samples):
    torch.manual_seed(0)
    pretext, samples = SimCLR(make_network("UNETR", size=(32, 32, 32)), 16, 8), view_samples(make_samples)
    trainer = PretrainTrainer(
        device="cpu",
        max_epochs=15,
        train_data_loader=DataLoader(Dataset(samples), batch_size=4),
        network=pretext,
        optimizer=torch.optim.AdamW([p for p in pretext.parameters() if p.requires_grad], 0.01),
        loss_function=CombinedLoss({"contrast": 1.0}),
        prepare_batch=prepare_view_batch,
    )
    outputs = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: outputs.append(trainer.state.output))
    evaluator = make_evaluator(pretext, samples, {"contrast": 1.0}, batch=4, prepare_batch=prepare_view_batch)
    evaluator.run()
    before = evaluator.state.output
    views = [torch.stack([sample[key] for sample in samples]) for key in ("image", "image_2", "valid", "valid_2")]
    first = CombinedLoss({"contrast": 1.0})(deepcopy(pretext).train()(*views), torch.arange(4))
    trainer.run()
    evaluator.run()
    assert {tuple(sorted(output)) for output in outputs} == {("contrast", "loss", "negatives")}
    assert set(evaluator.state.output) == {"contrast", "loss", "negatives"}
    assert outputs[0]["negatives"] == before["negatives"] == 6
    assert outputs[0]["loss"] == pytest.approx(first["loss"].item(), rel=1e-4)
    assert outputs[-1]["loss"] < 0.5 * outputs[0]["loss"]
    assert evaluator.state.output["loss"] < 0.5 * before["loss"]
    for found, view in zip(evaluator.state.last_batch, views, strict=True):
        assert torch.equal(found, view)


def make_evaluator(pretext, samples, weights, batch=1, **kwargs):
    return PretrainEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(samples), batch_size=batch),
        network=pretext,
        loss_function=CombinedLoss(weights),
        **kwargs,
    )


def test_evaluation_has_no_contrast_keeps_its_last_outputs_and_repeats_exactly(make_network, make_samples):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, contrast_features=8, window_size=16).train()
    samples = make_samples(3)
    names = ("loss", "reconstruction", "masked_mae", "position_accuracy")
    metrics = term_metrics(names)
    evaluator = make_evaluator(
        pretext, samples, WEIGHTS, key_val_metric={"val_loss": metrics.pop("val_loss")}, additional_metrics=metrics
    )
    evaluator.run()
    first = dict(evaluator.state.metrics)
    assert set(first) == {f"val_{name}" for name in names}
    assert set(evaluator.state.output) == set(validation_names(list(PLAIN)))
    valid = evaluator.state.last_batch[2]
    scores = pretext_scores(evaluator.state.last_outputs, valid, pretext.patch_size)
    assert evaluator.state.output["gaussian_fill_mae"] == float(scores["gaussian_fill_mae"])
    assert evaluator.state.last_outputs["reconstruction"].shape == (1, 1, 32, 32, 32)
    assert torch.equal(evaluator.state.last_batch[0][0], samples[-1]["image"])
    evaluator.run()
    assert evaluator.state.metrics == first


def test_evaluation_makes_no_gradient_and_moves_no_weight(make_network, make_samples):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=list(PLAIN))
    before = {key: value.clone() for key, value in pretext.state_dict().items()}
    evaluator = make_evaluator(pretext, make_samples(1), PLAIN, scores=None)
    evaluator.run()
    assert not evaluator.state.last_outputs["reconstruction"].requires_grad
    assert all(torch.equal(value, before[key]) for key, value in pretext.state_dict().items())
    assert set(evaluator.state.output) == {"loss", *PLAIN}


def test_bfloat16_evaluation_runs_on_the_cpu(make_network, make_samples):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=list(PLAIN))
    evaluator = make_evaluator(pretext, make_samples(1), PLAIN, amp=True)
    evaluator.run()
    assert evaluator.state.last_outputs["reconstruction"].dtype == torch.bfloat16
    assert all(value == value for value in evaluator.state.output.values())
