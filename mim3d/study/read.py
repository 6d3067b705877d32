"""Reading a study file: everything that can be checked without configs and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mim3d.catalog import METHODS, NETWORKS, SEGMENTED, TASKS
from mim3d.study.definition import AXES, KEYS, PLACES, SCRATCH, Keys, Rates, Study
from mim3d.study.mistakes import Mistakes


def read_study(path: Path, on: Path | None = None) -> Study:
    """Read and check a study file.

    Args:
        path: the file.
        on: a file with the keys of a data set, which replaces the study's own ``base``.

    Raises:
        StudyError: with one line for each mistake that can be seen without the configs and the data.
    """
    mistakes = Mistakes(path.name if on is None else f"{path.name} on {on.name}")
    content = _read(path, mistakes, (), on)
    mistakes.stop()
    content = mistakes.mapping(content, "the study", KEYS)
    study = _study(study_name(path, on), (on or path).resolve().parent, content, mistakes)
    mistakes.stop()
    return study


def study_name(path: Path, on: Path | None) -> str:
    """Name a study by its file, and by the data set that it is applied to."""
    return path.stem if on is None else f"{on.stem.removeprefix('base_')}_{path.stem.removeprefix('small_')}"


def _read(path: Path, mistakes: Mistakes, above: tuple[Path, ...], on: Path | None = None) -> Keys:
    """Read a file and what it is based on; a later base wins, then its own keys. Nested mappings are merged."""
    if path in above:
        mistakes.add(f"base: {path.name} is based on itself")
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        mistakes.add(f"{path} cannot be read: {error}")
        return {}
    except yaml.YAMLError as error:
        mistakes.add(f"{path.name} is not YAML: {error}")
        return {}
    if not isinstance(content, dict):
        mistakes.add(f"{path.name} holds {type(content).__name__}; allowed: keys with values")
        return {}
    own = content.pop("base", None) or []
    bases = [on] if on else [path.parent / str(base) for base in (own if isinstance(own, list) else [own])]
    merged: Keys = {}
    for base in bases:
        merged = _merged(merged, _read(base, mistakes, (*above, path)))
    return _merged(merged, content)


def _merged(base: Keys, own: Keys) -> Keys:
    both = {key: _merged(base[key], own[key]) for key in own if _is_map(base.get(key)) and _is_map(own[key])}
    return {**base, **own, **both}


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _study(name: str, folder: Path, content: Keys, mistakes: Mistakes) -> Study:
    small = content.get("small", False)
    if not isinstance(small, bool):
        mistakes.add(f"small is {small!r}; allowed: true, false")
    task = str(content.get("task"))
    known = mistakes.choice(task, "a task", list(TASKS))
    validations, levels = content.get("validations", 10), content.get("levels") or []
    mistakes.number(validations, "validations", at_least=1, whole=True)
    for level in mistakes.listed(levels, "levels") if levels else []:
        mistakes.number(level, "levels", above=0, below=1)
    variants = mistakes.mapping(content.get("variants"), "variants")
    grid = _grid(content.get("grid"), variants, mistakes)
    return Study(
        name=name,
        folder=folder,
        task=TASKS[task] if known else TASKS["btcv"],
        small=bool(small),
        data=mistakes.mapping(content.get("data"), "data"),
        grid=grid,
        variants={
            name: {
                place: mistakes.mapping(keys, f"variants {name} {place}")
                for place, keys in mistakes.mapping(places, f"variants {name}", PLACES).items()
            }
            for name, places in variants.items()
        },
        both=mistakes.mapping(content.get("both"), "both"),
        backbones=_named(content, "backbones", NETWORKS, mistakes),
        methods=_named(content, "methods", METHODS, mistakes),
        pretraining=_stage(content, "pretraining", ("steps", "per_seed", "keys", "layers"), mistakes),
        segmentation=_stage(content, "segmentation", ("keys", "layers"), mistakes),
        rates=_rates(content.get("rates"), grid, mistakes),
        validations=validations,
        levels=[float(level) for level in levels] if not mistakes.lines else [],
        reference=str(content.get("reference", SCRATCH)),
        about=" ".join(str(content.get("about") or "").split()),
    )


def _grid(value: Any, variants: Keys, mistakes: Mistakes) -> dict[str, list[Any]]:
    grid = {
        axis: mistakes.listed(values, f"grid {axis}") for axis, values in mistakes.mapping(value, "grid").items()
    }
    for axis in grid:
        place, _, key = axis.partition("#")
        if axis not in AXES and not (key and place in PLACES):
            mistakes.choice(axis, "an axis of grid", [*AXES, *(f"{place}#KEY" for place in PLACES)])
    choices: dict[str, list[str]] = {
        "method": [SCRATCH, *METHODS], "backbone": list(NETWORKS), "variant": list(variants),
    }  # fmt: skip
    for axis, allowed in choices.items():
        for entry in grid.get(axis, []):
            mistakes.choice(entry, f"a {axis}", allowed)
    lowest = {"seed": 0, "steps": 1, "pretraining_steps": 1}
    for axis, least in lowest.items():
        for entry in grid.get(axis, []):
            mistakes.number(entry, f"grid {axis}", at_least=least, whole=True)
    for entry in grid.get("labels", []):
        _check_labels(entry, mistakes)
    if "steps" not in grid:
        mistakes.add("grid has no steps; give the optimizer steps of each segmentation training")
    return {"method": [SCRATCH], "backbone": [SEGMENTED], "labels": ["all"], "seed": [0], **grid}


def _check_labels(value: Any, mistakes: Mistakes) -> None:
    """A label count is a whole number, a share of the training cases with a dot, or ``all``."""
    if isinstance(value, float):
        mistakes.number(value, "grid labels (a share of the training cases)", above=0, at_most=1)
    elif value != "all":
        mistakes.number(
            value, "grid labels (a number of cases, a share with a dot, or all)", at_least=1, whole=True
        )


def _named(content: Keys, part: str, names: Any, mistakes: Mistakes) -> dict[str, Keys]:
    given = mistakes.mapping(content.get(part), part, list(names))
    return {name: mistakes.mapping(keys, f"{part} {name}") for name, keys in given.items()}


def _stage(content: Keys, part: str, allowed: tuple[str, ...], mistakes: Mistakes) -> Keys:
    stage = mistakes.mapping(content.get(part), part, allowed)
    if stage.get("steps") is not None:
        mistakes.number(stage["steps"], f"{part} steps", at_least=1, whole=True)
    if not isinstance(stage.get("per_seed", False), bool):
        mistakes.add(f"{part} per_seed is {stage['per_seed']!r}; allowed: true, false")
    layers = stage.get("layers") or []
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        mistakes.add(f"{part} layers is {layers!r}; allowed: a list of file names")
        layers = []
    return {**stage, "keys": mistakes.mapping(stage.get("keys"), f"{part} keys"), "layers": layers}


def _rates(value: Any, grid: dict[str, list[Any]], mistakes: Mistakes) -> Rates:
    given = mistakes.mapping(value, "rates", ("scratch", "finetuned", "seeds", "labels"))
    sides = {}
    for side in ("scratch", "finetuned"):
        sides[side] = [
            _candidate(entry, f"rates {side}", mistakes)
            for entry in (mistakes.listed(given[side], f"rates {side}") if side in given else [{}])
        ]
    seeds, labels = given.get("seeds"), given.get("labels")
    seeds = None if seeds is None else mistakes.listed(seeds, "rates seeds")
    for axis, entries in (("seed", seeds or []), ("labels", [] if labels in (None, "each") else [labels])):
        for entry in entries:
            if entry not in grid[axis]:
                mistakes.add(f"rates {axis} has {entry!r}, which is not in grid {axis} {grid[axis]}")
    return Rates(sides["scratch"], sides["finetuned"], seeds, None if labels == "each" else labels)


def _candidate(entry: Any, where: str, mistakes: Mistakes) -> Keys:
    """A candidate is a learning rate, or config keys that go together."""
    if isinstance(entry, dict):
        return mistakes.mapping(entry, where)
    mistakes.number(entry, where, above=0)
    return {"learning_rate": entry}
