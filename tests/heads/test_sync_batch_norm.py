"""Batch norm over ranks: what one process computes on the whole batch, its gradient and its running statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from custom_components.heads.sync_batch_norm import SyncBatchNorm1d
from tests.ranks import run_ranks

RANKS, ROWS, FEATURES = 3, 3, 5


def network(norm):
    """Two layers with the norm between, away from the values it starts at."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, FEATURES), norm(FEATURES), nn.Linear(FEATURES, 2))
    with torch.no_grad():
        layers[1].weight.uniform_(0.5, 1.5)
        layers[1].bias.uniform_(-1, 1)
    return layers.double()


def batch(ranks=RANKS):
    """Rows whose mean and spread differ from rank to rank."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(ranks * ROWS, 4, generator=generator, dtype=torch.float64)
    return rows * torch.arange(1, ranks * ROWS + 1)[:, None] + torch.arange(ranks).repeat_interleave(ROWS)[:, None]


def one_rank(rank, folder):
    model = network(SyncBatchNorm1d)
    wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    rows = batch()[rank * ROWS : (rank + 1) * ROWS].requires_grad_()
    for _ in range(2):
        found = wrapped(rows)
    found.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    torch.save((found.detach(), rows.grad / RANKS, gradients, dict(model.named_buffers())), folder / f"{rank}.pt")
    norm = SyncBatchNorm1d(FEATURES)
    half = norm((torch.randn(4, FEATURES) + 100).bfloat16())
    torch.save((half.dtype, half.float().mean().item(), norm.running_mean.dtype), folder / f"half{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What each of three ranks left."""
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(one_rank, folder, ranks=RANKS)
    return folder


@pytest.mark.slow
def test_ranks_together_equal_one_process(folder):
    model, rows = network(nn.BatchNorm1d), batch().requires_grad_()
    for _ in range(2):
        expected = model(rows)
    expected.square().mean().backward()
    found = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]
    torch.testing.assert_close(torch.cat([each[0] for each in found]), expected.detach())
    torch.testing.assert_close(torch.cat([each[1] for each in found]), rows.grad)
    for each in found:
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(each[2][name], parameter.grad)
        for name, buffer in model.named_buffers():
            torch.testing.assert_close(each[3][name], buffer)
    whole, own = expected[:ROWS].detach(), network(nn.BatchNorm1d)(batch()[:ROWS]).detach()
    assert not torch.allclose(whole, own)  # a rank's own statistics would not do


@pytest.mark.parametrize("training", [True, False])
def test_alone_it_is_torch_s_own(training):
    ours, theirs = (network(norm).train(training) for norm in (SyncBatchNorm1d, nn.BatchNorm1d))
    assert torch.equal(ours(batch(2)), theirs(batch(2)))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.slow
def test_rows_in_bf16_are_normed_in_fp32(folder):
    dtype, mean, running = torch.load(folder / "half0.pt", weights_only=True)
    assert (dtype, running) == (torch.bfloat16, torch.float32)
    assert abs(mean) < 1.0
