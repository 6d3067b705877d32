"""The float16 path of the pretraining step: autocast, the GradScaler, its skipped steps, resume.

The trainer scales the loss on CUDA alone. These tests give it a GradScaler for the CPU, so that the shipped step
runs in float16 with a scaled loss. A scale is a power of two: scaling itself rounds nothing.
"""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from torch import nn

from custom_components.engine import PretrainTrainer
from custom_components.handlers import EMA, ReseedEachEpoch, ResumeCheckpoint
from tests.handlers.states import slow_average

FLOAT16 = {"amp": True, "amp_kwargs": {"dtype": torch.float16}}
GradScaler = torch.amp.GradScaler


class Denoiser(nn.Module):
    """A pretext network of two convolutions: the step is tested here, not the network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 1, 3, padding=1)

    def forward(self, image, mask, valid):
        return {"image": image, "denoised": self.last(torch.tanh(self.first(image)))}


def squared_error(outputs, volume_id):
    return {"loss": (outputs["denoised"].float() - outputs["image"]).square().mean()}


@pytest.fixture
def make_trainer(make_samples):
    def make(epochs=1, count=4, optimizer=torch.optim.SGD, rate=0.1, **kwargs):
        network, loader = Denoiser(), DataLoader(Dataset(make_samples(count, side=8)), batch_size=2)
        return PretrainTrainer(
            device="cpu",
            max_epochs=epochs,
            train_data_loader=loader,
            network=network,
            optimizer=optimizer(network.parameters(), rate),
            loss_function=squared_error,
            train_handlers=[ReseedEachEpoch(0, loader)],
            **kwargs,
        )

    return make


@pytest.fixture
def scale_on_cpu(monkeypatch):
    """``scale_on_cpu(init_scale, growth_interval)``: trainers that run from now on scale their loss on the CPU."""

    def switch_on(init_scale=1024.0, growth_interval=100):
        def make(device, enabled):
            return GradScaler("cpu", init_scale=init_scale, growth_interval=growth_interval)

        monkeypatch.setattr(torch.amp, "GradScaler", make)

    return switch_on


def weights(trainer):
    return {name: value.detach().clone() for name, value in trainer.network.state_dict().items()}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def record(trainer, read, event=Events.ITERATION_COMPLETED):
    """What ``read()`` gives after each iteration of a run still to come."""
    found = []
    trainer.add_event_handler(event, lambda: found.append(read()))
    return found


def overflow(trainer, iteration):
    """Put an infinite gradient into one iteration, between backward and the step."""

    def spoil(engine):
        if engine.state.iteration == iteration:
            next(engine.network.parameters()).grad.view(-1)[0] = float("inf")

    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, spoil)


@pytest.mark.parametrize(
    ("device", "dtype", "amp", "scaled"),
    [
        ("cuda", torch.float16, True, True),
        ("cuda", torch.float16, False, False),
        ("cuda", torch.bfloat16, True, False),
        ("cpu", torch.float16, True, False),
    ],
)
def test_the_loss_is_scaled_for_float16_on_cuda_alone(make_trainer, monkeypatch, device, dtype, amp, scaled):
    asked = []
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: asked.append((device, enabled)))
    monkeypatch.setattr(Workflow, "run", lambda self: None)
    trainer = make_trainer(amp=amp, amp_kwargs={"dtype": dtype})
    trainer.state.device = torch.device(device)
    trainer.run()
    assert asked == [("cuda", scaled)]


@pytest.mark.parametrize("clip", [None, 0.05])
def test_scaled_steps_are_those_without_a_scale(make_trainer, scale_on_cpu, clip):
    """Also where gradients are clipped: they are unscaled first, or the norm would be that of scaled ones."""
    plain = make_trainer(epochs=2, grad_clip=clip)
    start = weights(plain)
    plain.run()
    scale_on_cpu(1024.0)
    scaled = make_trainer(epochs=2, grad_clip=clip)
    scaled.run()
    assert scaled.scaler.get_scale() == 1024.0
    assert not equal(weights(scaled), start)
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(scaled)[name], value, rtol=1e-6, atol=1e-8)


def test_the_forward_pass_runs_in_float16_and_trains_float32_weights(make_trainer, scale_on_cpu):
    scale_on_cpu(1024.0)
    trainer, dtypes = make_trainer(**FLOAT16), set()
    trainer.network.first.register_forward_hook(lambda module, args, out: dtypes.add(out.dtype))
    start, losses = weights(trainer), record(trainer, lambda: trainer.state.output["loss"])
    trainer.run()
    exact = make_trainer()
    exact_losses = record(exact, lambda: exact.state.output["loss"])
    exact.run()
    assert dtypes == {torch.float16}
    assert {value.dtype for value in weights(trainer).values()} == {torch.float32}
    assert losses == pytest.approx(exact_losses, rel=0.01)
    assert losses != exact_losses
    assert not equal(weights(trainer), start)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_an_infinite_gradient_skips_the_step_and_halves_the_scale(make_trainer, scale_on_cpu, clip):
    scale_on_cpu(1024.0)
    trainer = make_trainer(epochs=2, grad_clip=clip, optimizer=torch.optim.AdamW, rate=0.01)
    after = record(trainer, lambda: weights(trainer))
    scales = record(trainer, lambda: trainer.scaler.get_scale())
    overflow(trainer, iteration=2)
    trainer.run()
    assert scales == [1024.0, 512.0, 512.0, 512.0]
    assert equal(after[0], after[1])
    assert not equal(after[1], after[2])
    assert {int(state["step"]) for state in trainer.optimizer.state.values()} == {3}


def test_a_scale_too_large_for_float16_is_halved_until_steps_succeed(make_trainer, scale_on_cpu):
    """A real overflow: gradients of float16 activations exceed 65504."""
    scale_on_cpu(2.0**40)
    trainer = make_trainer(epochs=20, **FLOAT16)
    scales = record(trainer, lambda: trainer.scaler.get_scale())
    after = record(trainer, lambda: weights(trainer))
    trainer.run()
    skipped = [number for number in range(1, len(scales)) if scales[number] < scales[number - 1]]
    assert scales[0] == 2.0**39
    assert 5 < len(skipped) < len(scales) - 2
    for number in range(1, len(scales)):
        assert equal(after[number], after[number - 1]) == (number in skipped)
    assert scales[-1] == 2.0 ** (39 - len(skipped))
    assert all(torch.isfinite(value).all() for value in after[-1].values())


def test_accumulated_batches_share_a_scale_and_a_skipped_step(make_trainer, scale_on_cpu):
    scale_on_cpu(1024.0)
    trainer = make_trainer(epochs=2, count=8, accumulation_steps=2)
    after = record(trainer, lambda: weights(trainer))
    scales = record(trainer, lambda: trainer.scaler.get_scale())
    overflow(trainer, iteration=3)  # the first of two; the next adds to the same gradient
    trainer.run()
    assert scales == [1024.0] * 3 + [512.0] * 5
    moved = [not equal(one, two) for one, two in zip(after, after[1:], strict=False)]
    assert moved == [True, False, False, False, True, False, True]


def test_a_skipped_step_counts_for_the_average_as_one_that_changed_nothing(make_trainer, scale_on_cpu):
    scale_on_cpu(1024.0)
    trainer = make_trainer(epochs=2)
    ema = EMA(trainer.network, 0.75)
    ema.attach(trainer)
    after = record(trainer, lambda: weights(trainer))
    overflow(trainer, iteration=2)
    trainer.run()
    assert int(ema.state_dict()["n_averaged"]) == 4
    expected = slow_average(after, 0.75)
    for name, value in ema.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)
    assert equal(after[0], after[1])


class TestResume:
    @pytest.fixture
    def run(self, make_trainer, tmp_path):
        def run(name, epochs, resume=False, spoiled=None, **kwargs):
            trainer = make_trainer(epochs=epochs, grad_clip=1.0, **kwargs)
            scales = record(trainer, lambda: trainer.scaler.get_scale())
            if spoiled:
                overflow(trainer, spoiled)
            objects = {"pretext": trainer.network, "optimizer": trainer.optimizer}
            ResumeCheckpoint(str(tmp_path / name), objects, resume).attach(trainer)
            trainer.run()
            return trainer, scales

        return run

    def test_two_and_two_epochs_keep_the_scale_and_its_growth_of_four(self, run, scale_on_cpu):
        """The scale doubles after three good steps in a row; the third of them follows the resume."""
        scale_on_cpu(1024.0, growth_interval=3)
        whole, expected = run("whole.pt", 4, spoiled=2, **FLOAT16)
        _, first = run("halves.pt", 2, spoiled=2, **FLOAT16)
        halves, second = run("halves.pt", 4, resume=True, **FLOAT16)
        assert expected == [1024.0, 512.0, 512.0, 512.0, 1024.0, 1024.0, 1024.0, 2048.0]
        assert first + second == expected
        assert halves.scaler.state_dict() == whole.scaler.state_dict()
        assert equal(weights(halves), weights(whole))

    def test_a_run_goes_on_with_or_without_a_scale_whatever_the_file_has(self, run, scale_on_cpu, monkeypatch):
        run("run.pt", 1)
        scale_on_cpu(256.0)
        _, scales = run("run.pt", 2, resume=True, **FLOAT16)
        assert scales == [256.0, 256.0]
        monkeypatch.setattr(torch.amp, "GradScaler", GradScaler)
        unscaled, _ = run("run.pt", 3, resume=True)
        assert not unscaled.scaler.is_enabled()
        assert unscaled.state.iteration == 6
