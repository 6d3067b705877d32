"""Checks of every config of a study before anything runs: files, keys, and values as far as data do not matter."""

from __future__ import annotations

from pathlib import Path

from monai.bundle.config_parser import ConfigParser

from custom_components.checks.overrides import unknown_keys
from custom_components.faults import first_cause
from custom_components.metrics import PROBE_METRICS
from mim3d.study.configs import RunConfig, loaded, pretraining_config, segmentation_config
from mim3d.study.mistakes import Mistakes
from mim3d.study.plan import Plan

#: Checks of a config that need no data.
CHECKS = ("hyperparameters", "label_settings", "masks", "network", "factories", "key_metric")


def check_configs(plan: Plan, build: bool = True) -> None:
    """Check files, keys and values of every distinct config of a plan.

    Args:
        plan: the plan.
        build: whether to build networks too, see `check_config`.

    Raises:
        StudyError: with one line for each mistake.
    """
    mistakes = Mistakes(plan.study.name)
    configs: dict[str, RunConfig] = {}
    for arm in plan.arms:
        found = [segmentation_config(plan.study, arm, candidate) for candidate in plan.candidates(arm)]
        found += [] if arm.from_scratch else [pretraining_config(plan.study, arm)]
        for config in found:
            configs.setdefault(str((config.files, config.keys)), config)
    for config in configs.values():
        check_config(config, mistakes, build)
    mistakes.stop()
    volumes = len(plan.data.sections["unlabelled"])
    for arm in plan.arms:
        if not arm.from_scratch and (batch := pretraining_config(plan.study, arm).value("batch_size")) > volumes:
            mistakes.add(
                f"{arm.name}: batch_size of pretraining is {batch}; there are {volumes} unlabelled volumes"
            )
    mistakes.stop()


def check_config(config: RunConfig, mistakes: Mistakes, build: bool = True) -> None:
    """Add what is wrong with a config's files, keys and values, as far as it shows without data.

    Args:
        config: files and keys.
        mistakes: the list to add to.
        build: whether to build networks as well, which takes seconds for large ones.
    """
    missing = [file for file in config.files if not Path(file).is_file()]
    if missing:
        mistakes.add(f"layer {Path(missing[0]).name} does not exist in {config.bundle.name} or beside the study")
        return
    unknown = unknown_keys(config.files, config.keys)
    for key, near in unknown:
        hint = f"; did you mean {near}?" if near else ""
        mistakes.add(f"{key!r} is not a config key of {config.bundle.name}{hint}")
    if unknown or not build:
        return
    parser = ConfigParser(loaded(config.files))
    parser.update(config.keys)
    if (metric := parser.get("key_metric")) in PROBE_METRICS:
        mistakes.add(f"key_metric is {metric!r}; allowed in a study: one that needs no labels, such as val_loss")
    for name in CHECKS:
        if name in parser["checks"]:
            _check(parser, name, config, mistakes)


def _check(parser: ConfigParser, name: str, config: RunConfig, mistakes: Mistakes) -> None:
    """Run one check, and show the first cause of what fails."""
    try:
        parser.get_parsed_content(f"checks#{name}")()
    except Exception as error:  # a wrong value can fail anywhere while the config is resolved
        mistakes.add(f"{config.bundle.name}: {first_cause(error)}")
