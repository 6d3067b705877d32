"""Each layout is recognised by its keys, and our own files by none of them."""

from __future__ import annotations

import pytest

from custom_components.pretext import MAE, DenseMAE, HybridMIM, SimCLR, SimMIM
from custom_components.transfer.foreign import layout_of
from custom_components.transfer.layouts import LAYOUTS, NAMES
from custom_components.transfer.read import strip_prefixes


def test_names_are_unique_and_the_first_is_that_of_our_own_files() -> None:
    assert len(set(NAMES)) == len(LAYOUTS)
    assert NAMES[0] == "plain"
    assert [layout.name for layout in LAYOUTS if layout.stated_only] == ["plain", "plain_monai09"]


@pytest.mark.parametrize("make", [HybridMIM, SimCLR, DenseMAE])
def test_a_pretext_file_of_ours_has_no_foreign_layout(make_network, network_name, make) -> None:
    if make is DenseMAE and network_name not in ("BasicUNet", "SegResNet"):
        pytest.skip("another class")
    keys = make(make_network(network_name)).state_dict()
    assert layout_of(strip_prefixes(keys), "pretext.pt").name == "plain"


@pytest.mark.parametrize(("make", "name"), [(MAE, "UNETR"), (SimMIM, "UNETR"), (SimMIM, "SwinUNETR")])
def test_the_pretext_files_of_transformers_have_no_foreign_layout(make_network, make, name) -> None:
    keys = make(make_network(name), patch_size=(32, 32, 32)).state_dict()
    assert layout_of(strip_prefixes(keys), "pretext.pt").name == "plain"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ([], "plain"),
        (["encoder.conv.weight"], "plain"),
        (["my.down_tr64.weight", "my.eva.weight"], "plain"),  # parts of keys, not their beginnings
        (["patch_embed.proj.weight", "layers1.0.blocks.0.mlp.fc1.weight"], "swinvit_monai09"),
        (["backbone.conv.weight"], "plain"),
        (["backbone.conv.weight", "GAP.0.weight"], "suprem"),
        (["backbone.swinViT.norm", "teacher.layer1.0.weight"], "voco"),
        (["teacher.swinViT.norm"], "voco_teacher"),
    ],
)
def test_the_names_of_keys_show_the_layout(keys, name) -> None:
    assert layout_of(keys, "model.pt").name == name
