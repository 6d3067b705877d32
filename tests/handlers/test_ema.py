"""The averaged copy follows the steps of a trainer, and is a network like the trained one."""

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from custom_components.handlers import EMA
from custom_components.pretext import HybridMIM
from tests.handlers.states import assert_averages, clone, equal_states, parameters


def toy_network():
    """Something trained, something with buffers, and something frozen."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[2].requires_grad_(False)
    return network


def toy_trainer(network, average, steps, states=None):
    """A trainer whose steps leave the parameters that are not frozen, and the buffers, elsewhere."""
    generator = torch.Generator().manual_seed(1)

    def step(engine, batch):
        network.train()(torch.randn(8, 3, generator=generator))
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator))
        if states is not None:
            states.append(parameters(network))

    engine = Engine(step)
    average.attach(engine)
    engine.run([0] * steps, max_epochs=1)


@pytest.mark.parametrize("decay", [0.001, 0.5, 0.9, 0.999])
def test_the_average_is_the_slow_loops(decay):
    network, states = toy_network(), []
    start = clone(network.state_dict())
    average = EMA(network, decay)
    toy_trainer(network, average, 6, states)
    assert_averages(average.module, states, decay)
    found = parameters(average.module)
    for key in ("2.weight", "2.bias"):
        assert torch.equal(found[key], start[key]), "frozen parameters stay, bit for bit"
    assert not torch.equal(found["0.weight"], states[-1]["0.weight"])


def test_buffers_are_those_of_the_network():
    network = toy_network()
    average = EMA(network, 0.9)
    toy_trainer(network, average, 3)
    buffers, found = dict(network.named_buffers()), dict(average.module.named_buffers())
    assert int(buffers["1.num_batches_tracked"]) == 3
    assert buffers["1.running_mean"].abs().sum() > 0
    assert equal_states(found, buffers)


def test_after_the_first_step_the_average_is_the_network():
    network = toy_network()
    average = EMA(network, 0.999)
    toy_trainer(network, average, 1)
    assert equal_states(average.module.state_dict(), network.state_dict())


def test_weights_loaded_after_it_was_made_are_the_average_when_the_run_starts():
    network, seen = toy_network(), []
    average = EMA(network, 0.9)
    with torch.no_grad():
        network[0].weight.fill_(5.0)
        network[1].running_mean.fill_(2.0)
    engine = Engine(lambda engine, batch: None)
    average.attach(engine)
    engine.add_event_handler(Events.STARTED, lambda: seen.append(clone(average.module.state_dict())))
    engine.run([0], max_epochs=1)
    assert equal_states(seen[0], network.state_dict())


def test_without_a_decay_there_is_no_copy_and_nothing_to_do():
    network = toy_network()
    average = EMA(network, None)
    engine = Engine(lambda engine, batch: None)
    average.attach(engine)
    assert average.module is network
    assert average.average is None
    assert average.state_dict() == {}
    assert not any(engine.has_event_handler(average._update, event) for event in Events)
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [True] * 4 + [False] * 2


def test_a_copy_of_a_pretext_network_reads_its_own_network(make_network, network_name):
    pretext = HybridMIM(make_network(network_name), 16, 32, terms=["reconstruction", "count"])
    average = EMA(pretext, 0.9)
    for copied in (average.module, copy.deepcopy(pretext)):
        assert copied.network is copied.backbone.net
        assert copied.network is not pretext.network
        ours = {p.data_ptr() for p in pretext.parameters()}
        assert not ours & {p.data_ptr() for p in copied.parameters()}
    image = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 4, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        for parameter in pretext.parameters():
            parameter.zero_()
        before = average.module(image, mask)["reconstruction"]
        assert before.abs().sum() > 0, "the copy does not run through the network it was made from"
        for parameter in average.module.network.parameters():
            parameter.zero_()
        assert average.module(image, mask)["reconstruction"].abs().sum() == 0


@pytest.mark.parametrize("decay", [0, 0.0, 1.0, 1, -0.1, 1.5, float("nan")])
def test_a_decay_outside_its_range_raises(decay):
    with pytest.raises(ValueError, match=f"ema_decay is {decay}; allowed: null or a number above 0 and below 1"):
        EMA(toy_network(), decay)
