"""What the tests of handlers compare: tensors of networks, and their average."""

from __future__ import annotations

import torch


def clone(state):
    return {key: value.clone() for key, value in state.items()}


def equal_states(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def slow_average(states, decay):
    """The formula, number by number, for the weights after each optimizer step."""
    average = {key: value.flatten().double().tolist() for key, value in states[0].items()}
    for step, state in enumerate(states[1:], start=1):
        kept = min(decay, (1 + step) / (10 + step))
        for key, numbers in average.items():
            new = state[key].flatten().double().tolist()
            average[key] = [kept * a + (1 - kept) * b for a, b in zip(numbers, new, strict=True)]
    return {key: torch.tensor(average[key]).reshape(states[0][key].shape) for key in average}


def parameters(module):
    return {key: value.detach().clone() for key, value in module.named_parameters()}


def assert_averages(module, states, decay):
    """``module`` holds the average of the parameters that each optimizer step left."""
    found, expected = parameters(module), slow_average(states, decay)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, msg=key)
