"""Parameter groups: every trainable parameter once, at the rate of its part and depth; frozen means unchanged."""

from __future__ import annotations

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.engine import WarmupCosine, parameter_groups


def test_every_parameter_is_in_one_group_and_the_encoder_has_its_share(make_network, network_name):
    network = make_network(network_name)
    groups = parameter_groups(network, 0.01, encoder_lr_factor=0.1)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(network.parameters()))
    prefixes = adapt(network).encoder_prefixes
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.001 if name.startswith(prefixes) else 0.01), name


#: Parameter -> steps before the encoder's last one.
STEPS = {
    "BasicUNet": {
        "conv_0.conv_0.conv.weight": 4,
        "down_1.convs.conv_1.conv.bias": 3,
        "down_4.convs.conv_0.conv.weight": 0,
    },
    "SegResNet": {
        "convInit.conv.weight": 3,
        "down_layers.0.1.conv1.conv.weight": 3,
        "down_layers.3.1.conv1.conv.weight": 0,
    },
    "SwinUNETR": {
        "swinViT.patch_embed.proj.weight": 4,
        "swinViT.layers1.0.blocks.1.attn.qkv.weight": 3,
        "swinViT.layers4.0.downsample.reduction.weight": 0,
    },
    "UNETR": {
        "vit.patch_embedding.position_embeddings": 12,
        "vit.blocks.0.mlp.linear1.weight": 11,
        "vit.blocks.10.mlp.linear1.weight": 1,
        "vit.blocks.11.mlp.linear1.weight": 0,
        "vit.norm.weight": 0,
    },
    "UNETRPatch8": {"vit.patch_embedding.patch_embeddings.weight": 12, "vit.blocks.3.norm1.weight": 8},
}


def test_layer_decay_counts_stages_or_blocks_from_the_encoders_end(make_network, network_name):
    network = make_network(network_name)
    groups = parameter_groups(network, 1.0, encoder_lr_factor=0.5, layer_decay=0.9)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for name, steps in STEPS[network_name].items():
        assert rates[id(network.get_parameter(name))] == pytest.approx(0.5 * 0.9**steps), name


def test_a_factor_of_0_leaves_the_encoder_bit_for_bit_and_trains_the_rest(make_network):
    network = make_network("BasicUNet", 1, 2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.01, encoder_lr_factor=0.0), weight_decay=0.1)
    network(torch.randn(1, 1, 32, 16, 16)).square().mean().backward()
    optimizer.step()
    same = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    assert same == set(adapt(network).encoder_keys())


def test_parameters_without_gradient_are_left_out(make_network):
    network = make_network("BasicUNet")
    network.requires_grad_(False).final_conv.requires_grad_(True)
    (group,) = parameter_groups(network, 0.01)
    assert [p.shape for p in group["params"]] == [p.shape for p in network.final_conv.parameters()]


def test_the_decoder_is_trained_first_then_everything_with_a_second_warmup(make_network):
    network = make_network("BasicUNet")
    optimizer = torch.optim.SGD(parameter_groups(network, 1.0, encoder_lr_factor=0.5), 1.0)
    schedule = WarmupCosine(optimizer, warmup_steps=2, total_steps=10, decoder_steps=4)
    decoder, encoder = [], []
    for _ in range(10):
        rates = schedule.get_last_lr()
        decoder.append(rates[0])
        encoder.append(rates[1])
        optimizer.step()
        schedule.step()
    assert decoder[:7] == pytest.approx([0, 0.25, 0.5, 0.75, 0, 0.5, 1.0])
    assert encoder == pytest.approx([0] * 4 + [rate / 2 for rate in decoder[4:]])
    again = WarmupCosine(optimizer, warmup_steps=2, total_steps=10, decoder_steps=4)
    again.load_state_dict({"last_epoch": 3})
    assert again.get_last_lr()[:2] == pytest.approx([0.75, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0}, "learning_rate is 0; allowed: a number above 0"),
        ({"encoder_lr_factor": 1.5}, "encoder_lr_factor is 1.5; allowed: a number at least 0 and at most 1"),
        ({"layer_decay": 0}, "layer_decay is 0; allowed: a number above 0 and at most 1"),
    ],
)
def test_a_number_out_of_range_is_one_message(make_network, change, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(make_network("BasicUNet"), **{"learning_rate": 0.1, **change})
