"""A recipe's numbers: each key, on both sides of its range, and what is no number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from custom_components.checks.hyperparameters import Hyperparameters, Switches

CONFIGS = sorted((Path(__file__).parents[2] / "bundles").glob("*/configs/train.yaml"))
GOOD = {
    "learning_rate": [1e-9, 1, 10.0],
    "weight_decay": [0, 0.05],
    "warmup_share": [0, 0.5, 1],
    "batch_size": [1, 8, 2.0],
    "num_samples": [1],
    "ema_decay": [None, 0.5],
    "sw_batch_size": [1],
    "sw_overlap": [0, 0.99],
    "surface_tolerance": [0.5, 2],
    "accumulation_steps": [1, 4],
    "grad_clip": [None, 0.1],
    "num_workers": [0, 4],
    "cache_rate": [None, 0, 0.25, 1.0],
}
BAD = {
    "learning_rate": [0, -1e-3, None],
    "weight_decay": [-0.01, None],
    "warmup_share": [-0.1, 1.1],
    "batch_size": [0, -1, 1.5, True],
    "num_samples": [0, 0.5],
    "ema_decay": [0, 1],
    "sw_batch_size": [0],
    "sw_overlap": [-0.1, 1],
    "surface_tolerance": [0, -1.0],
    "accumulation_steps": [0, 1.5],
    "grad_clip": [0, -1],
    "num_workers": [-1, 0.5],
    "cache_rate": [-0.1, 1.5],
}
ANYWHERE = ["1", "abc", [1], math.nan, math.inf, {}]


def test_what_is_allowed_passes():
    assert GOOD.keys() == BAD.keys()
    Hyperparameters()()
    for key, values in GOOD.items():
        for value in values:
            Hyperparameters(**{key: value})()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in BAD for value in [*BAD[key], *ANYWHERE]])
def test_what_is_not_is_named_with_what_is(key, value):
    others = {name: values[0] for name, values in GOOD.items() if name != key}
    with pytest.raises(ValueError, match=rf"^{key} is .+; allowed: (null or )?a (whole )?number ") as refused:
        Hyperparameters(**{**others, key: value})()
    assert repr(value) in str(refused.value)


def test_a_rate_that_yaml_takes_for_text_is_explained():
    read = yaml.safe_load("learning_rate: 1e-4")
    with pytest.raises(ValueError, match="is '1e-4'; allowed: a number above 0. YAML reads 1e-4 as text"):
        Hyperparameters(**read)()
    Hyperparameters(**yaml.safe_load("learning_rate: 1.0e-4"))()


def test_a_key_without_a_range_is_refused_when_built():
    with pytest.raises(ValueError, match="no range is known for momentum; allowed: learning_rate, "):
        Hyperparameters(momentum=0.9)


#: Keys that MONAI reads, and changes if ``--tracking`` is given; nobody sets them.
MONAIS = {"save_execute_config", "is_not_rank0"}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.parents[1].name)
def test_every_such_number_of_a_config_is_checked(config):
    keys = yaml.safe_load(config.read_text(encoding="utf-8"))
    given = {key for key, value in keys["checks"]["hyperparameters"].items() if value == f"@{key}"}
    assert {key for key in GOOD if key in keys} <= given | set(keys["checks"]["schedule"])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.parents[1].name)
def test_every_switch_of_a_config_is_checked(config):
    keys = yaml.safe_load(config.read_text(encoding="utf-8"))
    switches = {key for key, value in keys.items() if isinstance(value, bool)} - MONAIS
    assert switches <= {key for key, value in keys["checks"]["switches"].items() if value == f"@{key}"}


def test_a_switch_in_words_is_refused_because_any_word_means_true() -> None:
    Switches(resume=True, overwrite=False, amp="true")()
    for value in ("false", "False", "no", 0, None):
        with pytest.raises(ValueError, match=f"resume is {value!r}; allowed: True or False, .* --resume False"):
            Switches(resume=value)()
