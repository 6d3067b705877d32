"""Other projects' transformers and CNNs: the right values are in the network, or one line refuses them."""

from __future__ import annotations

import pytest
import torch

from custom_components.transfer import load_pretrained, write_card
from tests.transfer import foreign_files as foreign
from tests.transfer.refusals import refusal


def test_a_foreign_segresnet_has_no_patch_merging_to_ask_for(save_foreign, make_network):
    source, network = make_network("SegResNet", seed=1), make_network("SegResNet", 1, 5, seed=2)
    report = load_pretrained(network, save_foreign(foreign.suprem(source)))
    assert report.layout == "suprem"
    assert report.encoder_share == 1.0
    with torch.no_grad():
        ours, theirs = (net.eval().encode(foreign.IMAGE)[0] for net in (network, source))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("positions", ["sincos", "learnable", "fourier", "none"])
def test_the_encoder_of_monais_mae_becomes_the_transformer_of_unetr(save_foreign, make_network, positions):
    source, network = foreign.mae(positions), make_network("UNETR", 1, 3, seed=1)
    report = load_pretrained(network, save_foreign(source.state_dict()))
    assert report.layout == "monai_mae"
    assert report.encoder_share == 1.0
    assert {"cls_token", "mask_tokens", "decoder_pred.bias"} <= set(report.unexpected)
    with torch.no_grad():
        theirs = source.eval().blocks(source.patch_embedding(foreign.IMAGE))
        assert torch.equal(network.eval().vit(foreign.IMAGE)[0], theirs)


def test_the_position_embeddings_of_another_crop_are_resized(save_foreign, make_network):
    source, network = foreign.mae("learnable", (32, 32, 32)), make_network("UNETR", 1, 3, size=(48, 48, 48))
    report = load_pretrained(network, save_foreign(source.state_dict()))
    assert report.resized == ["vit.patch_embedding.position_embeddings: (2, 2, 2) -> (3, 3, 3)"]
    assert report.encoder_share == 1.0


@pytest.mark.parametrize(
    ("channels", "name", "patch"), [(1, "UNETR", 16), (2, "UNETR", 16), (1, "UNETRPatch8", 8)]
)
def test_a_linear_projection_becomes_the_equal_convolution(save_foreign, make_network, channels, name, patch):
    source = foreign.mae(proj_type="perceptron", in_channels=channels, patch_size=patch)
    network = make_network(name, channels, 3)
    load_pretrained(network, save_foreign(source.state_dict()))
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
def test_an_mae_of_another_architecture_is_refused(save_foreign, make_network, arguments, message):
    assert message in refusal(make_network("UNETR", 1, 3), save_foreign(foreign.mae(**arguments).state_dict()))


def test_the_encoder_of_monais_vit_autoencoder_becomes_the_transformer_of_unetr(save_foreign, make_network):
    source, network = foreign.vit_autoencoder(), make_network("UNETR", 1, 3, seed=1)
    report = load_pretrained(network, save_foreign({"state_dict": source.state_dict()}))
    assert report.layout == "monai_vit"
    assert report.encoder_share == 1.0
    with torch.no_grad():
        tokens = source.eval().patch_embedding(foreign.IMAGE)
        for block in source.blocks:
            tokens = block(tokens)
        assert torch.equal(network.eval().vit(foreign.IMAGE)[0], source.norm(tokens))


@pytest.mark.parametrize(
    ("keys", "layout"),
    [
        (["encoder.stem.convs.0.conv.weight", "decoder.seg_layers.0.bias"], "nnunet (MIC-DKFZ/nnssl and"),
        (["encoder.stages.0.0.convs.0.conv.weight"], "nnunet (MIC-DKFZ/nnssl and"),
        (["down_projection.proj.weight", "eva.blocks.0.norm1.weight"], "nnunet (MIC-DKFZ/nnssl and"),
        (["module.backbone.down_tr64.ops.0.conv1.weight", "module.organ_embedding"], "suprem_unet (MrGiovanni"),
    ],
)
def test_architectures_without_a_counterpart_are_refused_by_name(save_foreign, make_network, keys, layout):
    path = save_foreign({"network_weights": {key: torch.zeros(1) for key in keys}, "trainer_name": "x"})
    message = refusal(make_network("BasicUNet"), path)
    assert f"have the layout {layout}" in message
    assert "no network of these bundles has this architecture; allowed: weights of BasicUNet," in message


def test_a_foreign_encoder_for_another_network_is_refused(save_foreign, make_network):
    path = save_foreign(foreign.swinvit_2022(foreign.swin(1)))
    assert "do not fit BasicUNet: 0% of its encoder found" in refusal(make_network("BasicUNet"), path)


def test_an_unknown_format_is_refused_with_the_known_ones(save_foreign, make_network):
    with pytest.raises(ValueError, match=r"pretrained_format is 'voko'; allowed: \['auto', 'plain', 'plain_m"):
        load_pretrained(make_network("BasicUNet"), save_foreign({"a": torch.zeros(1)}), layout="voko")


def test_the_number_of_heads_is_noted_as_no_tensor_shows_it(save_foreign, make_network):
    path, network = save_foreign(foreign.mae(num_heads=4).state_dict()), make_network("UNETR", 1, 3)
    note = "the file does not show its number of attention heads; this network has 2"
    assert load_pretrained(network, path).notes == [note]
    write_card(path, {"network": {"class": "UNETR", "arguments": {"num_heads": 4}}})
    report = load_pretrained(network, path, architecture={"class": "UNETR", "arguments": {"num_heads": 2}})
    assert report.notes == []
    assert report.network_differences == ["num_heads: pretrained with 4, this config has 2"]
