"""Segmentation validates and saves the moving average of the weights; evaluation takes what was saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bundles.segmentation_runs import FEATURES, Folder, Load, Run, places, view
from tests.handlers.states import equal_states, parameters, slow_average

pytestmark = pytest.mark.slow
NAME = "seg_msd_hippocampus"


@pytest.mark.parametrize("decay", [0.999, 0.3, None])
def test_the_average_of_the_steps_is_validated_and_saved(
    decay: float | None, phantoms_of: Folder, build_bundle: Run, load: Load, tmp_path: Path
) -> None:
    override = {**view(NAME), **FEATURES, **places(phantoms_of(NAME), tmp_path), "learning_rate": 0.01}
    keys = {"epochs": 3, "val_interval": 3, "batch_size": 1, **({} if decay == 0.999 else {"ema_decay": decay})}
    made = build_bundle(NAME, ["train.yaml", "smoke.yaml"], **override, **keys)
    made.initialize()
    get, states = made.parser.get_parsed_content, []
    network = get("network_def")
    get("optimizer").register_step_post_hook(lambda *_: states.append(parameters(network)))
    made.run()
    assert len(states) == 6
    saved = load(tmp_path / "models" / "model.pt")
    assert equal_states(saved, get("validate#evaluator").network.state_dict())
    for key, value in slow_average(states, 0.0 if decay is None else decay).items():
        torch.testing.assert_close(saved[key], value, msg=key)
    assert equal_states(saved, network.state_dict()) == (decay is None)


def test_evaluation_scores_the_saved_weights(
    phantoms_of: Folder, build_bundle: Run, run_bundle: Run, load: Load, tmp_path: Path
) -> None:
    override = {**view(NAME), **FEATURES, **places(phantoms_of(NAME), tmp_path)}
    run_bundle(NAME, ["train.yaml", "smoke.yaml"], **override, epochs=2, val_interval=2)
    made = build_bundle(NAME, ["train.yaml", "smoke.yaml", "evaluate.yaml"], **override, evaluate_section="test")
    made.initialize()
    evaluator = made.parser.get_parsed_content("validate#evaluator")
    made.run()
    assert equal_states(evaluator.network.state_dict(), load(tmp_path / "models" / "model.pt"))
