"""Every bundle passes the checks of mim3d verify, in this process and in one of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mim3d.verify.checks import select
from mim3d.verify.verify_bundles import work
from tests.mim3d.verify.breakages import ISOLATED, NAMES, SAMPLE, edit, put, put_text


def names_of(*groups: str) -> list[str]:
    return [name for name in select(groups, []) if name not in (*ISOLATED, "layers build")]


@pytest.mark.slow
@pytest.mark.parametrize("bundle", NAMES)
def test_a_packed_bundle_says_what_the_zoo_and_monai_label_ask(packages, run, bundle):
    results = run(packages(bundle), names_of("files", "metadata", "configs"))
    assert len(results) > 20
    assert [(result.name, result.note) for result in results if not result.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("bundle", NAMES)
def test_a_packed_bundle_builds_for_monai_and_for_monai_label(packages, run, bundle):
    results = run(packages(bundle), names_of("workflows", "label"))
    assert len(results) > 5
    assert [(result.name, result.note) for result in results if not result.ok] == []


@pytest.mark.slow
def test_bundles_of_each_kind_pass_but_for_exports_as_packed(command, tmp_path):
    """Of the other bundles, the tests above run the checks that need no process of their own."""
    kinds = ["pretrain_hybridmim", SAMPLE]
    done = command("verify", *kinds, "--skip-exports", "--report", str(tmp_path / "report.json"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(report["bundles"]) == kinds
    assert report["failed"] == []


@pytest.mark.slow
def test_a_package_without_its_own_code_fails_in_a_process_of_its_own(packages, tmp_path):
    """The repository's installed custom_components is not seen."""
    root = Path(shutil.copytree(packages(SAMPLE), tmp_path / SAMPLE))
    shutil.rmtree(root / "custom_components")
    edit(root, "configs/multi_gpu_train.yaml", lambda config: config.update(rank_items="@nothing"))
    (tmp_path / "scratch").mkdir()
    job = {"root": str(root), "others": NAMES, "scratch": str(tmp_path / "scratch"), "schema": None}
    job |= {"forbidden": [], "checks": list(ISOLATED), "log": str(tmp_path / "log.txt")}
    results = list(work(job, tmp_path))
    assert [result.ok for result in results] == [False] * len(ISOLATED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("breakage", "told"),
    [
        (put("configs/inference.yaml", "run", ["$print('no preflight')"]), "found 0, "),
        (put_text("configs/train.yaml", "custom_components.", "own_components."), "own_components"),
        (put_text("custom_components/transfer/match.py", None, "import mim3d\n"), "imports without mim3d"),
    ],
)
def test_a_readme_whose_commands_do_not_run_fails(packages, run, tmp_path, breakage, told):
    root = Path(shutil.copytree(packages(SAMPLE), tmp_path / SAMPLE))
    breakage(root)
    (result,) = run(root, ["README commands run"])
    assert not result.ok
    assert told in result.note
