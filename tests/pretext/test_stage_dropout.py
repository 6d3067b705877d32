"""Dropout between stages, and the two views it makes."""

from __future__ import annotations

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.pretext import HybridMIM, StageDropout

SHAPE = (64, 32, 32)


def test_by_default_every_stage_but_the_first_is_dropped(make_network, network_name):
    backbone = adapt(make_network(network_name))
    assert StageDropout(backbone).stages == backbone.stages[1:]


def test_stages_are_kept_in_the_encoders_order(make_network, network_name):
    backbone = adapt(make_network(network_name))
    chosen = (backbone.stages[3], backbone.stages[0])
    assert StageDropout(backbone, 0.1, chosen).stages == (backbone.stages[0], backbone.stages[3])


def test_only_named_stages_are_dropped_at_the_stated_rate(make_network):
    drop = StageDropout(adapt(make_network("BasicUNet")), 0.25, ("down_2",))
    x = torch.ones(1, 4, 32, 32, 32)
    assert drop("down_1", x) is x
    dropped = drop("down_2", x)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("rate", "stages", "active"), [(0.1, None, True), (0.0, None, False), (0.1, (), False)])
def test_active_says_whether_two_passes_differ(make_network, rate, stages, active):
    assert StageDropout(adapt(make_network("BasicUNet")), rate, stages).active == active


def pretext_of(make_network, name, **kwargs):
    return HybridMIM(make_network(name), terms=("contrast",), contrast_features=8, **kwargs).train()


def test_views_differ_in_training(make_network, network_name):
    pretext = pretext_of(make_network, network_name)
    outputs = pretext(torch.randn(2, 1, *SHAPE), torch.zeros(2, 1, 4, 2, 2, dtype=torch.bool))
    assert not torch.equal(outputs["view_1"], outputs["view_2"])


def test_both_views_are_full_passes_of_the_masked_image(make_network, network_name, monkeypatch):
    """With a dropout that counts its calls, the second view is what a second pass gives."""
    pretext = pretext_of(make_network, network_name)
    calls: list[str] = []

    def numbered(stage, x):
        calls.append(stage)
        second = calls.count(stage) > 1
        return x * (1.5 if second else 0.5) if stage in pretext.drop.stages else x

    monkeypatch.setattr(type(pretext.drop), "__call__", lambda self, stage, x: numbered(stage, x))
    image, mask = torch.randn(2, 1, *SHAPE), torch.zeros(2, 1, 4, 2, 2, dtype=torch.bool)
    mask[:, :, 1, 0, 1] = True
    with torch.no_grad():
        outputs = pretext(image, mask)
        masked = image.clone()
        masked[:, :, 16:32, :16, 16:] = 0
        backbone = adapt(pretext.network)
        for view, factor in (("view_1", 0.5), ("view_2", 1.5)):

            def scaled(stage, x, factor=factor):
                return x * factor if stage in pretext.drop.stages else x

            cells = backbone.encode(masked, scaled).bottleneck
            expected = pretext.contrast_head(cells, torch.ones_like(cells[:, :1], dtype=torch.bool))
            assert torch.equal(outputs[view], expected), view


def test_gradient_flows_through_the_second_view_only_if_asked(make_network, network_name):
    image, mask = torch.randn(2, 1, *SHAPE), torch.zeros(2, 1, 4, 2, 2, dtype=torch.bool)
    on = pretext_of(make_network, network_name)(image, mask)
    assert on["view_1"].requires_grad
    assert on["view_2"].requires_grad
    off = pretext_of(make_network, network_name, second_view_grad=False)(image, mask)
    assert off["view_1"].requires_grad
    assert not off["view_2"].requires_grad


def test_the_second_views_gradient_reaches_the_whole_encoder(make_network, network_name):
    pretext = pretext_of(make_network, network_name)
    outputs = pretext(torch.randn(2, 1, *SHAPE), torch.zeros(2, 1, 4, 2, 2, dtype=torch.bool))
    outputs["view_2"].square().sum().backward()
    reached = {name for name, parameter in pretext.network.named_parameters() if parameter.grad is not None}
    assert reached == {n for n, _ in pretext.network.named_parameters() if n in pretext.backbone.encoder_keys()}


def test_no_gradient_is_made_where_none_is_wanted(make_network):
    with torch.no_grad():
        image, mask = torch.randn(2, 1, *SHAPE), torch.zeros(2, 1, 4, 2, 2, dtype=torch.bool)
        outputs = pretext_of(make_network, "BasicUNet")(image, mask)
    assert not outputs["view_2"].requires_grad
