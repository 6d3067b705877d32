"""What an epoch draws depends on seed, rank and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.transforms import Randomizable, Transform

from custom_components.handlers import ReseedEachEpoch


class Draw(Randomizable, Transform):
    """The item and a number from the transform's own generator."""

    def __call__(self, data):
        return data, float(self.R.rand())


def epochs_of(seed, workers=0, first=0, last=3, length=None):
    """Per epoch: the order of the items, the transform's, torch's and numpy's draws."""
    loader = DataLoader(Dataset(list(range(8)), Draw()), batch_size=4, shuffle=True, num_workers=workers)
    found: dict[int, list] = {}

    def step(engine, batch):
        items, draws = batch
        found.setdefault(engine.state.epoch, []).append(
            (items.tolist(), draws.tolist(), float(torch.rand(())), float(np.random.rand()))  # noqa: NPY002
        )

    engine = Engine(step)
    ReseedEachEpoch(seed, loader).attach(engine)

    @engine.on(Events.STARTED)
    def resume():
        engine.state.epoch, engine.state.iteration = first, first * (length or len(loader))

    torch.manual_seed(first)  # what came before must not matter
    np.random.seed(first)  # noqa: NPY002
    engine.run(loader, max_epochs=last, epoch_length=length)
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("length", [None, 1])  # 1: each epoch leaves the loader before its end
def test_an_epoch_draws_the_same_whatever_came_before(workers, length):
    whole, resumed = epochs_of(3, workers, length=length), epochs_of(3, workers, first=1, length=length)
    assert set(whole) == {1, 2, 3}
    assert resumed == {epoch: whole[epoch] for epoch in (2, 3)}


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_and_seeds_differ_in_everything_they_draw(workers):
    one, other = epochs_of(3, workers), epochs_of(4, workers)
    streams = [one[1], one[2], one[3], other[1]]
    for part in range(4):
        drawn = [str([batch[part] for batch in stream]) for stream in streams]
        assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_item_is_seen_once_per_epoch_with_a_draw_of_its_own(workers):
    for batches in epochs_of(3, workers).values():
        assert sorted(item for batch in batches for item in batch[0]) == list(range(8))
        draws = [draw for batch in batches for draw in batch[1]]
        assert len(set(draws)) == 8


def test_ranks_draw_differently(monkeypatch):
    handler = ReseedEachEpoch(3, DataLoader(Dataset([0]), num_workers=0))
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    seeds = []
    for rank in range(4):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        seeds.append([handler.epoch_seed(epoch) for epoch in range(1, 5)])
    flat = [seed for row in seeds for seed in row]
    assert len(set(flat)) == 16
    assert all(0 <= seed < 2**32 for seed in flat)


def test_a_negative_seed_raises():
    with pytest.raises(ValueError, match="seed is -1; allowed: a whole number at least 0"):
        ReseedEachEpoch(-1, DataLoader(Dataset([0]), num_workers=0))


def test_persistent_workers_raise():
    loader = DataLoader(Dataset([0]), num_workers=1, persistent_workers=True)
    with pytest.raises(ValueError, match="persistent_workers=True"):
        ReseedEachEpoch(0, loader)
