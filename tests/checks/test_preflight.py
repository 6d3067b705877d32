"""The preflight: named checks run in order, the first fault ends all ranks with one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from custom_components.checks import LabelFiles, Preflight
from custom_components.data import DataList
from tests.ranks import run_ranks

ROOT = Path(__file__).resolve().parents[2]


def fault(message: str) -> None:
    raise ValueError(message)


def test_checks_run_in_order_and_what_they_return_is_printed_under_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[str] = []

    def silent() -> None:
        calls.append("silent")

    Preflight({"silent": silent, "off": None, "spoken": lambda: calls.append("spoken") or "3 images"})()
    assert calls == ["silent", "spoken"]
    assert capsys.readouterr().out == "checking before the run: silent, spoken\nchecked spoken: 3 images\n"
    Preflight({})()
    assert capsys.readouterr().out == ""


def test_the_first_fault_is_one_line() -> None:
    checks = {"one": lambda: None, "two": lambda: fault("a\n  b"), "three": lambda: fault("c")}
    with pytest.raises(SystemExit) as end:
        Preflight(checks)()
    assert end.value.code == "error: a b"


def test_a_defect_of_a_check_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        Preflight({"broken": lambda: str(1 / 0)})()


def test_a_layer_switches_a_check_off_or_replaces_it_by_name(tmp_path: Path) -> None:
    room = "custom_components.checks"
    base = {
        "epochs": 1,
        "checks": {
            "numbers": {"_target_": f"{room}.Hyperparameters", "learning_rate": 0},
            "schedule": {"_target_": f"{room}.Schedule", "epochs": "@epochs", "val_interval": 2},
        },
        "preflight": {"_target_": f"{room}.Preflight", "checks": "@checks"},
    }
    (tmp_path / "train.json").write_text(json.dumps(base))
    off = {"checks#numbers": None}
    replaced = {"checks#schedule": {"_target_": f"{room}.Hyperparameters", "weight_decay": -1}}
    for layers, message in (
        ([], "learning_rate is 0"),
        ([off], "val_interval is 2 and epochs is 1"),
        ([off, {"checks#schedule#val_interval": 1}], None),
        ([off, replaced], "weight_decay is -1"),
    ):
        files = [tmp_path / "train.json"]
        for number, layer in enumerate(layers):
            files.append(tmp_path / f"layer{number}.json")
            files[-1].write_text(json.dumps(layer))
        parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
        if message is None:
            parser.get_parsed_content("preflight")()
        else:
            with pytest.raises(SystemExit, match=message):
                parser.get_parsed_content("preflight")()


def _rank(rank: int, results: Path, folder: Path) -> None:
    try:
        items = DataList(folder).items("training")
        Preflight({"labels": LabelFiles(items, ["background", "one", "two"])})()
        code: object = "passed"
    except SystemExit as end:
        code = end.code
    (results / f"{rank}.json").write_text(json.dumps(code))


@pytest.mark.slow
@pytest.mark.parametrize("bad", [None, "c1"])  # c1's voxels are read by rank 1 only
def test_what_one_rank_finds_ends_all_ranks(folder: Path, tmp_path: Path, bad: str | None) -> None:
    if bad:
        label = folder / "labels" / f"{bad}.nii.gz"
        nib.save(nib.Nifti1Image(np.full((20, 18, 16), 7, np.uint8), np.eye(4)), label)
    run_ranks(_rank, tmp_path, folder)
    codes = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    if bad is None:
        assert codes == ["passed", "passed"]
    else:
        assert "c1.nii.gz holds the values 7" in codes[0]
        assert codes[1] == 1


CONFIG = """
dataset_dir: ""
epochs: 3
data_list: {_target_: custom_components.data.DataList, dataset_dir: "@dataset_dir", require_label: true}
items: "$@data_list.section('training')"
checks:
  overrides: {_target_: custom_components.checks.Overrides}
  cases: {_target_: custom_components.checks.Cases, items: "@items", channels: [CT]}
preflight: {_target_: custom_components.checks.Preflight, checks: "@checks"}
dataset: {_target_: Dataset, data: "@items"}
run:
- "$@preflight()"
- "$print('cases:', len(@dataset))"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "last"),
    [
        ((), "cases: 3"),
        (("--dataset_dir", "/no/such"), "error: dataset_dir /no/such does not exist"),
        # The misspelled key is reported first, although the folder is wrong too.
        (("--dataset_dir", "/no/such", "--epoch", "3"), "error: unknown override 'epoch' (nearest: 'epochs')"),
        (("--dataset_dir", "/no/such", "--checks#cases", "$None"), "error: dataset_dir /no/such does not exist"),
    ],
)
def test_in_a_bundle_the_preflight_comes_before_the_data(
    folder: Path, tmp_path: Path, words: tuple[str, ...], last: str
) -> None:
    (tmp_path / "train.yaml").write_text(CONFIG)
    (tmp_path / "metadata.json").write_text("{}")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(tmp_path / "train.yaml")]
    command += words or ("--dataset_dir", str(folder))
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    if words:
        assert done.returncode == 1
        assert lines[-1].startswith(last)
    else:
        assert done.returncode == 0
        assert any(line.startswith("checked cases: 3 images, 1 channel(s), data list ") for line in lines)
        assert any(line.startswith(last) for line in lines)
