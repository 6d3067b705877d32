"""The table of published weights in docs/weights.md is that of the registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from custom_components.published import Published
from mim3d.catalog import METHODS, TASKS
from mim3d.weights.table import BEGIN, DOCUMENT, END, rendered_document, untrained_text
from tests.loopback import entry

NAME = "hippocampus/pretrain_mae"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "docs" / "weights.md"
    path.parent.mkdir()
    path.write_text(f"# Weights\n\n{BEGIN}\nan old table\n{END}\n\nText.\n")
    return path


def registry(folder: Path, **entries: object) -> Path:
    content = {"base_url": None, "aliases": {"hippocampus": NAME} if entries else {}, "weights": entries}
    (folder / "published.json").write_text(json.dumps(content))
    return folder / "published.json"


def test_the_committed_table_is_that_of_the_registry() -> None:
    assert rendered_document()[DOCUMENT] == DOCUMENT.read_text(encoding="utf-8")


def test_an_empty_registry_says_none_yet(document: Path, tmp_path: Path) -> None:
    made = rendered_document(document, registry(tmp_path))[document]
    assert made.startswith(f"# Weights\n\n{BEGIN}\nNone yet.\n\n| bundle without weights |")
    assert made.endswith(f"\n{END}\n\nText.\n")
    document.write_text(made, encoding="utf-8")
    assert rendered_document(document, registry(tmp_path))[document] == made


def test_every_field_that_a_user_needs_is_in_the_table(document: Path, tmp_path: Path) -> None:
    files = {"model.pt": b"x" * 1_250_000, "model.card.json": b"y" * 50_000}
    fields = {"layers": ["task_msd_hippocampus.yaml"], "keys": {"architecture#features": [8, 8]}, "seed": 3}
    stated = entry(files, "pretrain_mae", **fields, result="benchmarks/results/a.json")
    made = rendered_document(document, registry(tmp_path, **{NAME: stated}))[document]
    row = (
        f"| `hippocampus`, `{NAME}` | `pretrain_mae`, `task_msd_hippocampus.yaml`, "
        "`--architecture#features '[8, 8]'` | 1.3 MB | CC BY-SA 4.0 | [a.json](../benchmarks/results/a.json) |"
    )
    assert row in made.splitlines()
    line = f"- `{NAME}`: the phantoms. Seed 3. sha256 of model.pt: "
    assert f"{line}`{stated['files']['model.pt']['sha256']}`." in made.splitlines()
    assert "not measured" in rendered_document(document, registry(tmp_path, **{NAME: entry(files)}))[document]


def test_each_bundle_without_weights_has_the_cost_of_its_training() -> None:
    text = untrained_text([Published("a/b", "pretrain_mae", (), {}, (), "", "", "", 0, None)])
    rows = [row.split(" | ") for row in text.splitlines()[2:]]
    names = {group.bundle.name for group in (*METHODS.values(), *TASKS.values())}
    links = {f"| [`{name}`](../bundles/{name}/docs/README.md)" for name in names - {"pretrain_mae"}}
    assert {row[0] for row in rows} == links
    for _, training, volumes, steps, days in rows:
        assert re.fullmatch(r"\d+ epochs, \d+ crops? of \d+ × \d+ × \d+ a step", training)
        assert re.fullmatch(r"\d+ \(.+\)", volumes)
        assert int(steps.replace(",", "")) % int(training.split()[0]) == 0
        assert float(days.removesuffix(" |")) > 0
    entries = [Published("a/b", name, (), {}, (), "", "", "", 0, None) for name in names]
    assert untrained_text(entries) == "Every bundle has published weights."


def test_a_document_without_a_place_for_the_table_is_named(document: Path, tmp_path: Path) -> None:
    document.write_text("# Weights\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"weights\.md must hold the lines"):
        rendered_document(document, registry(tmp_path))
