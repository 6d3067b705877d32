"""The pretraining step: its parts, accumulation, clipping, mixed precision and what stops it."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines.utils import IterationEvents

from custom_components.engine import PretrainTrainer
from custom_components.losses import CombinedLoss
from custom_components.pretext import HybridMIM
from tests.engine.loss_weights import PLAIN, WEIGHTS


@pytest.fixture
def make_trainer(make_network, make_samples):
    def make(weights=WEIGHTS, batch=2, count=4, lr=0.01, loss=None, dropout=0.1, **kwargs):
        torch.manual_seed(0)
        pretext = HybridMIM(
            make_network("BasicUNet"), 16, 16, terms=list(weights), dropout=dropout, contrast_features=8
        )
        loader = DataLoader(Dataset(make_samples(count)), batch_size=batch)
        arguments = {"max_epochs": 1, "optimizer": torch.optim.SGD(pretext.parameters(), lr), **kwargs}
        return PretrainTrainer(
            device="cpu",
            train_data_loader=loader,
            network=pretext,
            loss_function=loss or CombinedLoss(weights),
            **arguments,
        )

    return make


def parameters(trainer):
    return {name: value.detach().clone() for name, value in trainer.network.named_parameters()}


def test_every_part_of_the_loss_is_a_float_in_the_output(make_trainer):
    trainer, outputs = make_trainer(), []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: outputs.append(trainer.state.output))
    trainer.run()
    assert len(outputs) == 2
    for output in outputs:
        assert set(output) == {"loss", *WEIGHTS, "negatives"}
        assert all(type(value) is float for value in output.values())
        assert output["loss"] == pytest.approx(sum(weight * output[name] for name, weight in WEIGHTS.items()))
        assert output["negatives"] == 2  # of two volumes, each anchor has the other's two views


@pytest.mark.slow
def test_a_few_steps_learn_the_reconstruction_of_a_constant(make_trainer, make_samples):
    trainer = make_trainer({"reconstruction": 1.0}, max_epochs=15, count=2)
    for sample in trainer.data_loader.dataset.data:
        sample["image"] = torch.full_like(sample["image"], 0.7)
    trainer.optimizer = torch.optim.AdamW(trainer.network.parameters(), 0.02)
    losses = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(trainer.state.output["loss"]))
    trainer.run()
    assert losses[-1] < 0.2 * losses[0]


def test_accumulation_over_two_batches_equals_a_batch_of_twice_the_size(make_trainer):
    """All samples hide the same number of patches, so that the batches weigh the same."""
    big = make_trainer(PLAIN, batch=4, dropout=0.0, lr=0.5)
    small = make_trainer(PLAIN, batch=2, dropout=0.0, lr=0.5, accumulation_steps=2)
    before = parameters(big)
    big.run()
    small.run()
    for name, value in big.network.named_parameters():
        torch.testing.assert_close(value, small.network.get_parameter(name), rtol=1e-4, atol=1e-5)
    assert max((before[name] - value).abs().max() for name, value in parameters(big).items()) > 1e-3


@pytest.mark.parametrize(("count", "accumulation", "steps"), [(5, 1, 5), (4, 2, 2), (5, 2, 3), (2, 4, 1)])
def test_the_optimizer_steps_once_per_accumulated_group_and_at_the_epochs_end(
    make_trainer, count, accumulation, steps
):
    trainer = make_trainer(PLAIN, batch=1, count=count, dropout=0.0, accumulation_steps=accumulation, max_epochs=2)
    stepped = []
    trainer.optimizer.register_step_post_hook(lambda *args: stepped.append(trainer.state.iteration))
    trainer.run()
    assert len(stepped) == 2 * steps
    assert stepped[-1] == 2 * count


def test_gradient_is_clipped_to_the_stated_norm(make_trainer):
    norms = {}
    for clip in (None, 0.05):
        trainer = make_trainer(PLAIN, batch=4, dropout=0.0, lr=1.0, grad_clip=clip)
        before = parameters(trainer)
        trainer.run()
        moved = [(before[name] - value).flatten() for name, value in parameters(trainer).items()]
        norms[clip] = float(torch.cat(moved).norm())
    assert norms[None] > 0.1
    assert norms[0.05] == pytest.approx(0.05, rel=1e-3)


def test_bfloat16_on_the_cpu_keeps_parameters_and_losses_in_float32(make_trainer):
    trainer, dtypes = make_trainer(PLAIN, batch=4, dropout=0.0, amp=True), set()
    trainer.network.network.conv_0.register_forward_hook(lambda m, args, out: dtypes.add(out.dtype))
    before = parameters(trainer)
    trainer.run()
    assert dtypes == {torch.bfloat16}
    assert {parameter.dtype for parameter in trainer.network.parameters()} == {torch.float32}
    plain = make_trainer(PLAIN, batch=4, dropout=0.0)
    plain.run()
    for name in PLAIN:
        assert trainer.state.output[name] == pytest.approx(plain.state.output[name], rel=0.02)
        assert trainer.state.output[name] != plain.state.output[name]
    assert any(not torch.equal(before[name], value) for name, value in parameters(trainer).items())


def test_without_amp_everything_is_float32(make_trainer):
    trainer, dtypes = make_trainer(PLAIN), set()
    trainer.network.network.conv_0.register_forward_hook(lambda m, args, out: dtypes.add(out.dtype))
    trainer.run()
    assert dtypes == {torch.float32}
    assert not trainer.scaler.is_enabled()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_step_and_names_the_parts(make_trainer, value):
    combined, calls = CombinedLoss(PLAIN), []

    def loss(outputs, volume_id):
        calls.append(1)
        values = combined(outputs, volume_id)
        if len(calls) == 3:
            values["position"] = values["position"] * value
            values["loss"] = values["loss"] + values["position"]
        return values

    trainer = make_trainer(PLAIN, loss=loss, max_epochs=2)
    states = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: states.append(parameters(trainer)))
    with pytest.raises(ValueError, match=r"epoch 2, iteration 3: \['loss', 'position'\] not finite in"):
        trainer.run()
    assert len(states) == 2
    for name, kept in states[-1].items():
        assert torch.equal(kept, trainer.network.get_parameter(name))


def test_monais_iteration_events_fire_in_order(make_trainer):
    trainer, fired = make_trainer(PLAIN, batch=4), []
    names = ("FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED")
    for name in names:
        trainer.add_event_handler(getattr(IterationEvents, name), lambda engine, name=name: fired.append(name))
    trainer.run()
    assert tuple(fired) == names


def test_the_network_trains_even_after_a_validation_left_it_in_eval_mode(make_trainer):
    trainer = make_trainer()
    trainer.network.eval()
    trainer.run()
    assert "contrast" in trainer.state.output
    assert trainer.network.training
