"""Files of other projects' layouts: the right values are in the network afterwards, or one line refuses them."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from monai.networks.nets import SegResNet

from custom_components.backbones import PatchMergingMonai09, PatchMergingSuPreM
from custom_components.transfer import check_pretrained, load_pretrained, write_card
from tests.transfer import foreign_files as foreign

IMAGE = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(5))
OLD = {
    "swinvit_monai09": (foreign.swinvit_2022, PatchMergingMonai09),
    "swin_simmim": (foreign.simmim, PatchMergingMonai09),
    "suprem": (foreign.suprem, PatchMergingSuPreM),
    "voco": (foreign.voco, PatchMergingMonai09),
}


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / "foreign.pt")
        return tmp_path / "foreign.pt"

    return save


def swin_features(network):
    with torch.no_grad():
        return network.eval().swinViT(IMAGE)


def assert_same_features(one, two):
    for ours, theirs in zip(swin_features(one), swin_features(two), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def refusal(network, path, **options):
    """The message that refuses a file, in one line; the network stays as it was."""
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="foreign.pt") as error:
        load_pretrained(network, path, **options)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    return str(error.value)


@pytest.mark.parametrize("layout", OLD)
@pytest.mark.parametrize("v2", [False, True])
def test_a_swin_unetr_with_the_same_patch_merging_has_the_same_features(save, layout, v2):
    if v2 and layout == "swin_simmim":
        pytest.skip("written before SwinUNETR had use_v2")
    write, merging = OLD[layout]
    source = foreign.swin(1, downsample=merging, use_v2=v2)
    network = foreign.swin(5, seed=1, downsample=merging, use_v2=v2)
    report = load_pretrained(network, save(write(source)))
    assert report.layout == layout
    assert report.encoder_share == 1.0
    assert_same_features(network, source)
    assert all(torch.equal(network.state_dict()[key], source.state_dict()[key]) for key in report.matched)
    assert {key for key in source.state_dict() if key.startswith("swinViT.")} <= set(report.matched)


@pytest.mark.parametrize("layout", OLD)
@pytest.mark.parametrize("downsample", ["merging", "mergingv2", "other"])
def test_a_swin_unetr_with_another_patch_merging_is_refused(save, layout, downsample):
    write, merging = OLD[layout]
    other = PatchMergingSuPreM if merging is PatchMergingMonai09 else PatchMergingMonai09
    network = foreign.swin(downsample=other if downsample == "other" else downsample)
    message = refusal(network, save(write(foreign.swin(1, downsample=merging))))
    assert f"({layout}) were trained with another patch merging than this SwinUNETR has" in message
    assert f"build it with downsample custom_components.backbones.{merging.__name__}" in message


def test_the_heads_of_a_foreign_file_are_not_used(save):
    network = foreign.swin(downsample=PatchMergingMonai09)
    report = load_pretrained(network, save(foreign.swinvit_2022(foreign.swin(1))))
    heads = ("contrastive_head", "convTrans3d", "norm", "rotation_head")
    assert sorted(report.unexpected) == [f"{head}.{part}" for head in heads for part in ("bias", "weight")]
    assert all(not key.startswith("swinViT.") for key in report.missing)


def test_a_file_that_does_not_show_its_patch_merging_is_refused_until_it_is_stated(save):
    source = foreign.swin(1, downsample="merging")
    path = save(foreign.ssl_head(source))
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


def test_an_order_that_only_differs_by_a_permutation_is_converted_exactly(save):
    source = foreign.swin(1, downsample="merging")
    network = foreign.swin(seed=1, downsample="mergingv2")
    load_pretrained(network, save(foreign.ssl_head(source)), layout="swinvit_monai15")
    assert_same_features(network, source)
    key = "swinViT.layers1.0.downsample.reduction.weight"
    assert not torch.equal(network.state_dict()[key], source.state_dict()[key])


@pytest.mark.parametrize("part", ["student", "teacher"])
def test_a_student_and_its_teacher_are_told_apart_by_name(save, part):
    networks = {
        name: foreign.swin(1, seed, downsample=PatchMergingMonai09)
        for seed, name in enumerate(("student", "teacher"))
    }
    path = save(foreign.voco_pair(**networks))
    network = foreign.swin(seed=2, downsample=PatchMergingMonai09)
    message = refusal(network, path)
    assert "voco_student (" in message
    assert "voco_teacher (" in message
    report = load_pretrained(network, path, layout=f"voco_{part}")
    assert_same_features(network, networks[part])
    assert report.encoder_share == 1.0


def test_a_file_that_holds_the_student_alone_is_recognised(save):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    path = save({"model": {f"module.student.{key}": value for key, value in source.state_dict().items()}})
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    assert load_pretrained(network, path).layout == "voco_student"
    assert_same_features(network, source)


def test_a_foreign_segresnet_has_no_patch_merging_to_ask_for(save, make_network):
    source, network = make_network("SegResNet", seed=1), make_network("SegResNet", 1, 5, seed=2)
    report = load_pretrained(network, save(foreign.suprem(source)))
    assert report.layout == "suprem"
    assert report.encoder_share == 1.0
    with torch.no_grad():
        ours, theirs = (net.eval().encode(IMAGE)[0] for net in (network, source))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("positions", ["sincos", "learnable", "fourier", "none"])
def test_the_encoder_of_monais_mae_becomes_the_transformer_of_unetr(save, make_network, positions):
    source, network = foreign.mae(positions), make_network("UNETR", 1, 3, seed=1)
    report = load_pretrained(network, save(source.state_dict()))
    assert report.layout == "monai_mae"
    assert report.encoder_share == 1.0
    assert {"cls_token", "mask_tokens", "decoder_pred.bias"} <= set(report.unexpected)
    with torch.no_grad():
        theirs = source.eval().blocks(source.patch_embedding(IMAGE))
        assert torch.equal(network.eval().vit(IMAGE)[0], theirs)


def test_the_position_embeddings_of_another_crop_are_resized(save, make_network):
    source, network = foreign.mae("learnable", (32, 32, 32)), make_network("UNETR", 1, 3, size=(48, 48, 48))
    report = load_pretrained(network, save(source.state_dict()))
    assert report.resized == ["vit.patch_embedding.position_embeddings: (2, 2, 2) -> (3, 3, 3)"]
    assert report.encoder_share == 1.0


@pytest.mark.parametrize(
    ("channels", "name", "patch"), [(1, "UNETR", 16), (2, "UNETR", 16), (1, "UNETRPatch8", 8)]
)
def test_a_linear_projection_becomes_the_equal_convolution(save, make_network, channels, name, patch):
    source = foreign.mae(proj_type="perceptron", in_channels=channels, patch_size=patch)
    network = make_network(name, channels, 3)
    load_pretrained(network, save(source.state_dict()))
    image = torch.randn(1, channels, 64, 32, 32)
    with torch.no_grad():
        theirs, ours = source.eval().patch_embedding(image), network.eval().vit.patch_embedding(image)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 14}, "vit.blocks.12.mlp.linear1.weight: only in the file"),
        ({"num_layers": 10}, "found, 100% needed (vit.blocks.10"),
        ({"qkv_bias": True}, "vit.blocks.0.attn.qkv.bias: only in the file"),
        ({"patch_size": 8}, "patch_embeddings.weight: (24, 1, 8, 8, 8) -> (24, 1, 16, 16, 16)"),
        ({"proj_type": "perceptron", "in_channels": 2}, "vit.patch_embedding.patch_embeddings.weight"),
        ({"hidden_size": 48}, "-> (24, 1, 16, 16, 16)"),
    ],
)
def test_an_mae_of_another_architecture_is_refused(save, make_network, arguments, message):
    assert message in refusal(make_network("UNETR", 1, 3), save(foreign.mae(**arguments).state_dict()))


def test_the_encoder_of_monais_vit_autoencoder_becomes_the_transformer_of_unetr(save, make_network):
    source, network = foreign.vit_autoencoder(), make_network("UNETR", 1, 3, seed=1)
    report = load_pretrained(network, save({"state_dict": source.state_dict()}))
    assert report.layout == "monai_vit"
    assert report.encoder_share == 1.0
    with torch.no_grad():
        tokens = source.eval().patch_embedding(IMAGE)
        for block in source.blocks:
            tokens = block(tokens)
        assert torch.equal(network.eval().vit(IMAGE)[0], source.norm(tokens))


@pytest.mark.parametrize(
    ("keys", "layout"),
    [
        (["encoder.stem.convs.0.conv.weight", "decoder.seg_layers.0.bias"], "nnunet (MIC-DKFZ/nnssl and"),
        (["encoder.stages.0.0.convs.0.conv.weight"], "nnunet (MIC-DKFZ/nnssl and"),
        (["down_projection.proj.weight", "eva.blocks.0.norm1.weight"], "nnunet (MIC-DKFZ/nnssl and"),
        (["module.backbone.down_tr64.ops.0.conv1.weight", "module.organ_embedding"], "suprem_unet (MrGiovanni"),
    ],
)
def test_architectures_without_a_counterpart_are_refused_by_name(save, make_network, keys, layout):
    path = save({"network_weights": {key: torch.zeros(1) for key in keys}, "trainer_name": "x"})
    message = refusal(make_network("BasicUNet"), path)
    assert f"have the layout {layout}" in message
    assert "no network of these bundles has this architecture; allowed: weights of BasicUNet," in message


def test_a_foreign_encoder_for_another_network_is_refused(save, make_network):
    path = save(foreign.swinvit_2022(foreign.swin(1)))
    assert "do not fit BasicUNet: 0% of its encoder found" in refusal(make_network("BasicUNet"), path)


def test_an_unknown_format_is_refused_with_the_known_ones(save, make_network):
    with pytest.raises(ValueError, match=r"pretrained_format is 'voko'; allowed: \['auto', 'plain', 'plain_m"):
        load_pretrained(make_network("BasicUNet"), save({"a": torch.zeros(1)}), layout="voko")


def test_a_stated_format_is_not_overruled_by_the_keys(save):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    path = save(source.state_dict())  # as the published VoCo_B_SSL_head.pt: nothing but SwinUNETR's own names
    assert load_pretrained(foreign.swin(seed=1), path).layout == "plain"
    assert "(voco) were trained with another patch merging" in refusal(foreign.swin(), path, layout="voco")
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    load_pretrained(network, path, layout="voco")
    assert_same_features(network, source)


def test_weights_of_swin_unetr_without_a_card_warn_that_the_merging_is_not_shown(save, make_network, caplog):
    warning = "the file does not show which patch merging trained it"
    with caplog.at_level(logging.WARNING):
        report = load_pretrained(make_network("BasicUNet"), save(make_network("BasicUNet").state_dict()))
        assert report.notes == []
        assert warning not in caplog.text
        report = load_pretrained(foreign.swin(), save(foreign.swin().state_dict()))
        assert warning in caplog.text
        assert f"\n  note: {warning}" in str(report)


def test_the_number_of_heads_is_noted_as_no_tensor_shows_it(save, make_network):
    path, network = save(foreign.mae(num_heads=4).state_dict()), make_network("UNETR", 1, 3)
    note = "the file does not show its number of attention heads; this network has 2"
    assert load_pretrained(network, path).notes == [note]
    write_card(path, {"network": {"class": "UNETR", "arguments": {"num_heads": 4}}})
    report = load_pretrained(network, path, architecture={"class": "UNETR", "arguments": {"num_heads": 2}})
    assert report.notes == []
    assert report.network_differences == ["num_heads: pretrained with 4, this config has 2"]


def test_old_weights_with_the_names_of_swin_unetr_fit_once_they_are_stated(save):
    source = foreign.swin(1, downsample=PatchMergingMonai09)
    path = save({"state_dict": source.state_dict()})
    assert "(plain_monai09) were trained with another patch merging" in refusal(
        foreign.swin(), path, layout="plain_monai09"
    )
    network = foreign.swin(seed=1, downsample=PatchMergingMonai09)
    report = load_pretrained(network, path, layout="plain_monai09")
    assert report.notes == []
    assert len(report.matched) == len(network.state_dict()) - 2
    assert_same_features(network, source)


def test_a_card_that_states_another_merging_converts_or_refuses(save):
    source, network = foreign.swin(1, downsample="mergingv2"), foreign.swin(seed=1)
    path = save(source.state_dict())
    write_card(path, {"network": {"class": "SwinUNETR", "arguments": {"downsample": "mergingv2"}}})
    report = load_pretrained(network, path, architecture={"class": "SwinUNETR", "arguments": {}})
    assert report.network_differences == []
    assert_same_features(network, source)
    write_card(path, {"network": {"class": "SwinUNETR", "arguments": {"downsample": str(PatchMergingMonai09)}}})
    assert "were trained with another patch merging" in refusal(network, path)


def test_a_foreign_file_is_not_changed(save):
    content = foreign.ssl_head(foreign.swin(1))
    path = save(content)
    check_pretrained(foreign.swin(downsample="mergingv2"), path, layout="swinvit_monai15")
    state, _ = check_pretrained(foreign.swin(), path, layout="swinvit_monai15")
    for key, value in content["state_dict"].items():
        if key.startswith("swin_vit."):
            assert torch.equal(state[key.replace("swin_vit.", "swinViT.")], value)


def test_segresnet_of_monai_is_no_swin(save):
    path = save(foreign.suprem(SegResNet(init_filters=8)))
    assert "do not fit SwinUNETR: 0% of its encoder" in refusal(foreign.swin(downsample=PatchMergingSuPreM), path)
