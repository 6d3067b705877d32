"""SimCLR: what is pooled, projected and contrasted, and what of the network is trained."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from custom_components.losses import CombinedLoss, supported_terms
from custom_components.pretext import SimCLR

SHAPE = (64, 32, 32)
IDS = torch.tensor([3, 8, 3])  # three crops of two volumes


def build(make_network, name="BasicUNet", channels=1, **kwargs):
    network = make_network(name, channels, out_channels=1, size=SHAPE)
    return SimCLR(network, **{"projection_width": 16, "projection_features": 8, **kwargs})


def views(batch=3, channels=1, seed=0):
    """Two views and their validity: from voxel 32, 20 or 0 of the first axis on, padding."""
    generator = torch.Generator().manual_seed(seed)
    one, two = torch.randn(2, batch, channels, *SHAPE, generator=generator)
    valid_1, valid_2 = torch.ones(2, batch, 1, *SHAPE, dtype=torch.bool)
    valid_1[0, :, 32:] = False
    valid_2[:2, :, 20:] = False  # ends within a cell
    valid_2[:2, :, :, :, 30:] = False
    return one, two, valid_1, valid_2


def pooled_by_loops(backbone, image, valid):
    """Mean over the bottleneck cells of one crop under which any voxel counts, cell by cell."""
    cells, side = backbone.encode(image[None]).bottleneck[0], backbone.stride
    found = []
    for d, h, w in product(*(range(n) for n in cells.shape[1:])):
        under = valid[0, d * side : (d + 1) * side, h * side : (h + 1) * side, w * side : (w + 1) * side]
        if under.any():
            found.append(cells[:, d, h, w])
    assert 0 < len(found) < cells[0].numel() or valid.all()
    return sum(found) / len(found)


def contrast_by_loops(projections, ids, temperature):
    """NT-Xent over ``(view, item)``, anchor by anchor."""
    unit = {place: row / row.norm() for place, row in projections.items()}
    losses = []
    for view, item in unit:
        anchor = unit[view, item]
        positive = float(anchor @ unit[1 - view, item]) / temperature
        others = [float(anchor @ unit[v, i]) / temperature for v, i in unit if ids[i] != ids[item]]
        losses.append(math.log(sum(math.exp(s) for s in [positive, *others])) - positive)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_equals_a_slow_loop_over_pooled_features(make_network, network_name, training):
    pretext = build(make_network, network_name).train(training)
    one, two, valid_1, valid_2 = views()
    with torch.no_grad():
        outputs = pretext(one, two, valid_1, valid_2)
        values = CombinedLoss({"contrast": 1.0}, temperature=0.2)(outputs, IDS)
        crops = [
            (images[item], valids[item])
            for images, valids in ((one, valid_1), (two, valid_2))
            for item in range(3)
        ]
        pooled = torch.stack([pooled_by_loops(pretext.backbone, *crop) for crop in crops])
        rows = pretext.head(pooled)  # both views are one batch to the norm
        torch.testing.assert_close(torch.cat([outputs["view_1"], outputs["view_2"]]), rows)
    projections = dict(zip(product(range(2), range(3)), rows, strict=True))
    assert values["contrast"].item() == pytest.approx(contrast_by_loops(projections, IDS, 0.2), rel=1e-4)
    assert values["loss"] == values["contrast"]
    assert values["negatives"].item() == pytest.approx((2 + 4 + 2) * 2 / 6)


def test_cells_over_padding_are_not_pooled(make_network, network_name):
    pretext = build(make_network, network_name).eval()  # in training the norm mixes crops
    one, two, valid_1, valid_2 = views()
    real, stride = pretext.backbone.encode, pretext.backbone.stride
    counts = torch.cat([valid_1, valid_2]).float()
    over_padding = torch.nn.functional.max_pool3d(counts, stride) == 0
    assert over_padding[0].any()
    assert not over_padding.flatten(1).all(1).any()

    def spoilt(image):
        encoded = real(image)
        return encoded._replace(bottleneck=encoded.bottleneck.masked_fill(over_padding, 1e3))

    with torch.no_grad():
        outputs = pretext(one, two, valid_1, valid_2)
        pretext.backbone.encode = spoilt
        again = pretext(one, two, valid_1, valid_2)
        pretext.backbone.encode = real
        everywhere = pretext(one, two)
    for name, value in outputs.items():
        torch.testing.assert_close(again[name], value)
    assert not torch.allclose(outputs["view_1"][0], everywhere["view_1"][0])  # what is padding was told
    torch.testing.assert_close(outputs["view_1"][1], everywhere["view_1"][1])


def test_without_validity_every_voxel_counts_and_its_dtype_is_free(make_network):
    pretext = build(make_network)
    one, two, valid_1, valid_2 = views()
    with torch.no_grad():
        whole = pretext(one, two, torch.ones_like(valid_1), torch.ones_like(valid_2))
        assert all(torch.equal(whole[name], value) for name, value in pretext(one, two).items())
        bytes_ = pretext(one, two, valid_1.to(torch.uint8), valid_2.float())
        assert all(torch.equal(bytes_[name], v) for name, v in pretext(one, two, valid_1, valid_2).items())


@pytest.mark.parametrize(("channels", "batch"), [(1, 2), (4, 1)])
def test_projections_have_the_documented_shapes_from_one_pass(make_network, network_name, channels, batch):
    pretext, passes = build(make_network, network_name, channels), []
    real = pretext.backbone.encode
    pretext.backbone.encode = lambda image: passes.append(image.shape) or real(image)
    outputs = pretext(*views(batch, channels))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "view_1": (batch, 8),
        "view_2": (batch, 8),
    }
    assert passes == [(2 * batch, channels, *SHAPE)]


def test_the_encoder_and_the_head_are_trained_and_nothing_else(make_network, network_name):
    pretext = build(make_network, network_name)
    backbone = pretext.backbone
    CombinedLoss({"contrast": 1.0})(pretext(*views()), IDS)["loss"].backward()
    reached = {name for name, parameter in pretext.named_parameters() if parameter.grad is not None}
    wanted = {f"network.{key}" for key in backbone.encoder_keys()}
    parameters = dict(pretext.named_parameters())
    assert reached == {name for name in parameters if name in wanted or name.startswith("head.")}
    assert reached == {name for name, parameter in parameters.items() if parameter.requires_grad}
    assert pretext.trained == backbone.encoder_prefixes
    weights = [name for name in reached if parameters[name].ndim >= 2]
    assert not [name for name in weights if parameters[name].grad.abs().max() == 0]


@pytest.mark.parametrize("view", [0, 1])
def test_gradient_goes_through_either_view(make_network, view):
    pretext = build(make_network)
    images = [image.requires_grad_() for image in views()[:2]]
    CombinedLoss({"contrast": 1.0})(pretext(*images), IDS)["loss"].backward()
    assert images[view].grad.abs().max() > 0


def test_the_network_is_held_itself_with_its_keys_unchanged(make_network, network_name):
    network = make_network(network_name)
    keys = list(network.state_dict())
    pretext = SimCLR(network)
    assert pretext.network is network
    assert pretext.backbone.net is network
    assert list(network.state_dict()) == keys
    assert {key.split(".")[0] for key in pretext.state_dict()} == {"network", "head"}
    assert supported_terms(pretext.outputs) == ("contrast",)


def test_a_network_of_any_number_of_output_channels_will_do(make_network):
    assert SimCLR(make_network("BasicUNet", 1, 14)).head.layers[-1].out_features == 128


@pytest.mark.parametrize("name", ["projection_width", "projection_features"])
def test_sizes_below_one_raise_and_are_named(make_network, name):
    with pytest.raises(ValueError, match=f"{name} is 0; allowed: a whole number at least 1"):
        build(make_network, **{name: 0})


def test_views_of_different_shapes_raise_and_name_both(make_network):
    one, two, *_ = views()
    with pytest.raises(ValueError, match=r"views have shapes \(3, 1, 64, 32, 32\) and \(2, 1, 64, 32, 32\)"):
        build(make_network)(one, two[:2])


def test_a_network_without_adapter_raises():
    with pytest.raises(ValueError, match="no backbone adapter for Conv3d"):
        SimCLR(torch.nn.Conv3d(1, 1, 3))
