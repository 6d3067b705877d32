"""What seg_btcv refuses in one line: wrong keys and places, weights that are missing or do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bundles.btcv import TINY, command, pretrained_file, run, smoke, words


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"dataset_dir": "nowhere"}, "nowhere does not exist"),
        ({"dataset_dir": ""}, "dataset_dir is ''"),
        ({"roi_size": [30, 32, 32]}, "roi_size"),
        ({"channels": ["CT", "MRI"]}, "channels; expected 2"),
        ({"label_names": ["background", "low"]}, "case"),
        ({"pretrained": "nothing.pt"}, "nothing.pt"),
        ({"datalist": "nothing.json"}, "nothing.json"),
        ({"learning_rate": "1e-4"}, "learning_rate is '1e-4'; allowed: a number above 0"),
        ({"num_samples": 0}, "num_samples is 0; allowed: a whole number at least 1"),
        ({"cache_rate": 1.5}, "cache_rate is 1.5; allowed: null or a number at least 0 and at most 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_ends_in_one_line(btcv_data: Path, tmp_path: Path, override: dict[str, Any], told: str) -> None:
    with pytest.raises(SystemExit, match="^error: ") as caught:
        run(["train.yaml", "smoke.yaml"], **{**smoke(btcv_data, tmp_path), **override})
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "layers", [["train.yaml", "smoke.yaml", "evaluate.yaml"], ["inference.yaml", "smoke.yaml"]]
)
def test_missing_weights_end_in_one_line(btcv_data: Path, tmp_path: Path, layers: list[str]) -> None:
    override = smoke(btcv_data, tmp_path, weights=str(tmp_path / "model.pt"), dataset_dir=str(btcv_data))
    if layers[0] == "inference.yaml":
        override = {**TINY, "weights": str(tmp_path / "model.pt"), "dataset_dir": str(btcv_data / "imagesTr")}
    with pytest.raises(SystemExit, match="^error: .*model.pt"):
        run(layers, **override)


def test_weights_of_another_network_end_evaluation_in_one_line(btcv_data: Path, tmp_path: Path) -> None:
    override = smoke(btcv_data, tmp_path, weights=str(pretrained_file(tmp_path)))
    with pytest.raises(SystemExit, match="^error: weights .*pretrained.pt do not fit"):
        run(["train.yaml", "smoke.yaml", "evaluate.yaml"], **override)


@pytest.mark.slow
def test_a_misspelled_key_ends_the_command_with_the_nearest_one(btcv_data: Path, tmp_path: Path) -> None:
    done = command(*words(["train.yaml", "smoke.yaml"], smoke(btcv_data, tmp_path, epoch=3)))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "'epoch' (nearest: 'epochs')" in last
