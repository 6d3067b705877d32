"""The READMEs of the bundles: one text for each kind of bundle, filled in per bundle.

``bundles/<name>/readme.md`` holds what a bundle says of itself, in blocks. It extends one of the texts in
``bundles/_shared/readme``. Numbers of the recipe come from the bundle's own ``train.yaml``. The same source gives two
READMEs: one whose commands run from the repository's root, and one for the packed bundle, whose commands run from
inside its folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mim3d.catalog import BUNDLES

SOURCE = "readme.md"
WHERE = "Run the commands from the root of the repository, after `pip install -e .`."
WHERE_PACKED = (
    "Run the commands from this folder, after you installed the packages listed in `configs/metadata.json`. "
    "Unpack other bundles beside this one."
)
LABEL = "`docs/monai_label.md` of the repository explains how to serve this bundle."
LABEL_PACKED = (
    "In an environment of its own: `monailabel apps --download --name monaibundle --output APPS`, copy this folder into "
    "`APPS/monaibundle/model`, then `monailabel start_server --app APPS/monaibundle --studies STUDIES "
    "--conf models {name} --conf zoo_source ngc --conf sam2 false --host 127.0.0.1`."
)


def number(value: float) -> str:
    """A number as READMEs write it: ``3e-4``, ``0.05``, ``1``."""
    return re.sub(r"e-0*", "e-", f"{value:g}" if value >= 0.01 else f"{value:.3e}".replace(".000", ""))


def percent(share: float) -> str:
    """A share in percent: 0.005 gives ``0.5 %``."""
    return f"{100 * share:g} %"


def view_text(config: dict[str, Any]) -> str:
    """The view of the image in words: orientation, spacing in mm, intensity."""
    spacing = " × ".join(f"{side:.1f}" for side in config["spacing"])
    if "window" in config:
        low, high = (f"{value:g}".replace("-", "−") for value in config["window"])
        intensity = f"HU {low} to {high} scaled to [0, 1]"
    else:
        intensity = config["view"]["intensity"]
    return f"{config['orientation']} orientation, {spacing} mm, {intensity}"


class Commands:
    """Writes the paths and commands of one bundle's README.

    Args:
        name: the bundle whose README it is.
        packed: whether the README is for the packed bundle.
    """

    def __init__(self, name: str, packed: bool) -> None:
        self.name = name
        self.packed = packed

    def path(self, bundle: str) -> str:
        """The path prefix of a bundle's files, with a slash at its end or empty."""
        if not self.packed:
            return f"bundles/{bundle}/"
        return "" if bundle == self.name else f"../{bundle}/"

    def run(self, bundle: str, configs: Sequence[str], rest: str, ranks: int = 1) -> str:
        """A run of a bundle's config files, on one line or two.

        Args:
            bundle: the bundle to run.
            configs: names of its config files, in their order.
            rest: the arguments after ``--bundle_root``.
            ranks: number of processes; more than one are started by ``torchrun``.
        """
        start = "python" if ranks == 1 else f"torchrun --standalone --nproc_per_node={ranks}"
        files = [f"{self.path(bundle)}configs/{name}" for name in configs]
        listed = files[0] if len(files) == 1 else '"[' + ",".join(f"'{file}'" for file in files) + ']"'
        root = self.path(bundle).rstrip("/") or "."
        return f"{start} -m monai.bundle run --config_file {listed} \\\n  --bundle_root {root} {rest}"


def render_readme(name: str, packed: bool = False, bundles: Path = BUNDLES) -> str:
    """The README of a bundle.

    Args:
        name: folder of the bundle.
        packed: for the packed bundle instead of the repository.
        bundles: folder of all bundles.

    Raises:
        ValueError: where a source is missing or is no valid template.
    """
    loader = jinja2.FileSystemLoader([bundles / name, bundles / "_shared"])
    engine = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    engine.filters |= {"number": number, "percent": percent}
    config = yaml.safe_load((bundles / name / "configs" / "train.yaml").read_text(encoding="utf-8"))
    commands = Commands(name, packed)
    context = {
        "name": name,
        "packed": packed,
        "config": config,
        "view_text": view_text(config),
        "where": WHERE_PACKED if packed else WHERE,
        "label": LABEL_PACKED.format(name=name) if packed else LABEL,
        "path": commands.path,
        "run": commands.run,
    }
    try:
        return engine.get_template(SOURCE).render(context)
    except jinja2.TemplateError as error:
        raise ValueError(f"{name}/{SOURCE}: {error}") from error
