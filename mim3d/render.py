"""Configs of every bundle, rendered from sources that say each thing once.

A bundle's own source (``task.yaml`` of a segmentation bundle, ``method.yaml`` of a pretraining bundle) holds
blocks of YAML text. A layout in ``bundles/_shared`` says where each block stands in ``train.yaml``,
``inference.yaml`` and the layers. Layouts also include the source of a network or a view. All are Jinja2
templates: a line ``#> ...`` is a statement, ``<<name>>`` is a value. Texts are put together, not parsed configs,
so comments stay.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom_components.atomic import write_text
from mim3d.catalog import BUNDLES, METHODS, NETWORKS, ROOT, SEGMENTED, TASKS

SHARED = BUNDLES / "_shared"
#: How the first line of a rendered file begins.
MARK = "# Rendered by `mim3d render` from "
#: Parts of a view that a layout may ask for: keys to crop to the foreground, the entry for the weights card, and
#: the intensity above which masks take a voxel for foreground.
DEFAULTS: dict[str, Any] = {"crop_keys": None, "weights_card": False, "threshold_masks": False}


@dataclass(frozen=True)
class Output:
    """A file to render.

    Attributes:
        path: where it is written.
        source: the bundle's own source, relative to bundles/.
        layout: the layout that the source extends, relative to bundles/_shared.
        origins: files to edit in order to change the output, relative to bundles/.
        values: further values that the templates use.
    """

    path: Path
    source: str
    layout: str
    origins: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)


def outputs() -> Iterator[Output]:
    """Every YAML file that is rendered."""
    for task in TASKS.values():
        values = {"kind": "seg", "output_key": "@output_names", "task": task, "network": NETWORKS[SEGMENTED]}
        others = [name for name in NETWORKS if name != SEGMENTED]
        yield from _bundle(task.bundle, f"{task.bundle.name}/task.yaml", "seg", others, values)
    for method in METHODS.values():
        values = {
            "kind": "pretrain",
            "output_key": "@channels",
            "method": method,
            "network": NETWORKS[method.default],
        }
        source = f"{method.bundle.name}/method.yaml"
        yield from _bundle(method.bundle, source, "pretrain", list(method.others), values)
        for task in TASKS.values():
            if task.view_layer:
                origins = (f"_shared/views/{task.name}.yaml",)
                path = method.bundle / "configs" / task.view_layer
                yield Output(path, source, "task_layer.yaml", origins, {**values, "task": task})


def _bundle(
    bundle: Path, source: str, layouts: str, networks: list[str], values: dict[str, Any]
) -> Iterator[Output]:
    """What all bundles have: a file per layout of their kind, and a layer per further network."""
    shared = [f"{layouts}/{path.name}" for path in sorted((SHARED / layouts).glob("*.yaml"))]
    for layout in [*shared, "multi_gpu_train.yaml"]:
        path = bundle / "configs" / Path(layout).name
        yield Output(path, source, layout, (source, f"_shared/{layout}"), values)
    for name in networks:
        path, origins = bundle / "configs" / f"{name}.yaml", (f"_shared/networks/{name}.yaml",)
        yield Output(path, source, "network_layer.yaml", origins, {**values, "network": NETWORKS[name]})


def render_all() -> dict[Path, str]:
    """Render every file.

    Returns:
        Path -> content.

    Raises:
        ValueError: if a source has a mistake; the message names file and line.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError

    environment = Environment(
        loader=FileSystemLoader([SHARED, BUNDLES]),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#/>",
        line_statement_prefix="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    rendered = {}
    for output in outputs():
        values = {
            **DEFAULTS,
            "layout": output.layout,
            "file": output.path.name,
            "networks": NETWORKS,
            **output.values,
        }
        try:
            text = environment.get_template(output.source).render(values)
        except TemplateSyntaxError as error:
            raise ValueError(f"{error.filename}, line {error.lineno}: {error.message}") from None
        except TemplateError as error:
            raise ValueError(f"{output.path.relative_to(ROOT)} cannot be rendered: {error.message}") from None
        origins = " and ".join(f"bundles/{origin}" for origin in output.origins)
        rendered[output.path] = f"{MARK}{origins}.\n{text}"
    conf = SHARED / "logging.conf"
    head = f"{MARK}{conf.relative_to(ROOT)}.\n"
    for bundle in [*(task.bundle for task in TASKS.values()), *(method.bundle for method in METHODS.values())]:
        rendered[bundle / "configs" / "logging.conf"] = head + conf.read_text(encoding="utf-8")
    return rendered


def left_over(rendered: dict[Path, str]) -> list[Path]:
    """Files that an earlier rendering wrote and that no source makes any more."""
    found = sorted(BUNDLES.glob("*/configs/*.yaml"))
    return [p for p in found if p not in rendered and p.read_text(encoding="utf-8").startswith(MARK)]


def differences(rendered: dict[Path, str]) -> list[str]:
    """A unified diff for each file that was edited by hand, is missing or is left over."""
    wanted: dict[Path, str] = {**rendered, **dict.fromkeys(left_over(rendered), "")}
    found = []
    for path, text in wanted.items():
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        if there != text:
            name = path.relative_to(ROOT).as_posix()
            old, new = (content.splitlines(keepends=True) for content in (there, text))
            lines = difflib.unified_diff(old, new, f"{name} (found)", f"{name} (rendered)")
            found.append("".join(lines))
    return found


def write(rendered: dict[Path, str]) -> list[Path]:
    """Write what changed and remove what is left over; returns the paths that were touched."""
    touched = []
    for path, text in rendered.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            touched.append(path)
    for path in left_over(rendered):
        path.unlink()
        touched.append(path)
    return touched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--check", action="store_true", help="write nothing; show how files differ from their sources"
    )


def run(arguments: argparse.Namespace) -> None:
    """Render, and write or compare.

    Raises:
        SystemExit: with --check, if a file differs from what is rendered.
        ValueError: if a source has a mistake.
    """
    rendered = render_all()
    if arguments.check:
        found = differences(rendered)
        if found:
            print("".join(found))
            raise SystemExit(
                f"error: {len(found)} files differ from their sources; edit those and run mim3d render"
            )
        print(f"{len(rendered)} rendered files are up to date")
        return
    touched = write(rendered)
    for path in touched:
        print(path.relative_to(ROOT).as_posix())
    print(f"{len(touched)} of {len(rendered)} files changed")
