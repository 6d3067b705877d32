"""What a resume point refuses, and that no failure takes the earlier file."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.atomic import save_tensors
from custom_components.faults import Fault
from custom_components.handlers import ResumeCheckpoint


def toy_engine(epochs=3, length=2):
    engine = Engine(lambda engine, batch: batch)
    engine.run_epochs = lambda: engine.run([0] * length, max_epochs=epochs)
    return engine


def test_nothing_to_resume_raises_before_the_first_step_and_names_the_file(tmp_path):
    engine, steps = toy_engine(), []
    engine.add_event_handler(Events.ITERATION_STARTED, lambda: steps.append(1))
    ResumeCheckpoint(str(tmp_path / "resume.pt"), {}, resume=True).attach(engine)
    with pytest.raises(ValueError, match=r"resume file .*resume.pt does not exist"):
        engine.run_epochs()
    assert not steps


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_a_damaged_file_raises_and_stays_as_it_was(tmp_path, share):
    path, engine, objects = tmp_path / "resume.pt", toy_engine(), {"network": torch.nn.Linear(64, 64)}
    ResumeCheckpoint(str(path), objects).save(engine)
    content = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(content)
    ResumeCheckpoint(str(path), objects, resume=True).attach(engine)
    with pytest.raises(ValueError, match=r"resume file .*resume.pt (is empty|cannot be read as tensors)"):
        engine.run_epochs()
    assert path.read_bytes() == content


def test_a_file_of_other_objects_raises_and_names_both(tmp_path):
    path, engine = tmp_path / "resume.pt", toy_engine()
    layer = torch.nn.Linear(2, 2)
    ResumeCheckpoint(str(path), {"network": layer}).save(engine)
    ResumeCheckpoint(str(path), {"network": layer, "optimizer": None}, resume=True).attach(engine)
    with pytest.raises(
        ValueError, match=r"holds \['network', 'settings', 'trainer'\]; .* also needs \['optimizer'\]"
    ):
        engine.run_epochs()


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_is_already_at_its_end_raises(tmp_path, epochs):
    path = tmp_path / "resume.pt"
    first = toy_engine(2)
    ResumeCheckpoint(str(path), {}).attach(first)
    first.run_epochs()
    second = toy_engine(epochs)
    ResumeCheckpoint(str(path), {}, resume=True).attach(second)
    with pytest.raises(ValueError, match=f"is at epoch 2 and epochs is {epochs}; raise epochs"):
        second.run_epochs()


def test_another_epoch_length_warns_and_goes_on_from_the_start_of_an_epoch(tmp_path, caplog):
    path = tmp_path / "resume.pt"
    first = toy_engine(2, length=3)
    ResumeCheckpoint(str(path), {}).attach(first)
    first.run_epochs()
    second, iterations = toy_engine(3, length=5), []
    second.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: iterations.append(engine.state.iteration))
    ResumeCheckpoint(str(path), {}, resume=True).attach(second)
    second.run_epochs()
    assert "an epoch had 3 iterations and now has 5" in caplog.text
    assert iterations == [11, 12, 13, 14, 15]


def test_only_rank_zero_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    engine = toy_engine(1)
    ResumeCheckpoint(str(tmp_path / "resume.pt"), {}).save(engine)
    assert not (tmp_path / "resume.pt").exists()


def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "resume.pt"
    save_tensors(path, {"a": torch.ones(3)})
    before = path.read_bytes()

    def broken(content, target):
        target.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(path, {"a": torch.zeros(3)})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["resume.pt"]


@pytest.mark.parametrize("moment", [False, True], ids=["weights", "moments of the optimizer"])
def test_a_state_that_is_not_finite_keeps_the_file_of_the_epoch_before(tmp_path, moment):
    path, engine, layer = tmp_path / "resume.pt", toy_engine(1), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = ResumeCheckpoint(str(path), {"network": layer, "optimizer": optimizer})
    checkpoint.save(engine)
    before = path.read_bytes()
    with torch.no_grad():
        (optimizer.state[layer.bias]["exp_avg"] if moment else layer.bias)[0] = float("inf")
    name = "optimizer.state.1.exp_avg" if moment else "network.bias"
    with pytest.raises(Fault, match=rf"resume.pt keeps its earlier content: after epoch 0 {name} holds NaN"):
        checkpoint.save(engine)
    assert path.read_bytes() == before


def test_a_full_disk_keeps_the_file_of_the_epoch_before(tmp_path, fill_disk):
    path, engine = tmp_path / "resume.pt", toy_engine(2)
    checkpoint = ResumeCheckpoint(str(path), {"network": torch.nn.Linear(2, 2)})
    checkpoint.save(engine)
    before = path.read_bytes()
    fill_disk("resume.pt")
    with pytest.raises(Fault, match="resume.pt cannot be written: No space left on device .* is unchanged"):
        checkpoint.save(engine)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["resume.pt"]
