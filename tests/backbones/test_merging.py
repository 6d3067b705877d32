"""The octants of each patch merging, in the order in which the module itself reads them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2
from torch import nn

from custom_components.backbones import PatchMergingMonai09, PatchMergingSuPreM
from custom_components.backbones.merging import octants_of
from mim3d.catalog import NETWORKS

ALL = [PatchMerging, PatchMergingV2, PatchMergingMonai09, PatchMergingSuPreM]


@pytest.mark.parametrize("kind", ALL)
def test_the_stated_octants_are_those_that_the_module_reads(kind):
    merging = kind(1)
    merging.norm, merging.reduction = nn.Identity(), nn.Identity()
    block = torch.empty(1, 2, 2, 2, 1)
    for i, j, k in product((0, 1), repeat=3):
        block[0, i, j, k, 0] = 100 * i + 10 * j + k
    read = [f"{int(value):03}" for value in merging(block).flatten()]
    assert read == ["".join(map(str, octant)) for octant in octants_of(merging)]
    assert octants_of(kind) == octants_of(merging)


def test_what_the_published_code_read():
    """MONAI 0.9.0 to 1.4.0, monai/networks/nets/swin_unetr.py; SuPreM, model/SwinUNETR.py."""
    names = [["".join(map(str, octant)) for octant in octants_of(kind)] for kind in ALL[2:]]
    assert names[0] == ["000", "100", "010", "001", "101", "010", "001", "111"]
    assert names[1] == ["000", "100", "010", "001", "101", "110", "101", "111"]


@pytest.mark.parametrize("kind", ALL[2:])
def test_odd_sides_are_padded_with_zeros_at_their_end(kind):
    merging, generator = kind(3), torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 4, 3, generator=generator)
    padded = torch.zeros(2, 4, 6, 4, 3)
    padded[:, :3, :5, :4] = x
    assert merging(x).shape == (2, 2, 3, 2, 6)
    torch.testing.assert_close(merging(x), merging(padded))


def test_an_unknown_module_has_no_stated_octants():
    class Other(PatchMergingV2):
        pass

    assert octants_of(Other(1)) is None


@pytest.mark.parametrize("kind", ALL[2:])
def test_swin_unetr_takes_the_class_and_has_the_same_keys(kind):
    plain = SwinUNETR(1, 2, **NETWORKS["swin_unetr"].tiny)
    network = SwinUNETR(1, 2, downsample=kind, **NETWORKS["swin_unetr"].tiny)
    assert plain.state_dict().keys() == network.state_dict().keys()
    network.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(network.eval()(image), plain.eval()(image))
