"""The averaged copy follows the optimizer's steps, survives a resume, and is a network like the trained one."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from torch import nn

from custom_components.engine import PretrainTrainer
from custom_components.handlers import EMA, BestCheckpoint, ReseedEachEpoch, ResumeCheckpoint
from custom_components.losses import CombinedLoss
from custom_components.masking import MaskSampler, RandPatchMaskd
from custom_components.pretext import HybridMIM

WEIGHTS = {"reconstruction": 1.0, "count": 0.1}
SIZES = {"patch_size": 8, "region_size": 16}


def clone(state):
    return {key: value.clone() for key, value in state.items()}


def equal_states(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def slow_average(states, decay):
    """The formula, number by number, for the weights after each optimizer step."""
    average = {key: value.flatten().double().tolist() for key, value in states[0].items()}
    for state in states[1:]:
        for key, numbers in average.items():
            new = state[key].flatten().double().tolist()
            average[key] = [decay * a + (1 - decay) * b for a, b in zip(numbers, new, strict=True)]
    return {key: torch.tensor(average[key]).reshape(states[0][key].shape) for key in average}


def parameters(module):
    return {key: value.detach().clone() for key, value in module.named_parameters()}


class Run:
    """A small pretraining with an average; ``states`` holds the parameters after each optimizer step."""

    def __init__(
        self, make_network, samples, folder, epochs, decay=0.7, resume=False, late=False, ddp=False, accumulate=1
    ):
        torch.manual_seed(epochs)
        self.network = make_network("BasicUNet")
        self.pretext = HybridMIM(self.network, **SIZES, terms=list(WEIGHTS))
        self.average = EMA(self.pretext, decay)
        keep = ("image", "valid", "volume_id")
        data = [{key: sample[key] for key in keep} for sample in samples]
        masks = RandPatchMaskd("image", MaskSampler("two_level", 0.4, region_ratio=0.6, **SIZES))
        loader = DataLoader(Dataset(data, masks), batch_size=1)
        self.optimizer = torch.optim.AdamW([p for p in self.pretext.parameters() if p.requires_grad], 0.01)
        self.states = []
        self.optimizer.register_step_post_hook(lambda *_: self.states.append(parameters(self.pretext)))
        self.trainer = PretrainTrainer(
            device="cpu",
            max_epochs=epochs,
            train_data_loader=loader,
            network=nn.parallel.DistributedDataParallel(self.pretext) if ddp else self.pretext,
            optimizer=self.optimizer,
            loss_function=CombinedLoss(WEIGHTS),
            accumulation_steps=accumulate,
            train_handlers=[ReseedEachEpoch(3, loader)],
        )
        objects = {"pretext": self.pretext, "optimizer": self.optimizer, "average": self.average}
        handlers = [self.average, ResumeCheckpoint(str(folder / "resume.pt"), objects, resume)]
        for handler in reversed(handlers) if late else handlers:
            handler.attach(self.trainer)

    def run(self):
        self.trainer.run()
        return self


@pytest.fixture
def start(make_network, make_samples, tmp_path):
    def start(name, epochs, samples=1, **kwargs):
        return Run(make_network, make_samples(samples), tmp_path / name, epochs, **kwargs)

    return start


def toy_network():
    """Something trained, something with buffers, and something frozen."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[2].requires_grad_(False)
    return network


def toy_trainer(network, average, steps, states=None):
    """A trainer whose steps leave the parameters that are not frozen, and the buffers, elsewhere."""
    generator = torch.Generator().manual_seed(1)

    def step(engine, batch):
        network.train()(torch.randn(8, 3, generator=generator))
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator))
        if states is not None:
            states.append(parameters(network))

    engine = Engine(step)
    average.attach(engine)
    engine.run([0] * steps, max_epochs=1)


@pytest.mark.parametrize("decay", [0.001, 0.5, 0.9, 0.999])
def test_the_average_is_the_slow_loops(decay):
    network, states = toy_network(), []
    start = clone(network.state_dict())
    average = EMA(network, decay)
    toy_trainer(network, average, 6, states)
    expected = slow_average(states, decay)
    found = parameters(average.module)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, msg=key)
    for key in ("2.weight", "2.bias"):
        assert torch.equal(found[key], start[key]), "frozen parameters stay, bit for bit"
    assert not torch.equal(found["0.weight"], states[-1]["0.weight"])


def test_buffers_are_those_of_the_network():
    network = toy_network()
    average = EMA(network, 0.9)
    toy_trainer(network, average, 3)
    buffers, found = dict(network.named_buffers()), dict(average.module.named_buffers())
    assert int(buffers["1.num_batches_tracked"]) == 3
    assert buffers["1.running_mean"].abs().sum() > 0
    assert equal_states(found, buffers)


def test_after_the_first_step_the_average_is_the_network():
    network = toy_network()
    average = EMA(network, 0.999)
    toy_trainer(network, average, 1)
    assert equal_states(average.module.state_dict(), network.state_dict())


def test_weights_loaded_after_it_was_made_are_the_average_when_the_run_starts():
    network, seen = toy_network(), []
    average = EMA(network, 0.9)
    with torch.no_grad():
        network[0].weight.fill_(5.0)
        network[1].running_mean.fill_(2.0)
    engine = Engine(lambda engine, batch: None)
    average.attach(engine)
    engine.add_event_handler(Events.STARTED, lambda: seen.append(clone(average.module.state_dict())))
    engine.run([0], max_epochs=1)
    assert equal_states(seen[0], network.state_dict())


def test_a_real_trainers_steps_are_averaged_and_leave_the_training_as_it_was(start):
    run, plain = start("run", 5).run(), start("plain", 5, decay=None).run()
    assert len(run.states) == 5
    expected = slow_average(run.states, 0.7)
    for key, value in parameters(run.average.module).items():
        torch.testing.assert_close(value, expected[key], msg=key)
    assert equal_states(run.pretext.state_dict(), plain.pretext.state_dict())
    assert not any(p.requires_grad for p in run.average.module.parameters())
    assert not run.average.module.training


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "accumulate"), [(5, 2), (4, 2), (3, 5)])
def test_with_accumulated_gradients_the_average_follows_the_optimizers_steps(start, samples, accumulate):
    run = start("run", 2, samples=samples, accumulate=accumulate).run()
    assert len(run.states) == 2 * -(-samples // accumulate)
    assert int(run.average.state_dict()["n_averaged"]) == len(run.states)
    expected = slow_average(run.states, 0.7)
    for key, value in parameters(run.average.module).items():
        torch.testing.assert_close(value, expected[key], msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["average attached first", "resume point attached first"])
def test_two_and_two_steps_equal_four(start, tmp_path, late):
    whole = start("whole", 4, late=late).run()
    start("parts", 2, late=late).run()
    second = start("parts", 4, late=late, resume=True).run()
    assert len(second.states) == 2
    assert equal_states(second.pretext.state_dict(), whole.pretext.state_dict())
    assert equal_states(second.average.state_dict(), whole.average.state_dict())
    assert int(second.average.state_dict()["n_averaged"]) == 4
    assert not equal_states(whole.average.module.state_dict(), whole.pretext.state_dict())
    saved = torch.load(tmp_path / "parts" / "resume.pt", weights_only=True)
    assert equal_states(saved["average"], whole.average.state_dict())


def test_without_a_decay_there_is_no_copy_and_nothing_to_do():
    network = toy_network()
    average = EMA(network, None)
    engine = Engine(lambda engine, batch: None)
    average.attach(engine)
    assert average.module is network
    assert average.average is None
    assert average.state_dict() == {}
    assert not any(engine.has_event_handler(average._update, event) for event in Events)
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [True] * 4 + [False] * 2


def test_a_resume_without_a_decay_works_and_holds_no_copy(start, tmp_path):
    start("run", 1, decay=None).run()
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["average"] == {}
    run = start("run", 2, decay=None, resume=True).run()
    assert run.average.module is run.pretext


def test_switching_the_average_on_at_a_resume_starts_it_anew_and_says_so(start, caplog):
    start("run", 1, decay=None).run()
    run = start("run", 3, resume=True).run()
    assert "did not average its weights: the average starts at the next step" in caplog.text
    assert len(run.states) == 2
    expected = slow_average(run.states, 0.7)
    for key, value in parameters(run.average.module).items():
        torch.testing.assert_close(value, expected[key], msg=key)


def test_switching_the_average_off_at_a_resume_drops_it_and_says_so(start, caplog):
    start("run", 1).run()
    run = start("run", 2, decay=None, resume=True).run()
    assert "ema_decay is null now: its average is dropped" in caplog.text
    assert run.average.state_dict() == {}


@pytest.fixture
def one_rank(tmp_path):
    """A process group of this process alone, so that a network can be wrapped."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_the_average_holds_the_unwrapped_network_of_a_wrapped_one(start, one_rank):
    plain_keys = list(start("plain", 1).pretext.state_dict())
    run = start("run", 3, ddp=True).run()
    assert isinstance(run.trainer.network, nn.parallel.DistributedDataParallel)
    assert list(run.average.module.state_dict()) == plain_keys
    assert isinstance(run.average.module, HybridMIM)
    expected = slow_average(run.states, 0.7)
    assert len(run.states) == 3
    for key, value in parameters(run.average.module).items():
        torch.testing.assert_close(value, expected[key], msg=key)


def test_a_copy_of_a_pretext_network_reads_its_own_network(make_network, network_name):
    pretext = HybridMIM(make_network(network_name), 16, 32, terms=list(WEIGHTS))
    average = EMA(pretext, 0.9)
    for copied in (average.module, copy.deepcopy(pretext)):
        assert copied.network is copied.backbone.net
        assert copied.network is not pretext.network
        ours = {p.data_ptr() for p in pretext.parameters()}
        assert not ours & {p.data_ptr() for p in copied.parameters()}
    image = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 4, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        for parameter in pretext.parameters():
            parameter.zero_()
        before = average.module(image, mask)["reconstruction"]
        assert before.abs().sum() > 0, "the copy does not run through the network it was made from"
        for parameter in average.module.network.parameters():
            parameter.zero_()
        assert average.module(image, mask)["reconstruction"].abs().sum() == 0


def test_the_copys_files_have_the_keys_of_the_network(start, tmp_path):
    run = start("run", 2)
    files = {"model.pt": run.average.module.network, "pretext.pt": run.average.module}
    best = BestCheckpoint(
        str(tmp_path), files, "val_loss", "min"
    )  # named before the run: the objects stay the same
    run.run()
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics = {"val_loss": 1.0}
    best(engine)
    model = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(model) == list(run.network.state_dict())
    assert equal_states(model, run.average.module.network.state_dict())
    assert not equal_states(model, run.network.state_dict())
    assert list(torch.load(tmp_path / "pretext.pt", weights_only=True)) == list(run.pretext.state_dict())


@pytest.mark.parametrize("decay", [0, 0.0, 1.0, 1, -0.1, 1.5, float("nan")])
def test_a_decay_outside_its_range_raises(decay):
    with pytest.raises(ValueError, match=f"ema_decay is {decay}; allowed: null or a number above 0 and below 1"):
        EMA(toy_network(), decay)
