import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from custom_components.losses import nt_xent
from tests.ranks import run_ranks


def views(batch, features=5, seed=0):
    return torch.randn(2, batch, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_nt_xent(view_1, view_2, ids, temperature):
    """Anchor by anchor, item by item."""
    items = [
        (z / z.norm(), i, number)
        for z_all in (view_1, view_2)
        for number, (z, i) in enumerate(zip(z_all, ids, strict=True))
    ]
    losses, negatives = [], []
    for place, (anchor, volume, number) in enumerate(items):
        positive, others = None, []
        for other_place, (item, other_volume, other_number) in enumerate(items):
            similarity = float(anchor @ item) / temperature
            if other_place != place and other_number == number:
                positive = similarity
            elif other_volume != volume:
                others.append(similarity)
        losses.append(math.log(math.exp(positive) + sum(math.exp(s) for s in others)) - positive)
        negatives.append(len(others))
    return sum(losses) / len(losses), sum(negatives) / len(negatives)


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
    seed=st.integers(0, 999),
)
def test_nt_xent_equals_a_slow_double_loop(ids, temperature, seed):
    one, two = views(len(ids), seed=seed)
    loss, negatives = nt_xent(one, two, torch.tensor(ids), temperature)
    expected, expected_negatives = slow_nt_xent(one, two, ids, temperature)
    assert loss.item() == pytest.approx(expected)
    assert negatives.item() == pytest.approx(expected_negatives)


def test_crops_of_one_volume_are_neither_positive_nor_negative():
    one, two = views(3)
    ids = torch.tensor([0, 0, 1])
    assert nt_xent(one, two, ids)[1].item() == pytest.approx((2 + 2 + 4) * 2 / 6)
    # One sum of exponentials is part of the other, so every anchor of volume 0 has less to tell apart.
    assert nt_xent(one, two, ids)[0] < nt_xent(one, two, torch.arange(3))[0]


def test_without_a_negative_the_loss_is_zero_and_keeps_the_graph():
    one, two = views(2)
    one.requires_grad_()
    loss, negatives = nt_xent(one, two, torch.tensor([7, 7]))
    loss.backward()
    assert loss.item() == 0
    assert negatives.item() == 0
    assert one.grad.abs().max() < 1e-12


def test_views_are_normalised_and_aligned_views_lower_the_loss():
    one, two = views(4)
    ids = torch.arange(4)
    loss = nt_xent(one, two, ids)[0].item()
    assert nt_xent(one * 100, two * 0.01, ids)[0].item() == pytest.approx(loss)
    assert nt_xent(one, one, ids)[0].item() < loss


def test_gradient_is_that_of_finite_differences_through_both_views():
    one, two = views(3, features=4).requires_grad_()
    ids = torch.tensor([0, 1, 1])
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, ids)[0], (one, two))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single_and_stays_finite(dtype):
    one, two = views(4).to(dtype) * 100
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = nt_xent(one, two, torch.arange(4), temperature=0.01)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, nt_xent(one.float(), two.float(), torch.arange(4), temperature=0.01)[0])


def test_wrong_input_is_named():
    one, two = views(3)
    with pytest.raises(ValueError, match=r"\(B, P\) and volume_id \(B,\), found \(3, 5\), \(3, 5\) and \(2,\)"):
        nt_xent(one, two, torch.arange(2))
    with pytest.raises(ValueError, match=r"found \(3, 5\), \(2, 5\)"):
        nt_xent(one, two[:2], torch.arange(3))
    with pytest.raises(ValueError, match="temperature is 0; allowed: a number above 0"):
        nt_xent(one, two, torch.arange(3), temperature=0)


IDS = torch.tensor([4, 9, 9, 2])


def projector():
    torch.manual_seed(0)
    return nn.Linear(5, 3).double()


def one_rank(rank, folder):
    """One of two ranks with two items each; leaves loss, negatives and DDP's averaged gradient in a file."""
    network = nn.parallel.DistributedDataParallel(projector())
    mine = slice(2 * rank, 2 * rank + 2)
    one, two = views(4)[:, mine]
    described = network(torch.cat([one, two]))
    loss, negatives = nt_xent(described[:2], described[2:], IDS[mine])
    alone = nt_xent(described[:2], described[2:], IDS[mine], gather=False)[0].detach()
    loss.backward()
    found = (loss.detach(), negatives, alone, network.module.weight.grad)
    torch.save(found, folder / f"{rank}.pt")


@pytest.mark.slow
def test_two_ranks_of_two_equal_one_rank_of_four(tmp_path):
    run_ranks(one_rank, tmp_path)
    network = projector()
    one, two = views(4)
    loss, negatives = nt_xent(network(one), network(two), IDS)
    loss.backward()
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / 2, loss.detach())
    torch.testing.assert_close((ranks[0][1] + ranks[1][1]) / 2, negatives)
    for rank in ranks:
        torch.testing.assert_close(rank[3], network.weight.grad)
    assert network.weight.grad.abs().max() > 1e-3
    for rank, part in zip(ranks, (slice(0, 2), slice(2, 4)), strict=True):
        torch.testing.assert_close(rank[2], nt_xent(network(one[part]), network(two[part]), IDS[part])[0].detach())
