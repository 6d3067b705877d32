"""Arms, cells and runs: what is compared, what is shared, and what makes two runs the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.study.arms import reference_of
from mim3d.study.config_checks import check_configs
from mim3d.study.mistakes import StudyError
from mim3d.study.plan import Plan
from mim3d.study.stages import first_runs, run_count

MakePlan = Callable[..., Plan]


def names(plan: Plan) -> list[str]:
    return [arm.name for arm in plan.arms]


def test_keys_of_pretraining_do_not_split_scratch(make: MakePlan) -> None:
    plan = make(grid={"pretraining#mask_ratio": [0.3, 0.6]})
    assert names(plan) == ["scratch", "hybridmim mask_ratio=0.3", "hybridmim mask_ratio=0.6"]
    assert [arm.pretraining.get("mask_ratio") for arm in plan.arms] == [None, 0.3, 0.6]
    assert len(plan.cells) == 3 * 2 * 2


def test_each_arm_is_compared_with_scratch_of_the_same_network_and_keys(make: MakePlan) -> None:
    plan = make(grid={"both#spacing": [[2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]})
    pairs = {arm.name: reference_of(arm, plan.arms, "scratch") for arm in plan.arms}
    assert {name: other and other.name for name, other in pairs.items()} == {
        "scratch spacing=[2.0,2.0,2.0]": None,
        "scratch spacing=[3.0,3.0,3.0]": None,
        "hybridmim spacing=[2.0,2.0,2.0]": "scratch spacing=[2.0,2.0,2.0]",
        "hybridmim spacing=[3.0,3.0,3.0]": "scratch spacing=[3.0,3.0,3.0]",
    }


def test_variants_and_a_named_reference(make: MakePlan) -> None:
    off: dict[str, Any] = {"all": {}, "no_count": {"pretraining": {"loss_weights#count": 0.0}}}
    plan = make(variants=off, grid={"variant": ["all", "no_count"]}, reference="hybridmim all")
    assert names(plan) == ["scratch", "hybridmim all", "hybridmim no_count"]
    references = [reference_of(arm, plan.arms, plan.study.reference) for arm in plan.arms]
    assert [other and other.name for other in references] == ["hybridmim all", None, "hybridmim all"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"grid": {"method": ["scratch", "mae"], "backbone": ["swin_unetr"]}},
            "method mae does not go with backbone",
        ),
        ({"pretraining": {"steps": None}}, "pretraining has no steps; give pretraining steps or grid"),
        ({"reference": "mae"}, "'mae' is not an arm to be the reference; allowed: scratch, hybridmim"),
        ({"grid": {"method": ["hybridmim", "mae"]}}, "arm 'hybridmim' has no training from scratch beside it"),
        ({"grid": {"labels": [2, 5]}}, "grid labels has 5; there are 4 training cases"),
    ],
)
def test_what_cannot_be_planned_is_one_line(make: MakePlan, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as error:
        make(**changed)
    assert any(line.startswith(f"tiny: {message}") for line in error.value.mistakes), error.value.mistakes


def test_wrong_keys_and_values_are_found_before_anything_runs(make: MakePlan) -> None:
    plan = make(grid={"pretraining#mask_ratios": [0.3], "segmentation#learning_rat": [1.0]})
    with pytest.raises(StudyError) as error:
        check_configs(plan)
    assert error.value.mistakes == [
        "tiny: 'learning_rat' is not a config key of seg_msd_hippocampus; did you mean learning_rate?",
        "tiny: 'mask_ratios' is not a config key of pretrain_hybridmim; did you mean mask_ratio?",
    ]
    plan = make(grid={"pretraining#mask_ratio": [3.0]}, segmentation={"layers": ["mine.yaml"]})
    with pytest.raises(StudyError) as error:
        check_configs(plan)
    assert error.value.mistakes[0].startswith("tiny: layer mine.yaml does not exist in seg_msd_hippocampus or")
    assert error.value.mistakes[1].startswith("tiny: pretrain_hybridmim: mask_ratio is 3.0; allowed")


def test_a_study_cannot_choose_weights_by_the_dense_probe(make: MakePlan) -> None:
    plan = make(pretraining={"steps": 8, "keys": {"key_metric": "val_probe_dice"}})
    with pytest.raises(StudyError, match="key_metric is 'val_probe_dice'; allowed in a study: one that"):
        check_configs(plan)


def test_cells_share_a_pretraining_unless_each_seed_has_its_own(make: MakePlan) -> None:
    shared, own = make(), make(pretraining={"steps": 8, "per_seed": True})
    assert [sum(run.kind == "pretraining" for run in first_runs(plan)) for plan in (shared, own)] == [1, 2]
    assert run_count(shared) == (1, 8, 8)
    assert run_count(own) == (2, 8, 8)


def test_a_rate_search_runs_each_candidate_on_the_first_seed_only(make: MakePlan) -> None:
    plan = make(rates={"scratch": [1.0e-3, {"learning_rate": 1.0e-2, "weight_decay": 0.0}]})
    scratch = [run for run in first_runs(plan) if run.kind == "training" and not run.needs]
    assert sorted((run.config.keys["learning_rate"], run.config.keys["seed"]) for run in scratch) == [
        (1.0e-3, 0), (1.0e-3, 0), (1.0e-2, 0), (1.0e-2, 0)
    ]  # fmt: skip
    assert run_count(plan) == (1, 4 + 2 + 4, 8)  # the second seed trains with the chosen candidate
    at_four = make(rates={"scratch": [1.0e-3, 1.0e-2], "labels": 4})
    assert run_count(at_four) == (1, 2 + 3 + 4, 8)


def test_a_run_is_the_same_wherever_it_lies_and_another_if_anything_else_changes(make: MakePlan) -> None:
    plan, again = make(), make()
    again.out = Path("/elsewhere")
    cell = plan.cells[-1]  # fine-tuned
    digest = plan.training(cell, {}).digest
    assert again.training(cell, {}).digest == digest
    assert plan.training(cell, {"learning_rate": 0.5}).digest != digest
    other = make(pretraining={"steps": 20})
    assert other.training(other.cells[-1], {}).digest != digest
    assert other.training(other.cells[0], {}).digest == plan.training(plan.cells[0], {}).digest  # scratch
    digests = {plan.training(cell, {}).digest for cell in plan.cells}
    assert len(digests) == len(plan.cells)


def test_the_command_names_list_weights_and_folder(make: MakePlan, tmp_path: Path) -> None:
    plan = make()
    fine = plan.training(plan.cells[-1], {"learning_rate": 0.25})
    words = fine.command(resume=True)
    given = dict(zip(words[6::2], words[7::2], strict=True))
    assert words[1:4] == ["-m", "monai.bundle", "run"]
    assert given["--datalist"] == str(tmp_path / "out" / "lists" / "labels_4_seed_1.json")
    assert Path(given["--pretrained"]).parent.name.startswith("hybridmim_basic_unet_seed0_")
    assert (given["--ckpt_dir"], given["--learning_rate"], given["--seed"]) == (str(fine.folder), "0.25", "1")
    assert given["--resume"] == "True"
    without = plan.training(plan.cells[-1], {"rotation_axes": None}).command()
    assert without[without.index("--rotation_axes") + 1] == "$None", "MONAI ignores None"
    assert "--pretrained" not in plan.training(plan.cells[0], {}).command()
    test = plan.test(fine).command()
    assert "evaluate.yaml" in test[5]
    assert test[test.index("--evaluate_section") + 1] == "test"


def test_subsets_are_nested_and_lists_hold_what_each_run_may_see(make: MakePlan) -> None:
    data = make().data
    for seed in range(5):
        small, large = ({item["image"] for item in data.subset(n, seed)} for n in (2, 4))
        assert small < large
        assert len(small) == 2
    assert len({str(data.subset(2, seed)) for seed in range(10)}) > 1
    listed = json.loads(data.segmentation_list(2, 0))
    assert {key: len(value) for key, value in listed.items()} == {"training": 2, "validation": 2, "test": 3}
    pretraining = json.loads(data.pretraining_list())
    assert list(pretraining) == ["unlabelled", "validation"]
    assert all(list(item) == ["image"] for items in pretraining.values() for item in items)
    assert not re.search("label|test", " ".join(item["image"] for item in pretraining["validation"]))


def test_label_counts_may_be_shares(make: MakePlan) -> None:
    assert make(grid={"labels": [0.1, 0.5, "all"]}).label_counts == [1, 2, 4]
