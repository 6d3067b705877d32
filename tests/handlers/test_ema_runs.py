"""The average in a real pretraining: accumulated gradients, resuming, a wrapped network, and saved files."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from torch import nn

from custom_components.engine import PretrainTrainer
from custom_components.handlers import EMA, BestCheckpoint, ReseedEachEpoch, ResumeCheckpoint
from custom_components.losses import CombinedLoss
from custom_components.masking import MaskSampler, RandPatchMaskd
from custom_components.pretext import HybridMIM
from tests.handlers.states import assert_averages, equal_states, parameters

WEIGHTS = {"reconstruction": 1.0, "count": 0.1}
SIZES = {"patch_size": 8, "region_size": 16}


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


def test_a_real_trainers_steps_are_averaged_and_leave_the_training_as_it_was(start):
    run, plain = start("run", 5).run(), start("plain", 5, decay=None).run()
    assert len(run.states) == 5
    assert_averages(run.average.module, run.states, 0.7)
    assert equal_states(run.pretext.state_dict(), plain.pretext.state_dict())
    assert not any(p.requires_grad for p in run.average.module.parameters())
    assert not run.average.module.training


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "accumulate"), [(5, 2), (4, 2), (3, 5)])
def test_with_accumulated_gradients_the_average_follows_the_optimizers_steps(start, samples, accumulate):
    run = start("run", 2, samples=samples, accumulate=accumulate).run()
    assert len(run.states) == 2 * -(-samples // accumulate)
    assert int(run.average.state_dict()["n_averaged"]) == len(run.states)
    assert_averages(run.average.module, run.states, 0.7)


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
    assert_averages(run.average.module, run.states, 0.7)


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
    assert len(run.states) == 3
    assert_averages(run.average.module, run.states, 0.7)


def test_the_copys_files_have_the_keys_of_the_network(start, tmp_path):
    run = start("run", 2)
    files = {"model.pt": run.average.module.network, "pretext.pt": run.average.module}
    best = BestCheckpoint(str(tmp_path), files, "val_loss", "min")  # named before: the objects stay the same
    run.run()
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics = {"val_loss": 1.0}
    best(engine)
    model = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(model) == list(run.network.state_dict())
    assert equal_states(model, run.average.module.network.state_dict())
    assert not equal_states(model, run.network.state_dict())
    assert list(torch.load(tmp_path / "pretext.pt", weights_only=True)) == list(run.pretext.state_dict())
