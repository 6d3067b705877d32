import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.masking import region_targets
from custom_components.masking.regions import group_regions, ungroup_regions

TRIPLES = st.tuples(*[st.integers(1, 3)] * 3)


def slow_group(grid, region):
    """Regions in C order, patches in C order inside each: six loops, one patch at a time."""
    (gd, gh, gw), (rd, rh, rw) = grid.shape, region
    out = []
    for d in range(gd // rd):
        for h in range(gh // rh):
            for w in range(gw // rw):
                patches = []
                for i in range(rd):
                    for j in range(rh):
                        for k in range(rw):
                            patches.append(grid[d * rd + i, h * rh + j, w * rw + k].item())
                out.append(patches)
    return out


@settings(max_examples=25, deadline=None)
@given(regions=TRIPLES, region=TRIPLES, batch=st.integers(1, 3), seed=st.integers(0, 999))
def test_region_targets_equal_a_slow_loop(regions, region, batch, seed):
    shape = (batch, 1, *(a * b for a, b in zip(regions, region, strict=True)))
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < 0.5
    valid = torch.rand(shape, generator=generator) < 0.6
    targets = region_targets(mask, valid, region)
    for b in range(batch):
        masked, usable = slow_group(mask[b, 0], region), slow_group(valid[b, 0], region)
        for r, (ms, vs) in enumerate(zip(masked, usable, strict=True)):
            position = [m and v for m, v in zip(ms, vs, strict=True)]
            assert targets.position[b, r].tolist() == position
            assert targets.patch_valid[b, r].tolist() == vs
            assert targets.count[b, r].item() == sum(position)
            assert targets.region_valid[b, r].item() == any(vs)
    assert targets.count.dtype == torch.long
    assert {t.dtype for t in targets[1:]} == {torch.bool}


def test_a_region_is_a_cube_and_not_a_run_of_the_raster():
    mask = torch.zeros(1, 1, 4, 4, 4, dtype=torch.bool)
    mask[0, 0, 2:, :2, 2:] = True  # the cube of region (1, 0, 1)
    targets = region_targets(mask, torch.ones_like(mask), 2)
    assert targets.count.tolist() == [[0, 0, 0, 0, 0, 8, 0, 0]]
    raster = mask.reshape(1, 8, 8).sum(dim=2)  # what consecutive runs would have counted
    assert raster.tolist() != targets.count.tolist()


@pytest.mark.parametrize("region", [1, 2, (2, 1, 3), (4, 2, 6)])
def test_ungrouping_undoes_grouping(region):
    grid = torch.arange(2 * 4 * 2 * 6).reshape(2, 1, 4, 2, 6)
    assert torch.equal(ungroup_regions(group_regions(grid, region), (4, 2, 6), region), grid)


def test_grouping_keeps_the_dtype():
    assert group_regions(torch.rand(1, 1, 2, 2, 2), 2).dtype == torch.float32


def test_shapes_that_differ_are_both_named():
    with pytest.raises(ValueError, match=r"mask \(1, 1, 2, 2, 2\) and valid_grid \(1, 1, 2, 2, 4\)"):
        region_targets(torch.zeros(1, 1, 2, 2, 2).bool(), torch.zeros(1, 1, 2, 2, 4).bool(), 2)


def test_a_grid_that_is_no_multiple_of_the_region_raises():
    with pytest.raises(ValueError, match=r"grid of patches \(2, 3, 2\) is not a multiple of the region"):
        group_regions(torch.zeros(1, 1, 2, 3, 2), 2)
