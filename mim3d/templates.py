"""What `mim3d render` renders: every config, document and metadata file of the bundles, from their sources.

A bundle's own source (``task.yaml`` of a segmentation bundle, ``method.yaml`` of a pretraining bundle) sets values
and holds blocks of text. A layout in ``bundles/_shared`` says where each of them stands in ``train.yaml``,
``inference.yaml``, a layer, ``metadata.json`` or ``data_license.txt``. Layouts also include the source of a
network or a view, and fragments that several layouts share. All are Jinja2 templates: a line ``#> ...`` is a
statement, ``<<name>>`` is a value. Texts are put together, not parsed configs, so comments stay. A fragment with
blocks that a bundle may replace takes ``#> insert``, not ``#> include`` (see ``mim3d/insert.py``). A fragment may
end inside of a list or a mapping, which the layout continues: ``data.yaml`` ends with the first transforms,
``training.yaml`` and ``validation.yaml`` with arguments of the trainer and of the evaluator, ``resume.yaml`` with
entries of the weights card, ``checks.yaml`` with the first entries of ``run``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_components import __version__
from mim3d.catalog import BUNDLES, METHODS, NETWORKS, ROOT, SEGMENTED, TASKS, Method, Task
from mim3d.readmes import COMMON, PAGE, SOURCE, render_page, render_readme

if TYPE_CHECKING:
    from jinja2 import Environment

SHARED = BUNDLES / "_shared"
#: What the first line of a rendered file says.
MARK = "Rendered by `mim3d render` from "
#: Parts of a view that a layout may ask for: keys to crop to the foreground, the entry for the weights card, and
#: the intensity above which masks take a voxel for foreground. A view may ask for a key that says what foreground
#: is.
DEFAULTS: dict[str, Any] = {"crop_keys": None, "weights_card": False, "threshold_masks": False, "own_crop": False}


@dataclass(frozen=True)
class Output:
    """A file to render.

    Attributes:
        name: of the file, below the bundle.
        layout: the layout that the bundle's own source extends, relative to bundles/_shared.
        origins: files to edit in order to change the output, relative to bundles/.
        values: values for the templates, beside those of the bundle.
    """

    name: str
    layout: str
    origins: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)


def environment() -> Environment:
    """Return what reads the sources in bundles/_shared and bundles/."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from mim3d.insert import Insert

    return Environment(
        extensions=[Insert],
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


def outputs(item: Task | Method) -> Iterator[Output]:
    """The files of one bundle that are made from its own source: one per layout, network and view."""
    kind = "seg" if isinstance(item, Task) else "pretrain"
    source = f"{item.bundle.name}/{source_name(item)}"
    for path in sorted((SHARED / kind).glob("*.yaml")):
        yield Output(f"configs/{path.name}", f"{kind}/{path.name}", (source, f"_shared/{kind}/{path.name}"))
    for name, layout in (
        ("configs/multi_gpu_train.yaml", "multi_gpu_train.yaml"),
        ("configs/metadata.json", "metadata.yaml"),
        ("docs/data_license.txt", "data_license.txt"),
    ):
        yield Output(name, layout, (source, f"_shared/{layout}"))
    for name in NETWORKS if isinstance(item, Task) else item.layers:
        if name != default_network(item):
            origins = (f"_shared/networks/{name}.yaml",)
            yield Output(f"configs/{name}.yaml", "network_layer.yaml", origins, {"network": NETWORKS[name]})
    for task in TASKS.values() if isinstance(item, Method) else ():
        if task.view_layer:
            origins = (f"_shared/views/{task.name}.yaml",)
            yield Output(f"configs/{task.view_layer}", "task_layer.yaml", origins, {"task": task})


def source_name(item: Task | Method) -> str:
    """Name of a bundle's own source."""
    return "task.yaml" if isinstance(item, Task) else "method.yaml"


def default_network(item: Task | Method) -> str:
    """Name of the network of a bundle's train.yaml."""
    return SEGMENTED if isinstance(item, Task) else item.default


def render_bundle(engine: Environment, item: Task | Method) -> dict[str, str]:
    """Render the files of one bundle.

    Returns:
        Name below the bundle -> content.

    Raises:
        ValueError: if a source has a mistake; the message names the file.
    """
    kind = "seg" if isinstance(item, Task) else "pretrain"
    rendered: dict[str, str] = {}
    for output in outputs(item):
        text = _render(engine, item, output)
        if output.name.endswith(".json"):
            rendered[output.name] = metadata(text, rendered["configs/inference.yaml"])
        else:
            origins = " and ".join(f"bundles/{origin}" for origin in output.origins)
            rendered[output.name] = f"# {MARK}{origins}.\n{text}"
    text = render_readme(engine, item.bundle, rendered["configs/train.yaml"])
    head = f"{MARK}bundles/{item.bundle.name}/{SOURCE} and bundles/_shared/readme/{kind}.md."
    rendered["docs/README.md"] = f"<!-- {head} -->\n{text}"
    conf = SHARED / "logging.conf"
    rendered["configs/logging.conf"] = f"# {MARK}{conf.relative_to(ROOT)}.\n" + conf.read_text(encoding="utf-8")
    return rendered


def _render(engine: Environment, item: Task | Method, output: Output) -> str:
    """Render one file, without the line that names its sources."""
    from jinja2 import TemplateError, TemplateSyntaxError

    kind = "seg" if isinstance(item, Task) else "pretrain"
    shared = DEFAULTS | {"kind": kind, "networks": NETWORKS, "network": NETWORKS[default_network(item)]}
    shared |= {"version": __version__, "oldest_monai": oldest_monai()}
    shared |= {"task" if isinstance(item, Task) else "method": item}
    values = shared | {"layout": output.layout, "file": Path(output.name).name} | output.values
    try:
        return engine.get_template(f"{item.bundle.name}/{source_name(item)}").render(values)
    except TemplateSyntaxError as error:
        raise ValueError(f"{error.filename}, line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        raise ValueError(f"bundles/{item.bundle.name}/{output.name}: {error.message}") from None


def oldest_monai() -> str:
    """The oldest version of MONAI that requirements.txt allows."""
    found = re.search(r"^monai>=([\d.]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError("requirements.txt has no line that begins with monai>=")
    return found[1]


def metadata(text: str, inference: str) -> str:
    """Make the content of ``metadata.json``.

    Args:
        text: YAML of all keys but ``network_data_format``.
        inference: content of the bundle's ``inference.yaml``.
    """
    import yaml

    from mim3d.package.metadata import VIEW_KEYS, with_network_format

    config = yaml.safe_load(inference)
    view = {key: config[key] for key in VIEW_KEYS if key in config}
    # Not MONAI's parser, which takes seconds to import: a value here is a list, or the name of one.
    view = {key: config[value[1:]] if isinstance(value, str) else value for key, value in view.items()}
    return with_network_format(yaml.safe_load(text), view).decode()


def render_config_only(task: Task) -> dict[str, str]:
    """Render the training and the evaluation of a bundle's config-only form.

    Returns:
        Name of the file -> content, without a line that names its sources: they are not in a package.

    Raises:
        ValueError: if a source has a mistake; the message names the file.
    """
    engine = environment()
    return {
        path.name: _render(engine, task, Output(f"config_only/{path.name}", f"config_only/{path.name}", ()))
        for path in sorted((SHARED / "config_only").glob("*.yaml"))
    }


def without_mark(data: bytes) -> bytes:
    """Return a rendered file without the line that names its sources, which a package does not hold."""
    first, _, rest = data.partition(b"\n")
    return rest if first.startswith(f"# {MARK}".encode()) else data


def packed_readme(bundle: Path, weights: bool = False, config_only: bool = False) -> bytes:
    """Return the README of a packed bundle: rendered from its source, or the one it has if there is no source.

    Args:
        bundle: the bundle's folder.
        weights: whether the package holds weights, into whose folder no command may train.
        config_only: whether to return that of its config-only form.
    """
    if not (bundle / SOURCE).is_file():
        return (bundle / "docs" / "README.md").read_bytes()
    train = (bundle / "configs" / "train.yaml").read_text(encoding="utf-8")
    engine = environment()
    return render_readme(engine, bundle, train, packed=True, weights=weights, config_only=config_only).encode()


def render_all() -> dict[Path, str]:
    """Render every file of every bundle, and the page of what holds for all of them.

    Returns:
        Path -> content.

    Raises:
        ValueError: if a source has a mistake; the message names the file.
    """
    engine = environment()
    items: list[Task | Method] = [*TASKS.values(), *METHODS.values()]
    page = f"<!-- {MARK}bundles/_shared/{COMMON}. -->\n{render_page(engine)}"
    files = {item.bundle / name: text for item in items for name, text in render_bundle(engine, item).items()}
    return {**files, PAGE: page}
