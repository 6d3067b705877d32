"""SwinUNETR's weights in other projects' layouts: their values are in the network, or one line refuses them."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.networks.nets import SegResNet

from custom_components.backbones import PatchMergingMonai09, PatchMergingSuPreM
from custom_components.transfer import check_pretrained, load_pretrained, write_card
from tests.transfer import foreign_files as foreign
from tests.transfer.refusals import refusal

OLD = {
    "swinvit_monai09": (foreign.swinvit_2022, PatchMergingMonai09),
    "swin_simmim": (foreign.simmim, PatchMergingMonai09),
    "suprem": (foreign.suprem, PatchMergingSuPreM),
    "voco": (foreign.voco, PatchMergingMonai09),
}


def swin_features(network):
    with torch.no_grad():
        return network.eval().swinViT(foreign.IMAGE)


def assert_same_features(one, two):
    for ours, theirs in zip(swin_features(one), swin_features(two), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", OLD)
@pytest.mark.parametrize("v2", [False, True])
def test_a_swin_unetr_with_the_same_patch_merging_has_the_same_features(save_foreign, layout, v2):
    if v2 and layout == "swin_simmim":
        pytest.skip("written before SwinUNETR had use_v2")
    write, merging = OLD[layout]
    source = foreign.swin(1, downsample=merging, use_v2=v2)
    network = foreign.swin(5, seed=1, downsample=merging, use_v2=v2)
    report = load_pretrained(network, save_foreign(write(source)))
    assert report.layout == layout
    assert report.encoder_share == 1.0
    assert_same_features(network, source)
    assert all(torch.equal(network.state_dict()[key], source.state_dict()[key]) for key in report.matched)
    assert {key for key in source.state_dict() if key.startswith("swinViT.")} <= set(report.matched)


@pytest.mark.parametrize("layout", OLD)
@pytest.mark.parametrize("downsample", ["merging", "mergingv2", "other"])
def test_a_swin_unetr_with_another_patch_merging_is_refused(save_foreign, layout, downsample):
    write, merging = OLD[layout]
    other = PatchMergingSuPreM if merging is PatchMergingMonai09 else PatchMergingMonai09
    network = foreign.swin(downsample=other if downsample == "other" else downsample)
    message = refusal(network, save_foreign(write(foreign.swin(1, downsample=merging))))
    assert f"({layout}) were trained with another patch merging than this SwinUNETR has" in message
    assert f"build it with downsample custom_components.backbones.{merging.__name__}" in message


def test_the_heads_of_a_foreign_file_are_not_used(save_foreign):
    network = foreign.swin(downsample=PatchMergingMonai09)
    report = load_pretrained(network, save_foreign(foreign.swinvit_2022(foreign.swin(1))))
    heads = ("contrastive_head", "convTrans3d", "norm", "rotation_head")
    assert sorted(report.unexpected) == [f"{head}.{part}" for head in heads for part in ("bias", "weight")]
    assert all(not key.startswith("swinViT.") for key in report.missing)


def test_a_file_that_does_not_show_its_patch_merging_is_refused_until_it_is_stated(save_foreign):
    source = foreign.swin(1, downsample="merging")
    path = save_foreign(foreign.ssl_head(source))
    message = refusal(foreign.swin(), path)
    assert "fit several layouts" in message
    assert "swinvit_monai09 (model_swinvit.pt" in message
    assert "swinvit_monai15 (research-contributions" in message
    assert "Set pretrained_format (in Python: layout) to one of these names" in message
    assert "build it with downsample custom_components.backbones.PatchMergingMonai09" in refusal(
        foreign.swin(), path, layout="swinvit_monai09"
    )
    network = foreign.swin(seed=1)
    assert load_pretrained(network, path, layout="swinvit_monai15").layout == "swinvit_monai15"
    assert_same_features(network, source)


def test_an_order_that_only_differs_by_a_permutation_is_converted_exactly(save_foreign):
    source = foreign.swin(1, downsample="merging")
    network = foreign.swin(seed=1, downsample="mergingv2")
    load_pretrained(network, save_foreign(foreign.ssl_head(source)), layout="swinvit_monai15")
    assert_same_features(network, source)
    key = "swinViT.layers1.0.downsample.reduction.weight"
    assert not torch.equal(network.state_dict()[key], source.state_dict()[key])


@pytest.mark.parametrize("part", ["student", "teacher"])
def test_a_student_and_its_teacher_are_told_apart_by_name(save_foreign, part):
    networks = {
        name: foreign.swin(1, seed, downsample=PatchMergingMonai09)
        for seed, name in enumerate(("student", "teacher"))
    }
    path = save_foreign(foreign.voco_pair(**networks))
    network = foreign.swin(seed=2, downsample=PatchMergingMonai09)
    message = refusal(network, path)
    assert "voco_student (" in message
    assert "voco_teacher (" in message
    report = load_pretrained(network, path, layout=f"voco_{part}")
    assert_same_features(network, networks[part])
    assert report.encoder_share == 1.0


def test_a_file_that_holds_the_student_alone_is_recognised(save_foreign):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    path = save_foreign({"model": {f"module.student.{key}": value for key, value in source.state_dict().items()}})
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    assert load_pretrained(network, path).layout == "voco_student"
    assert_same_features(network, source)


def test_a_stated_format_is_not_overruled_by_the_keys(save_foreign):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    # as the published VoCo_B_SSL_head.pt: nothing but SwinUNETR's own names
    path = save_foreign(source.state_dict())
    assert load_pretrained(foreign.swin(seed=1), path).layout == "plain"
    assert "(voco) were trained with another patch merging" in refusal(foreign.swin(), path, layout="voco")
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    load_pretrained(network, path, layout="voco")
    assert_same_features(network, source)


def test_weights_of_swin_unetr_without_a_card_warn_that_the_merging_is_not_shown(
    save_foreign, make_network, caplog
):
    warning = "the file does not show which patch merging trained it"
    with caplog.at_level(logging.WARNING):
        report = load_pretrained(make_network("BasicUNet"), save_foreign(make_network("BasicUNet").state_dict()))
        assert report.notes == []
        assert warning not in caplog.text
        report = load_pretrained(foreign.swin(), save_foreign(foreign.swin().state_dict()))
        assert warning in caplog.text
        assert f"\n  note: {warning}" in str(report)


def test_old_weights_with_the_names_of_swin_unetr_fit_once_they_are_stated(save_foreign):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    path = save_foreign({"state_dict": source.state_dict()})
    assert "(plain_monai09) were trained with another patch merging" in refusal(
        foreign.swin(), path, layout="plain_monai09"
    )
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    report = load_pretrained(network, path, layout="plain_monai09")
    assert report.notes == []
    assert len(report.matched) == len(network.state_dict()) - 2
    assert_same_features(network, source)


def test_a_card_that_states_another_merging_converts_or_refuses(save_foreign):
    source, network = foreign.swin(1, downsample="mergingv2"), foreign.swin(seed=1)
    path = save_foreign(source.state_dict())
    write_card(path, {"network": {"class": "SwinUNETR", "arguments": {"downsample": "mergingv2"}}})
    report = load_pretrained(network, path, architecture={"class": "SwinUNETR", "arguments": {}})
    assert report.network_differences == []
    assert_same_features(network, source)
    write_card(path, {"network": {"class": "SwinUNETR", "arguments": {"downsample": str(PatchMergingMonai09)}}})
    assert "were trained with another patch merging" in refusal(network, path)


def test_a_foreign_file_is_not_changed(save_foreign):
    content = foreign.ssl_head(foreign.swin(1))
    path = save_foreign(content)
    check_pretrained(foreign.swin(downsample="mergingv2"), path, layout="swinvit_monai15")
    state, _ = check_pretrained(foreign.swin(), path, layout="swinvit_monai15")
    for key, value in content["state_dict"].items():
        if key.startswith("swin_vit."):
            assert torch.equal(state[key.replace("swin_vit.", "swinViT.")], value)


def test_segresnet_of_monai_is_no_swin(save_foreign):
    path = save_foreign(foreign.suprem(SegResNet(init_filters=8)))
    assert "do not fit SwinUNETR: 0% of its encoder" in refusal(foreign.swin(downsample=PatchMergingSuPreM), path)
