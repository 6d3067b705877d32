import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.heads import MaskCountHead, MaskPositionHead, region_pool

TRIPLES = st.tuples(*[st.integers(1, 3)] * 3)


@settings(max_examples=20, deadline=None)
@given(regions=TRIPLES, cells=TRIPLES, batch=st.integers(1, 2))
def test_region_pool_equals_a_slow_loop(regions, cells, batch):
    shape = tuple(r * c for r, c in zip(regions, cells, strict=True))
    bottleneck = torch.randn(batch, 4, *shape, generator=torch.Generator().manual_seed(0))
    pooled = region_pool(bottleneck, cells)
    assert pooled.shape == (batch, regions[0] * regions[1] * regions[2], 4)
    number = 0
    for d in range(0, shape[0], cells[0]):
        for h in range(0, shape[1], cells[1]):
            for w in range(0, shape[2], cells[2]):
                cube = bottleneck[:, :, d : d + cells[0], h : h + cells[1], w : w + cells[2]]
                torch.testing.assert_close(pooled[:, number], cube.mean(dim=(2, 3, 4)))
                number += 1


def test_the_gradient_of_a_region_stays_under_its_cube():
    bottleneck = torch.zeros(1, 2, 4, 2, 6, requires_grad=True)
    region_pool(bottleneck, (2, 2, 2))[0, 4].sum().backward()  # region (1, 0, 1) of a 2×1×3 grid
    expected = torch.zeros(1, 2, 4, 2, 6)
    expected[:, :, 2:, :, 2:4] = 1 / 8
    assert torch.equal(bottleneck.grad, expected)


@pytest.mark.parametrize("cells", [(2, 2, 2), (0, 1, 1), (1, 1)])
def test_a_bottleneck_that_is_no_multiple_names_both(cells):
    with pytest.raises(ValueError, match=r"bottleneck of \(3, 2, 2\) cells is not a multiple of a region of \("):
        region_pool(torch.zeros(1, 2, 3, 2, 2), cells)


@pytest.mark.parametrize("patches", [1, 8, 64])
def test_heads_give_one_class_per_count_and_one_logit_per_patch(patches):
    regions = torch.randn(2, 5, 6)
    assert MaskCountHead(6, patches)(regions).shape == (2, 5, patches + 1)
    assert MaskPositionHead(6, patches)(regions).shape == (2, 5, patches)


@pytest.mark.parametrize("head", [MaskCountHead, MaskPositionHead])
def test_each_region_is_read_on_its_own(head):
    torch.manual_seed(0)
    module, regions = head(6, 8), torch.randn(2, 5, 6)
    changed = regions.clone()
    changed[1, 3] += 1
    differs = (module(regions) != module(changed)).any(dim=-1)
    assert differs.nonzero().tolist() == [[1, 3]]


def test_region_pool_leaves_padded_cells_out_as_a_slow_loop_does():
    torch.manual_seed(0)
    cells, bottleneck = (2, 1, 3), torch.randn(2, 5, 4, 3, 6)
    valid = torch.rand(2, 1, 4, 3, 6) < 0.5
    valid[0, :, :2, 0, :3] = False
    pooled = region_pool(bottleneck, cells, valid)
    number = 0
    for d in range(0, 4, 2):
        for h in range(3):
            for w in range(0, 6, 3):
                for sample in range(2):
                    found = [
                        bottleneck[sample, :, i, h, k]
                        for i in range(d, d + 2)
                        for k in range(w, w + 3)
                        if valid[sample, 0, i, h, k]
                    ]
                    expected = torch.stack(found).mean(0) if found else torch.zeros(5)
                    torch.testing.assert_close(pooled[sample, number], expected)
                number += 1
