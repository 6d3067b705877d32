"""Going on exactly where a run stopped."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.handlers import ValidationHandler
from monai.transforms import Compose, RandGaussianNoised

from custom_components.engine import PretrainEvaluator, PretrainTrainer, WarmupCosine
from custom_components.handlers import BestCheckpoint, ReseedEachEpoch, ResumeCheckpoint
from custom_components.losses import CombinedLoss
from custom_components.masking import FixedPatchMaskd, MaskSampler, RandPatchMaskd
from custom_components.metrics import term_metrics
from custom_components.pretext import HybridMIM
from tests.handlers.states import equal_states

WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}


class Run:
    """A whole pretraining in small: random noise, masks, windows and dropout, shuffled, with a schedule."""

    def __init__(self, make_network, samples, folder, epochs, workers=0, resume=False, schedule_epochs=4):
        self.past = 100 * epochs + resume
        self.network = make_network("BasicUNet")
        self.pretext = HybridMIM(
            self.network, 8, 16, terms=list(WEIGHTS), window_size=16, contrast_features=8, fill="noise"
        )
        keep = ("image", "valid", "volume_id")
        data = [{key: sample[key] for key in keep} for sample in samples]
        noise = RandGaussianNoised("image", prob=0.5)
        sampler = MaskSampler("two_level", 0.4, 8, region_size=16, region_ratio=0.6)
        mask = RandPatchMaskd("image", sampler)
        self.loader = DataLoader(
            Dataset(data, Compose([noise, mask])), batch_size=2, shuffle=True, drop_last=True, num_workers=workers
        )
        self.optimizer = torch.optim.AdamW(self.pretext.parameters(), 0.01)
        self.schedule = WarmupCosine(self.optimizer, 2, schedule_epochs * len(self.loader))
        fixed = FixedPatchMaskd("image", sampler)
        metrics = term_metrics(["loss"])
        self.best = BestCheckpoint(
            str(folder), {"model.pt": self.network, "pretext.pt": self.pretext}, "val_loss", mode="min"
        )
        self.evaluator = PretrainEvaluator(
            device="cpu",
            val_data_loader=DataLoader(Dataset(data[:2], fixed), batch_size=1),
            network=self.pretext,
            loss_function=CombinedLoss(WEIGHTS),
            key_val_metric=metrics,
            val_handlers=[self.best],
        )
        self.trainer = PretrainTrainer(
            device="cpu",
            max_epochs=epochs,
            train_data_loader=self.loader,
            network=self.pretext,
            optimizer=self.optimizer,
            loss_function=CombinedLoss(WEIGHTS),
            grad_clip=1.0,
            train_handlers=[ReseedEachEpoch(7, self.loader), ValidationHandler(1, self.evaluator)],
        )
        self.losses, self.rates, self.metrics = [], [], []
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self.after_step)
        self.evaluator.add_event_handler(
            Events.COMPLETED, lambda: self.metrics.append(self.evaluator.state.metrics["val_loss"])
        )
        objects = {
            "pretext": self.pretext,
            "optimizer": self.optimizer,
            "lr_scheduler": self.schedule,
            "best": self.best,
        }
        ResumeCheckpoint(str(folder / "resume.pt"), objects, resume).attach(self.trainer)

    def after_step(self, engine):
        self.losses.append((engine.state.iteration, dict(engine.state.output)))
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.schedule.step()

    def run(self):
        torch.manual_seed(self.past)  # what came before the run must not matter
        self.trainer.run()
        return self


@pytest.fixture
def start(make_network, make_samples, tmp_path):
    def start(name, epochs, **kwargs):
        return Run(make_network, make_samples(5), tmp_path / name, epochs, **kwargs)

    return start


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_two_and_two_epochs_equal_four(start, tmp_path, workers):
    whole = start("whole", 4, workers=workers).run()
    first = start("parts", 2, workers=workers).run()
    second = start("parts", 4, workers=workers, resume=True).run()
    assert len(whole.losses) == 8
    assert [iteration for iteration, _ in second.losses] == [5, 6, 7, 8]
    assert first.losses + second.losses == whole.losses
    assert first.rates + second.rates == whole.rates
    assert first.metrics + second.metrics == whole.metrics
    assert equal_states(second.pretext.state_dict(), whole.pretext.state_dict())
    assert second.best.state_dict() == whole.best.state_dict()
    for name in ("model.pt", "pretext.pt"):
        one, two = (torch.load(tmp_path / folder / name, weights_only=True) for folder in ("whole", "parts"))
        assert equal_states(one, two)
    for state in ("exp_avg", "exp_avg_sq"):
        moments = [
            {str(key): value[state] for key, value in run.optimizer.state_dict()["state"].items()}
            for run in (whole, second)
        ]
        assert equal_states(*moments)


def test_epochs_draw_different_things(start):
    run = start("run", 2, schedule_epochs=10)
    for group in run.optimizer.param_groups:
        group["lr"] = 0.0
    run.schedule.base_lrs = [0.0]
    run.run()
    losses = [output["loss"] for _, output in run.losses]
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_repeats_itself_whatever_came_before_it(start, workers):
    one, two = start("one", 1, workers=workers), start("two", 1, workers=workers)
    two.past = 12345
    assert one.run().losses == two.run().losses


@pytest.mark.slow
def test_the_best_value_is_remembered_over_a_resume(start, tmp_path):
    first = start("run", 2).run()
    saved = (tmp_path / "run" / "model.pt").read_bytes()
    content = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    content["best"] = {"best": -1e9, "best_epoch": 1}
    torch.save(content, tmp_path / "run" / "resume.pt")
    second = start("run", 4, resume=True).run()
    assert (second.best.best, second.best.best_epoch) == (-1e9, 1)
    assert (tmp_path / "run" / "model.pt").read_bytes() == saved
    assert first.best.best is not None


@pytest.mark.slow
def test_more_epochs_follow_the_schedule_of_the_new_config(start):
    start("run", 2, schedule_epochs=2).run()
    longer = start("run", 4, schedule_epochs=4, resume=True).run()
    fresh = start("fresh", 4, schedule_epochs=4)
    assert longer.rates == pytest.approx([0.01 * fresh.schedule.factor(step) for step in (4, 5, 6, 7)])
    assert longer.rates[0] > 0.005  # the two-epoch schedule had ended at zero here


def test_the_resume_file_is_unwrapped_and_loads_as_tensors(start, tmp_path):
    run = start("run", 1).run()
    content = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert set(content) == {"pretext", "optimizer", "lr_scheduler", "best", "trainer", "settings", "scaler"}
    assert set(content["pretext"]) == set(run.pretext.state_dict())
    assert content["trainer"] == {"epoch": 1, "iteration": 2, "epoch_length": 2}
    assert content["lr_scheduler"] == {"last_epoch": 2}
