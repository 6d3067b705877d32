"""A packed bundle as checks look at it: its files, texts, metadata and configs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser

from mim3d.package.folders import CONFIG_ONLY
from mim3d.package.layers import MERGED
from mim3d.verify.config_ids import at


class CheckError(Exception):
    """A fault that a check found: what was found, and what is wanted."""


def want(holds: Any, found: Any, wanted: str) -> None:
    """Raise CheckError unless a condition holds.

    Args:
        holds: the condition.
        found: what was found, for the message.
        wanted: what is allowed, for the message.
    """
    if not holds:
        raise CheckError(f"found {found}; wanted {wanted}")


@dataclass
class Packed:
    """A bundle as packed.

    Attributes:
        root: its folder.
        others: names of all bundles that are released together.
        scratch: folder for what checks write; never the bundle's own.
        schema: JSON schema file for the metadata; None downloads the one that the metadata names.
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
        """Whether it is a segmentation bundle; the others pretrain."""
        return not self.name.startswith("pretrain_")

    @property
    def config_only(self) -> bool:
        """Whether it is the config-only form of a bundle, which has no code of its own."""
        return self.name.startswith(CONFIG_ONLY)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Path in the bundle -> file."""
        return {p.relative_to(self.root).as_posix(): p for p in sorted(self.root.rglob("*")) if p.is_file()}

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Content of metadata.json."""
        return dict(json.loads(self.text("configs/metadata.json")))

    @cached_property
    def readme(self) -> str:
        """Text of docs/README.md."""
        return self.text("docs/README.md")

    @cached_property
    def trains(self) -> list[tuple[str, ...]]:
        """The lists of configs that train or evaluate."""
        listed = [("train",), ("train", "evaluate"), ("train", "multi_gpu_train")]
        return listed[:2] if self.config_only else listed

    @cached_property
    def layers(self) -> list[str]:
        """Names of the configs that go after train.yaml or inference.yaml."""
        names = sorted(path.stem for path in (self.root / "configs").glob("*.yaml"))
        return [name for name in names if name not in ("train", "inference")]

    @cached_property
    def own_network(self) -> str | None:
        """The inference network's class, if it is one of ours and a merged layer brought it; else None.

        MONAI Label serves such a package only if custom_components is installed.
        """
        target = str(at(self.config("inference"), "architecture#_target_"))
        merged = MERGED in self.text("configs/inference.yaml").partition("\n")[0]
        return target if merged and target.startswith("custom_components.backbones.") else None

    def text(self, name: str) -> str:
        """Return a file's text; raise CheckError if there is no such file."""
        want(name in self.files, f"no {name}", "the file")
        return self.files[name].read_text(encoding="utf-8")

    def config_files(self, *names: str) -> list[str]:
        """Return the paths of configs; ``train`` and ``inference`` as JSON, which MONAI's tools prefer."""
        found = []
        for name in names:
            file = self.root / "configs" / (f"{name}.json" if name in ("train", "inference") else f"{name}.yaml")
            want(file.is_file(), f"no configs/{file.name}", "the file")
            found.append(str(file))
        return found

    def config(self, *names: str) -> dict[str, Any]:
        """Return configs merged in their order, unresolved."""
        return dict(ConfigParser.load_config_files(self.config_files(*names)))

    def layer(self, name: str) -> dict[str, Any]:
        """Return one config alone, its keys as written."""
        return dict(ConfigParser.load_config_file(self.config_files(name)[0]))

    def parsed(self, key: str, *names: str) -> Any:
        """Return one entry of merged configs, resolved and built."""
        parser = ConfigParser(self.config(*names))
        parser["bundle_root"] = str(self.root)
        parser.parse()
        return parser.get_parsed_content(key)
