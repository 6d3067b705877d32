"""The frame of ci/verify_bundles.py: a packed bundle to look at, named checks, and how they are run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser

from mim3d.package.layers import MERGED

#: Groups of checks in their order. The first three read files only.
GROUPS = ("files", "metadata", "configs", "workflows", "label", "network", "exports")
#: Groups that run the network at its full size.
HEAVY = ("network", "exports")
#: What a check takes, and the note that it gives.
Check = Callable[["Packed"], str]


class CheckError(Exception):
    """A check's finding: what was found, what is wanted."""


def want(holds: Any, found: Any, wanted: str) -> None:
    """CheckError unless ``holds``."""
    if not holds:
        raise CheckError(f"found {found}; wanted {wanted}")


@dataclass
class Result:
    """One line of the report."""

    name: str
    ok: bool
    note: str
    seconds: float


@dataclass
class Packed:
    """A bundle as packed.

    Args:
        root: its folder.
        others: names of all bundles that are released together.
        scratch: folder for what checks write; never the bundle's own.
        schema: JSON schema file for the metadata; None: the one that the metadata names, from the internet.
        forbidden: text that no packed file may hold: this machine's paths and names.
    """

    root: Path
    others: list[str]
    scratch: Path
    schema: Path | None = None
    forbidden: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.root.name

    @property
    def segments(self) -> bool:
        """Whether the bundle segments; others pretrain, and what asks for labels does not apply to them."""
        return not self.name.startswith("pretrain_")

    @cached_property
    def files(self) -> dict[str, Path]:
        """Path in the bundle -> file."""
        return {p.relative_to(self.root).as_posix(): p for p in sorted(self.root.rglob("*")) if p.is_file()}

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Content of metadata.json."""
        return json.loads(self.text("configs/metadata.json"))

    @cached_property
    def readme(self) -> str:
        """Text of docs/README.md."""
        return self.text("docs/README.md")

    def text(self, name: str) -> str:
        """A file's text; CheckError where there is no such file."""
        want(name in self.files, f"no {name}", "the file")
        return self.files[name].read_text(encoding="utf-8")

    def config_files(self, *names: str) -> list[str]:
        """Paths of configs: ``train`` and ``inference`` as JSON, which is what the tools take first."""
        found = []
        for name in names:
            file = self.root / "configs" / (f"{name}.json" if name in ("train", "inference") else f"{name}.yaml")
            want(file.is_file(), f"no configs/{file.name}", "the file")
            found.append(str(file))
        return found

    def config(self, *names: str) -> dict[str, Any]:
        """Configs merged in their order, as written."""
        return dict(ConfigParser.load_config_files(self.config_files(*names)))

    def layer(self, name: str) -> dict[str, Any]:
        """One config by itself, its keys as written."""
        return ConfigParser.load_config_file(self.config_files(name)[0])

    @cached_property
    def own_network(self) -> str | None:
        """The inference network's class where it is ours and a layer that was merged in brought it.

        Such a package is no longer one that MONAI Label serves without custom_components being installed.
        """
        target = str(at(self.config("inference"), "architecture#_target_"))
        merged = MERGED in self.text("configs/inference.yaml").partition("\n")[0]
        return target if merged and target.startswith("custom_components.backbones.") else None

    def parsed(self, key: str, *names: str) -> Any:
        """One entry of merged configs, built."""
        parser = ConfigParser(self.config(*names))
        parser["bundle_root"] = str(self.root)
        parser.parse()
        return parser.get_parsed_content(key)

    @cached_property
    def trains(self) -> list[tuple[str, ...]]:
        """The config lists that train or evaluate."""
        return [("train",), ("train", "evaluate"), ("train", "multi_gpu_train")]


CHECKS: dict[str, tuple[str, Check]] = {}


def check(name: str, group: str, seg_only: bool = False) -> Callable[[Check], Check]:
    """Register a check under its name; ``seg_only``: it asks for what a pretraining bundle does not have."""

    def register(function: Check) -> Check:
        def guarded(packed: Packed) -> str:
            return function(packed) if packed.segments or not seg_only else "not asked of a pretraining bundle"

        CHECKS[name] = (group, guarded)
        return function

    return register


def one_line(error: BaseException) -> str:
    """An error's innermost cause, in one line."""
    while error.__cause__ is not None and not isinstance(error, CheckError):
        error = error.__cause__
    text = " ".join(str(error).split())
    told = text if isinstance(error, CheckError) else f"{type(error).__name__}: {text}"
    return told if len(told) < 400 else told[:397] + "..."


def selected(groups: tuple[str, ...], only: list[str]) -> list[str]:
    """Names of the checks to run, in the order of groups; ValueError for a name that is none."""
    unknown = [name for name in only if name not in CHECKS]
    if unknown:
        raise ValueError(f"unknown check {unknown[0]!r}; allowed: {', '.join(CHECKS)}")
    names = sorted(CHECKS, key=lambda name: GROUPS.index(CHECKS[name][0]))
    return [name for name in names if (name in only if only else CHECKS[name][0] in groups)]


def run_checks(packed: Packed, names: list[str]) -> Iterator[Result]:
    """Run checks one after another; whatever one raises is its finding."""
    for name in names:
        start = time.perf_counter()
        try:
            note, ok = CHECKS[name][1](packed), True
        except (Exception, SystemExit) as error:
            note, ok = one_line(error), False
        yield Result(name, ok, note, round(time.perf_counter() - start, 2))


def as_dict(result: Result) -> dict[str, Any]:
    return asdict(result)


# --- reading configs ---------------------------------------------------------------------------------------


def entries(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every (id, value) of nested content, parents before children."""
    if path:
        yield path, content
    items: Any = []
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        yield from entries(value, f"{path}#{key}" if path else str(key))


def strings(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Every (id, text) of a config."""
    return [(path, value) for path, value in entries(config) if isinstance(value, str)]


def at(config: Any, path: str) -> Any:
    """The value at an id such as ``train#trainer``; None where there is none."""
    for step in re.split("#|::", path):
        if isinstance(config, list) and step.isdigit() and int(step) < len(config):
            config = config[int(step)]
        elif isinstance(config, dict) and step in config:
            config = config[step]
        else:
            return None
    return config


def targets(content: Any) -> list[str]:
    """Class names of the dictionaries in a list, by the last part of ``_target_``."""
    found = [item.get("_target_", "") if isinstance(item, dict) else "" for item in content or []]
    return [target.rpartition(".")[2] for target in found]
