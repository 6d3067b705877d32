"""The shipped studies: each has a plan, without data and before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mim3d.catalog import METHODS
from mim3d.cli import main
from mim3d.commands.study import STUDIES

NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml") if not path.stem.startswith("base_"))


def test_every_claim_has_its_study() -> None:
    claims = "methods mask_ratio patch_size decoder hybrid_terms label_fraction resolution convergence schedule"
    for claim in claims.split():
        assert {claim, f"hippocampus_{claim}", f"phantoms_{claim}"} <= set(NAMES)
    text = "".join(path.read_text(encoding="utf-8") for path in STUDIES.glob("*.yaml"))
    assert all(name in text for name in METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_has_a_plan(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", name, "--out", str(tmp_path / "out"), "--dry_run", "--devices", "cpu"])
    printed = capsys.readouterr().out
    assert f"study {name}: seg_" in printed
    assert "arm scratch" in printed
    assert " -m monai.bundle run --config_file" in printed
    assert "\nruns: " in printed
    assert "\ntime: " in printed
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", "mask_ratios"])
    assert stopped.value.code == 2
    assert "there is no study 'mask_ratios'; give a file, or one of: brain_tumours, " in capsys.readouterr().err


def test_mistakes_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("task: knee\nsmall: true\n")
    with pytest.raises(SystemExit) as stopped:
        main(["study", str(file), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "error: mine.yaml: 'knee' is not a task",
        "error: mine.yaml: grid has no steps",
    ]
    assert not (tmp_path / "out").exists()
