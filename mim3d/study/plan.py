"""The plan of a study: its arms and cells, and the runs that they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mim3d.study.arms import Arm, Cell, expand_arms
from mim3d.study.configs import RunConfig, pretraining_config, segmentation_config
from mim3d.study.data import StudyData, list_hash, write_list
from mim3d.study.definition import Keys, Study
from mim3d.study.mistakes import Mistakes
from mim3d.study.runs import Run, digest_of, folder_name
from mim3d.study.schedule import schedule


@dataclass
class Plan:
    """A study with its data: what is to run.

    Attributes:
        study: the study.
        data: its cases.
        out: folder of all results.
        budget: factor on the steps of every training.
        arms: what is compared.
        cells: every training that is scored on the test cases.
    """

    study: Study
    data: StudyData
    out: Path
    budget: float
    arms: list[Arm] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    @property
    def label_counts(self) -> list[int]:
        """Numbers of labelled cases, ascending."""
        return sorted({self.data.count(label) for label in self.study.grid["labels"]})

    @property
    def seeds(self) -> list[int]:
        """Seeds of the cells."""
        return list(self.study.grid["seed"])

    @property
    def budgets(self) -> list[int]:
        """Optimizer steps asked for, ascending."""
        return sorted({self.steps(steps) for steps in self.study.grid["steps"]})

    def steps(self, steps: int) -> int:
        """Return a number of steps at this budget."""
        return max(1, round(steps * self.budget))

    def candidates(self, arm: Arm) -> list[Keys]:
        """Return the candidates of an arm's rate search."""
        return self.study.rates.scratch if arm.from_scratch else self.study.rates.finetuned

    def search_cell(self, cell: Cell) -> list[Cell]:
        """Return the cells on which the candidates for a cell are compared."""
        seeds, labels = self.study.rates.seeds or self.seeds[:1], self.study.rates.labels
        count = cell.labels if labels is None else self.data.count(labels)
        return [Cell(cell.arm, count, seed, cell.steps) for seed in seeds]

    def pretraining(self, arm: Arm, seed: int) -> Run:
        """Return the pretraining of an arm; the arms and cells that share it get the same run.

        Args:
            arm: an arm with a pretraining.
            seed: of the cell; it counts if the study has ``per_seed``.
        """
        assert arm.pretraining_steps is not None
        config, text = pretraining_config(self.study, arm), self.data.pretraining_list()
        seed = seed if self.study.pretraining.get("per_seed", False) else self.seeds[0]
        volumes = len(self.data.sections["unlabelled"])
        per_epoch = max(1, volumes // config.value("batch_size") // config.value("accumulation_steps"))
        length = schedule(self.steps(arm.pretraining_steps), per_epoch, self.study.validations)
        keys = {"seed": seed, "epochs": length.epochs, "val_interval": length.val_interval}
        config = RunConfig(config.bundle, config.files, {**config.keys, **keys})
        digest = digest_of(config.content, list_hash(text))
        name = folder_name(arm.method, arm.backbone, f"seed{seed}", digest)
        title = f"pretraining {arm.name}, {length.steps} steps, seed {seed}"
        folder = self.out / "pretraining" / name
        places = self._places(folder, "pretraining")
        return Run("pretraining", title, config, places, folder, digest, length.epochs, length.steps)

    def training(self, cell: Cell, candidate: Keys) -> Run:
        """Return a cell's segmentation training with one candidate of the rate search."""
        config = segmentation_config(self.study, cell.arm, candidate)
        text = self.data.segmentation_list(cell.labels, cell.seed)
        per_epoch = -(-cell.labels // config.value("batch_size"))
        length = schedule(cell.steps, per_epoch, self.study.validations)
        keys = {"seed": cell.seed, "epochs": length.epochs, "val_interval": length.val_interval}
        config = RunConfig(config.bundle, config.files, {**config.keys, **keys})
        before = None if cell.arm.from_scratch else self.pretraining(cell.arm, cell.seed)
        digest = digest_of(config.content, list_hash(text), before.digest if before else "")
        tried = ", ".join(f"{key} {value}" for key, value in candidate.items()) or "default rate"
        title = f"{cell.arm.name}, {cell.labels} labels, seed {cell.seed}, {length.steps} steps, {tried}"
        name = folder_name(
            cell.arm.method, f"labels{cell.labels}", f"seed{cell.seed}", f"steps{cell.steps}", digest
        )
        folder, listed = self.out / "training" / name, _list_name(cell.labels, cell.seed)
        places = self._places(folder, listed)
        if before:
            places["pretrained"] = before.folder / "model.pt"
        needs = (before.digest,) if before else ()
        return Run("training", title, config, places, folder, digest, length.epochs, length.steps, needs)

    def test(self, training: Run) -> Run:
        """Return the evaluation of a training on the test cases."""
        config = training.config.with_layers("evaluate.yaml")
        folder = training.folder / "test"
        places = {key: training.places[key] for key in ("dataset_dir", "datalist", "ckpt_dir")}
        places |= {"evaluate_section": "test", "output_dir": folder}
        digest = digest_of(config.content, training.digest)
        cases = len(self.data.sections["test"])
        return Run(
            "test", f"test of {training.title}", config, places, folder, digest, 0, cases, (training.digest,)
        )

    def write_lists(self) -> None:
        """Write the data list of pretraining and one for each label count and seed."""
        folder = self.out / "lists"
        write_list(folder, "pretraining", self.data.pretraining_list())
        for cell in {(cell.labels, cell.seed) for cell in self.cells}:
            write_list(folder, _list_name(*cell), self.data.segmentation_list(*cell))

    def _places(self, folder: Path, datalist: str) -> Keys:
        path = self.out / "lists" / f"{datalist}.json"
        return {
            "dataset_dir": self.data.folder or "DATA",
            "datalist": path,
            "ckpt_dir": folder,
            "output_dir": folder,
        }


def _list_name(labels: int, seed: int) -> str:
    return f"labels_{labels}_seed_{seed}"


def make_plan(study: Study, data: StudyData, out: Path, budget: float = 1.0) -> Plan:
    """Expand a study into arms and cells.

    Raises:
        StudyError: for label counts above the number of training cases, seeds without a fold, and everything else
            that arms refuse.
    """
    plan = Plan(study, data, out, budget)
    plan.arms = expand_arms(study)
    mistakes = Mistakes(study.name)
    for label in study.grid["labels"]:
        if data.count(label) > data.pool:
            mistakes.add(f"grid labels has {label}; there are {data.pool} training cases")
    for seed in plan.seeds if data.folds else []:
        if seed >= len(data.folds):
            mistakes.add(f"grid seed has {seed}; there are {len(data.folds)} folds, with seeds from 0")
    mistakes.stop()
    plan.cells = [
        Cell(arm, labels, seed, steps)
        for labels in plan.label_counts
        for steps in plan.budgets
        for arm in plan.arms
        for seed in plan.seeds
    ]
    return plan
