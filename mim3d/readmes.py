"""The READMEs of the bundles: one text for each kind of bundle, filled in per bundle.

``bundles/<name>/readme.md`` holds, in blocks, the text that only one bundle has. It extends a text in
``bundles/_shared/readme``. Values of the recipe come from ``train.yaml``. Each source gives two READMEs. In the
repository, commands run from its root. In a packed bundle, they run from inside its folder.

What holds for all bundles is in one text, ``bundles/_shared/readme/training.md``. It becomes the page
``docs/training.md``, to which the READMEs in the repository link. A packed README ends with the sections of this
text that concern its bundle, and links to them, because the page is not packed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mim3d.catalog import DEFAULT_VIEW, METHODS, NETWORKS, ROOT, SEGMENTED, TASKS, Method

if TYPE_CHECKING:
    from jinja2 import Environment

SOURCE = "readme.md"
COMMON = "readme/training.md"  # in bundles/_shared
PAGE = ROOT / "docs" / "training.md"
#: Where a README finds the sections of the page.
LINK, LINK_PACKED = "../../../docs/training.md", ""
#: README of the config-only form of every segmentation bundle.
CONFIG_ONLY = "readme/config_only.md"
WHERE = "Run the commands from the root of the repository, after `pip install -e .`."
WHERE_PACKED = (
    "Run the commands from this folder, after you installed the packages that `configs/metadata.json` lists. "
    "Unpack other bundles beside this one."
)
#: How to serve a packed segmentation bundle; docs/monai_label.md says it for the repository.
LABEL = (
    "In an environment of its own: `monailabel apps --download --name monaibundle --output APPS`, copy this "
    "folder to `APPS/monaibundle/model/{name}`, then `monailabel start_server --app APPS/monaibundle "
    "--studies STUDIES --conf models {name} --conf zoo_source ngc --conf sam2 false --host 127.0.0.1`."
)


def number(value: float) -> str:
    """Write a number as READMEs do: ``3e-4``, ``0.05``."""
    return f"{value:g}" if value >= 0.01 else re.sub(r"(\.0+)?e-0*", "e-", f"{value:.1e}")


def percent(share: float) -> str:
    """Write a share in percent: 0.005 gives ``0.5 %``."""
    return f"{100 * share:g} %"


def view_text(config: Mapping[str, Any]) -> str:
    """Describe the view of the image: orientation, spacing in mm, intensity."""
    spacing = " × ".join(f"{side:.1f}" for side in config["spacing"])
    intensity = config["view"]["intensity"]
    if "window" in config:
        low, high = (f"{value:g}".replace("-", "−") for value in config["window"])
        intensity = f"HU {low} to {high} scaled to [0, 1]"
    return f"{config['orientation']} orientation, {spacing} mm, {intensity}"


def numbered(names: Sequence[str]) -> str:
    """List names with their numbers: ``0 background, 1 liver``."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))


class Commands:
    """Writes the paths and commands of one README.

    Args:
        name: the bundle.
        packed: whether the README is that of the packed bundle.
        weights: whether that package holds weights in ``models``.
    """

    def __init__(self, name: str, packed: bool, weights: bool = False) -> None:
        self.name = name
        self.packed = packed
        self.weights = weights

    def into(self, folder: str) -> str:
        """Return the argument that keeps a training out of ``models`` if that folder holds packed weights.

        A training refuses a folder with the results of another one.
        """
        return f" --ckpt_dir OUT/{folder}" if self.weights else ""

    def models(self, bundle: str, folder: str) -> str:
        """Return where the weights of a training are: in ``models`` of its bundle, or where `into` put them."""
        return f"OUT/{folder}" if self.weights else f"{self.path(bundle)}models"

    def path(self, bundle: str) -> str:
        """Return what stands before the path of a bundle's file: empty, or with a slash at its end."""
        if not self.packed:
            return f"bundles/{bundle}/"
        return "" if bundle == self.name else f"../{bundle}/"

    def run(self, bundle: str, configs: Sequence[str], arguments: str, ranks: int = 1) -> str:
        """Return the command that runs config files of a bundle.

        Args:
            bundle: the bundle to run.
            configs: names of its config files, in their order.
            arguments: what follows ``--bundle_root``.
            ranks: number of processes; ``torchrun`` starts more than one.
        """
        start = "python" if ranks == 1 else f"torchrun --standalone --nproc_per_node={ranks}"
        files = [f"{self.path(bundle)}configs/{name}" for name in configs]
        listed = files[0] if len(files) == 1 else '"[' + ",".join(f"'{file}'" for file in files) + ']"'
        root = self.path(bundle).rstrip("/") or "."
        return f"{start} -m monai.bundle run --config_file {listed} \\\n  --bundle_root {root} {arguments}"


def render_readme(
    engine: Environment,
    bundle: Path,
    train: str,
    packed: bool = False,
    weights: bool = False,
    config_only: bool = False,
) -> str:
    """Render the README of a bundle.

    Args:
        engine: the environment of the templates.
        bundle: folder of the bundle.
        train: content of its ``configs/train.yaml``.
        packed: whether to render the README of the packed bundle.
        weights: whether that package holds weights.
        config_only: whether to render that of its config-only form.

    Raises:
        ValueError: if the source has a mistake.
    """
    import yaml

    config = yaml.safe_load(train)
    engine.filters |= {"number": number, "percent": percent}
    commands = Commands(bundle.name, packed, weights)
    method = next((method for method in METHODS.values() if method.bundle.name == bundle.name), None)
    values = {
        "name": bundle.name,
        "task": next((task for task in TASKS.values() if task.bundle.name == bundle.name), None),
        "method": method,
        "segmented": SEGMENTED,
        "packed": packed,
        "pretraining": bundle.name,
        "common": LINK_PACKED if packed else LINK,
        **_parts([method] if method else []),
        "config": config,
        "view_text": view_text(config),
        "metadata": json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8")),
        "where": WHERE_PACKED if packed else WHERE,
        "label": LABEL.format(name=bundle.name),
        "numbered": numbered,
        "path": commands.path,
        "run": commands.run,
        "into": commands.into,
        "models": commands.models,
    }
    return _rendered(engine, CONFIG_ONLY if config_only else f"{bundle.name}/{SOURCE}", values)


def render_page(engine: Environment) -> str:
    """Render the page of what holds for all bundles. Its commands are those of the default segmentation bundle.

    Raises:
        ValueError: if the source has a mistake.
    """
    name = TASKS[DEFAULT_VIEW].bundle.name
    commands = Commands(name, packed=False)
    values = {
        **_parts(list(METHODS.values())),
        "seg": True,
        "packed": False,
        "name": name,
        "pretraining": next(iter(METHODS.values())).bundle.name,
        "path": commands.path,
        "run": commands.run,
    }
    return _rendered(engine, COMMON, values)


def _parts(methods: Sequence[Method]) -> dict[str, Any]:
    """Return what the common text reads: its tables, and which sections concern these methods.

    Without methods, the sections are those of segmentation.
    """
    names = {method.name for method in methods}
    return {
        "seg": not methods,
        "pretrain": bool(methods),
        "masked": bool(names - {"simclr"}),
        "contrastive": "simclr" in names,
        "mim_med3d": bool(names & {"mae", "simmim", "simclr"}),
        "networks": NETWORKS,
        "tasks": TASKS,
        "with_default": {name: _offering(name, default=True) for name in NETWORKS},
        "with_layer": {name: _offering(name, default=False) for name in NETWORKS},
    }


def _offering(network: str, default: bool) -> list[str]:
    """Name the bundles whose default network this is, or those that have a layer for it."""
    found = ["`seg_*`"] if default == (network == SEGMENTED) else []
    for method in METHODS.values():
        if network == method.default if default else network in method.others:
            found.append(f"`{method.bundle.name}`")
    return found


def _rendered(engine: Environment, source: str, values: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return engine.get_template(source).render(values)
    except TemplateError as error:
        raise ValueError(f"bundles/{source} cannot be rendered: {error}") from None
