"""How a file is refused: in one line, and the network stays as it was."""

from __future__ import annotations

import copy
import re

import pytest
import torch

from custom_components.transfer import load_pretrained


def refusal(network, path, **options):
    """The message that refuses a file, in one line; the network stays as it was."""
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=re.escape(path.name)) as error:
        load_pretrained(network, path, **options)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    return str(error.value)
