import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.losses import consistency_loss, count_loss, position_loss, reconstruction_loss

SHAPE = st.tuples(st.integers(1, 3), st.sampled_from([1, 4]), *[st.integers(1, 3)] * 3)
REGIONS = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(*shape, seed=0, share=0.5):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def mean(values):
    return sum(values) / len(values) if values else 0.0


@pytest.mark.parametrize("kind", ["mse", "l1"])
@settings(max_examples=20, deadline=None)
@given(shape=SHAPE, seed=st.integers(0, 999), share=st.floats(0, 1))
def test_reconstruction_equals_a_slow_loop(kind, shape, seed, share):
    pred, target = randn(*shape, seed=seed), randn(*shape, seed=seed + 1)
    mask = some(shape[0], 1, *shape[2:], seed=seed, share=share)
    errors = []
    for b, c, d, h, w in torch.ones(shape).nonzero().tolist():
        if mask[b, 0, d, h, w]:
            apart = (pred[b, c, d, h, w] - target[b, c, d, h, w]).item()
            errors.append(apart**2 if kind == "mse" else abs(apart))
    assert reconstruction_loss(pred, target, mask, kind).item() == pytest.approx(mean(errors))


def make_regions(shape, seed, share=0.6):
    b, r, n = shape
    patch_valid = some(b, r, n, seed=seed, share=share)
    position = some(b, r, n, seed=seed + 1) & patch_valid
    return (
        randn(b, r, n + 1, seed=seed),
        randn(b, r, n, seed=seed + 2),
        position,
        patch_valid,
        patch_valid.any(dim=2),
    )


@settings(max_examples=20, deadline=None)
@given(shape=REGIONS, seed=st.integers(0, 999), share=st.floats(0, 1))
def test_region_terms_equal_slow_loops(shape, seed, share):
    counts, positions, position, patch_valid, region_valid = make_regions(shape, seed, share)
    n = shape[2]
    by_count, by_position, by_consistency = [], [], []
    for b in range(shape[0]):
        for r in range(shape[1]):
            if not region_valid[b, r]:
                continue
            powers = [math.exp(x) for x in counts[b, r].tolist()]
            p = [x / sum(powers) for x in powers]
            by_count.append(-math.log(p[int(position[b, r].sum())]))
            placed = 0.0
            for i in range(n):
                if patch_valid[b, r, i]:
                    q = 1 / (1 + math.exp(-positions[b, r, i].item()))
                    by_position.append(-math.log(q if position[b, r, i] else 1 - q))
                    placed += q
            by_consistency.append((sum(k * x for k, x in enumerate(p)) - placed) ** 2 / n**2)
    target = position.sum(dim=2)
    assert count_loss(counts, target, region_valid).item() == pytest.approx(mean(by_count))
    assert position_loss(positions, position, patch_valid).item() == pytest.approx(mean(by_position))
    consistency = consistency_loss(counts, positions, region_valid, patch_valid)
    assert consistency.item() == pytest.approx(mean(by_consistency))


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_scale_is_free_of_the_ratio_and_of_the_channels(kind):
    values = []
    for channels in (1, 4):
        for masked in (1, 7, 20, 64):
            mask = torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool)
            mask.view(2, -1)[:, :masked] = True
            pred = torch.full((2, channels, 4, 4, 4), 3.0)
            values.append(reconstruction_loss(pred, torch.ones_like(pred), mask, kind).item())
    assert values == pytest.approx([4.0 if kind == "mse" else 2.0] * 8)


def test_scale_of_region_terms_is_free_of_how_much_is_valid():
    for valid in (1, 3, 6):
        patch_valid = torch.zeros(1, 6, 8, dtype=torch.bool)
        patch_valid[:, :valid] = True
        region_valid = patch_valid.any(dim=2)
        counts, positions = torch.zeros(1, 6, 9), torch.zeros(1, 6, 8)
        assert count_loss(counts, torch.zeros(1, 6).long(), region_valid).item() == pytest.approx(math.log(9))
        assert position_loss(positions, patch_valid, patch_valid).item() == pytest.approx(math.log(2))
        assert consistency_loss(counts, positions + 40, region_valid, patch_valid).item() == pytest.approx(0.25)


def check_zero_with_graph(loss, *leaves):
    assert loss.item() == 0
    loss.backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()


def test_nothing_to_average_gives_a_zero_that_keeps_the_graph():
    pred = randn(2, 4, 2, 2, 2).requires_grad_()
    check_zero_with_graph(reconstruction_loss(pred, pred.detach() + 1, torch.zeros(2, 1, 2, 2, 2).bool()), pred)
    counts, positions = randn(2, 3, 9).requires_grad_(), randn(2, 3, 8).requires_grad_()
    regions, patches = torch.zeros(2, 3).bool(), torch.zeros(2, 3, 8).bool()
    check_zero_with_graph(count_loss(counts, torch.zeros(2, 3).long(), regions), counts)
    check_zero_with_graph(position_loss(positions, patches, patches), positions)
    counts.grad = positions.grad = None
    check_zero_with_graph(consistency_loss(counts, positions, regions, patches), counts, positions)


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_visible_voxels_reach_neither_value_nor_gradient(kind):
    mask = some(1, 1, 3, 3, 3)
    pred, target = randn(1, 2, 3, 3, 3), randn(1, 2, 3, 3, 3, seed=1)
    expected = reconstruction_loss(pred, target, mask, kind)
    masked = mask.expand_as(pred)
    spoilt = torch.where(masked, pred, torch.full_like(pred, float("nan"))).requires_grad_()
    loss = reconstruction_loss(spoilt, target, mask, kind)
    loss.backward()
    assert loss.item() == expected.item()
    assert (spoilt.grad[~masked] == 0).all()
    assert (spoilt.grad[masked] != 0).all()


def test_consistency_reaches_both_heads():
    counts, positions, _, patch_valid, region_valid = make_regions((1, 2, 4), 0, share=1.0)
    counts.requires_grad_(), positions.requires_grad_()
    consistency_loss(counts, positions, region_valid, patch_valid).backward()
    assert counts.grad.abs().sum() > 0
    assert positions.grad.abs().sum() > 0


def test_sums_are_in_single_precision_under_autocast():
    pred = torch.full((1, 1, 48, 48, 48), 1.5, dtype=torch.bfloat16)
    mask = torch.ones(1, 1, 48, 48, 48, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = reconstruction_loss(pred, torch.zeros(1, 1, 48, 48, 48), mask)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2.25, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, m: reconstruction_loss(t, t, m, "huber"),
            "kind is 'huber'; allowed: mse, l1",
        ),
        (
            lambda t, m: reconstruction_loss(t, t[:, :1], m),
            r"target has shape \(2, 1, 2, 2, 2\); the prediction needs \(2, 4, 2, 2, 2\)",
        ),
        (
            lambda t, m: reconstruction_loss(t, t, m.expand(2, 4, 2, 2, 2)),
            r"mask has shape \(2, 4, 2, 2, 2\); the prediction needs \(2, 1, 2, 2, 2\)",
        ),
        (lambda t, m: reconstruction_loss(t, t, m.float()), "mask is torch.float32; allowed: torch.bool"),
        (
            lambda t, m: count_loss(torch.zeros(2, 3, 9), torch.zeros(2, 4).long(), torch.ones(2, 3).bool()),
            r"target has shape \(2, 4\); the prediction needs \(2, 3\)",
        ),
        (
            lambda t, m: position_loss(torch.zeros(2, 3, 8), torch.zeros(2, 3, 8), torch.ones(2, 3, 8)),
            "patch_valid is torch.float32; allowed: torch.bool",
        ),
        (
            lambda t, m: consistency_loss(
                torch.zeros(2, 3, 8),
                torch.zeros(2, 3, 8),
                torch.ones(2, 3).bool(),
                torch.ones(2, 3, 8).bool(),
            ),
            r"count_logits has shape \(2, 3, 8\); the prediction needs \(2, 3, 9\)",
        ),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 4, 2, 2, 2), torch.ones(2, 1, 2, 2, 2, dtype=torch.bool))
