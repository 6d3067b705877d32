"""Which config files and keys each run of an arm takes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser

from mim3d.catalog import METHODS
from mim3d.choice import Choice
from mim3d.study.arms import Arm
from mim3d.study.definition import Keys, Study


@dataclass(frozen=True)
class RunConfig:
    """Config files of a bundle and the keys that change them.

    Attributes:
        bundle: the bundle's folder.
        files: paths, in their order.
        keys: config keys and their values, without places such as folders.
    """

    bundle: Path
    files: tuple[str, ...]
    keys: Keys = field(default_factory=dict)

    def value(self, key: str) -> Any:
        """Return the value that a run will see for a key."""
        return json.loads(_value(self.files, json.dumps(self.keys, default=str), key))

    def with_layers(self, *names: str) -> RunConfig:
        """Return the same with further files of the bundle at the end."""
        return RunConfig(self.bundle, (*self.files, *(str(self.bundle / "configs" / n) for n in names)), self.keys)

    @property
    def content(self) -> str:
        """The merged files and the keys as text, for a hash; comments and places do not matter."""
        return json.dumps([self.bundle.name, loaded(self.files), self.keys], sort_keys=True, default=str)


@lru_cache(maxsize=1024)
def _value(files: tuple[str, ...], keys: str, key: str) -> str:
    parser = ConfigParser(loaded(files))
    parser.update(json.loads(keys))
    return json.dumps(parser.get_parsed_content(key))


def loaded(files: tuple[str, ...]) -> dict[str, Any]:
    """Return merged config files; each call gives a copy of its own."""
    return json.loads(_text(files))


@lru_cache(maxsize=64)
def _text(files: tuple[str, ...]) -> str:
    return json.dumps(ConfigParser.load_config_files(list(files)))


def pretraining_config(study: Study, arm: Arm) -> RunConfig:
    """Return the config of an arm's pretraining."""
    bundle = METHODS[arm.method].bundle
    own, layers = study.pretraining["layers"], study.task.pretraining_layers(smoke=study.small)
    return _config(study, Choice(arm.method, arm.backbone), bundle, layers, own, arm.pretraining)


def segmentation_config(study: Study, arm: Arm, candidate: Keys) -> RunConfig:
    """Return the config of an arm's segmentation training with one candidate of the rate search."""
    method = next(name for name in METHODS if arm.backbone in METHODS[name].layers)
    choice = Choice(method, arm.backbone)
    own, layers = study.segmentation["layers"], ["smoke.yaml"] if study.small else []
    return _config(study, choice, study.task.bundle, layers, own, {**arm.segmentation, **candidate})


def _config(
    study: Study, choice: Choice, bundle: Path, layers: list[str], own: list[str], keys: Keys
) -> RunConfig:
    """Files: train.yaml, layers of task and size, network, then the study's own layers."""
    names = ["train.yaml", *layers, *choice.layers(bundle)]
    files = [str(bundle / "configs" / name) for name in names]
    for name in own:
        path = bundle / "configs" / name
        files.append(str(path if path.is_file() else study.folder / name))
    data = "hippocampus" if study.task.name == "msd_hippocampus" else "phantoms"
    small = choice.overrides(bundle, data) if study.small else {}
    return RunConfig(bundle, tuple(files), {**small, **keys})
