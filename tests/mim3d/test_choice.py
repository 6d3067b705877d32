"""Methods and networks: which go together."""

from __future__ import annotations

import pytest

from mim3d.arguments import UsageError
from mim3d.catalog import METHODS, NETWORKS
from mim3d.choice import choose

PAIRS = [(method.name, backbone) for method in METHODS.values() for backbone in method.layers]


def test_without_a_network_it_is_the_methods_own() -> None:
    for method in METHODS.values():
        choice = choose(method.name, None)
        assert choice.backbone == method.default
        assert choice.layers(method.bundle) == []


def test_what_does_not_go_together_is_refused_with_what_does() -> None:
    refused = [(name, backbone) for name in METHODS for backbone in NETWORKS if (name, backbone) not in PAIRS]
    assert ("mae", "swin_unetr") in refused
    for name, backbone in refused:
        with pytest.raises(UsageError) as error:
            choose(name, backbone)
        allowed = ", ".join(METHODS[name].layers)
        assert (
            str(error.value) == f"--method {name} does not go with --backbone {backbone}; it goes with: {allowed}"
        )
