"""What is UNETR's own: one crop size, tokens as cells, and parameters that nothing reads."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from custom_components.backbones import adapt

SIZE = (64, 32, 48)


@pytest.fixture
def network(make_network):
    return make_network("UNETR", size=SIZE).eval()


def noise(size=SIZE):
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1))


def test_stages_are_the_tokens_that_the_decoder_reads_each_in_its_cell(network):
    backbone, image = adapt(network), noise()
    with torch.no_grad():
        encoded = backbone.encode(image)
        last, hidden = network.vit(image)
        tokens = [network.vit.patch_embedding(image), hidden[3], hidden[6], hidden[9], hidden[11]]
    for name, expected in zip(backbone.stages, tokens, strict=True):
        found = encoded.stages[name]
        assert found.shape == (2, 24, 4, 2, 3)
        for number, (i, j, k) in enumerate((i, j, k) for i in range(4) for j in range(2) for k in range(3)):
            assert torch.equal(found[:, :, i, j, k], expected[:, number])
    assert torch.equal(encoded.bottleneck, network.proj_feat(last))


def test_turning_tokens_into_cells_copies_nothing(network):
    outputs = []
    network.vit.blocks[6].register_forward_hook(lambda module, args, out: outputs.append(out))
    with torch.no_grad():
        encoded = adapt(network).encode(noise())
    assert encoded.stages["vit.blocks.6"].data_ptr() == outputs[0].data_ptr()


@pytest.mark.parametrize("size", [(64, 32, 32), (32, 64, 48), (128, 64, 96), (65, 32, 48), (0, 32, 48)])
def test_a_crop_of_another_size_raises_and_names_the_allowed_one(network, size):
    message = r"\({}, {}, {}\) does not fit UNETR: its position embeddings take crops of \(64, 32, 48\) only"
    with pytest.raises(ValueError, match="roi_size " + message.format(*size)):
        adapt(network).check_crop("roi_size", size)
    with pytest.raises(ValueError, match="image " + message.format(*size)):
        adapt(network).encode(noise(size))


def test_its_own_size_is_taken_and_regions_are_any_multiple_of_sixteen(network):
    backbone = adapt(network)
    assert (backbone.stride, backbone.crop_size) == (16, SIZE)
    backbone.check_crop("roi_size", list(SIZE))
    backbone.check_size("region_size", (16, 32, 16))
    with pytest.raises(ValueError, match=r"region_size \(24, 16, 16\) does not fit UNETR"):
        backbone.check_size("region_size", (24, 16, 16))


def test_the_position_keys_are_all_that_depends_on_the_crop(network, make_network):
    others = make_network("UNETR", size=(64, 64, 64)).state_dict()
    differing = {key for key, value in network.state_dict().items() if value.shape != others[key].shape}
    assert differing == set(adapt(network).position_keys)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"img_size": (32, 32, 32), "proj_type": "perceptron"}, "proj_type 'perceptron' and 3 spatial_dims"),
        ({"img_size": (32, 32), "spatial_dims": 2}, "proj_type 'conv' and 2 spatial_dims"),
    ],
)
def test_other_patch_embeddings_and_dimensions_raise(arguments, found):
    network = UNETR(1, 1, feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2, **arguments)
    with pytest.raises(ValueError, match=f"UNETR has {found}; allowed: proj_type 'conv' with spatial_dims 3"):
        adapt(network)


def test_idle_parameters_are_those_that_a_whole_pass_never_reads(network):
    backbone = adapt(network)
    network.train()(noise()).square().sum().backward()
    unread = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert unread == set(backbone.unused_parameters)
    assert len(unread) == 24  # weight and bias in twelve blocks
    assert not unread & set(backbone.encoder_keys())


def test_a_window_of_one_cell_is_decoded_with_spread_in_every_norm(network):
    backbone = adapt(network)
    assert backbone.min_cells == 1
    window = (slice(16, 32), slice(0, 16), slice(32, 48))
    output = backbone.decode(backbone.encode(noise()[:1]), window)
    training = adapt(network.train())
    trained = training.decode(training.encode(noise()[:1]), window)
    for one in (output, trained):
        assert one.shape == (1, 1, 16, 16, 16)
        assert one.std() > 0
