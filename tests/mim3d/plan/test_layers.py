"""The text of layers, of plan.md and of commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from mim3d.catalog import METHODS
from mim3d.plan.command_lines import training_commands
from mim3d.plan.decisions import PRETRAIN, SEGMENT, Decision
from mim3d.plan.document import plan_text, shown_value
from mim3d.plan.layers import layer_text

COMPONENT = {"_target_": "A", "keys": "image", "sizes": [1, 2]}
MADE = [
    Decision("spacing", [1.0, 1.0, 2.5], "The median. " * 20),
    Decision("epochs", 8, "One.", PRETRAIN),
    Decision("rate", 1e-4, "One.", PRETRAIN),
    Decision("names", ["a: b", "ö", "# c"], "Two.", SEGMENT),
    Decision("part", COMPONENT, "Three | four.", SEGMENT, shown=False),
    Decision("nothing", None, "Five.", SEGMENT),
]


def test_a_layer_holds_its_keys_and_each_reason_once_as_a_comment() -> None:
    text = layer_text("Title.", MADE, "pretrain")
    assert yaml.safe_load(text) == {"spacing": [1.0, 1.0, 2.5], "epochs": 8, "rate": 1e-4}
    assert text.startswith("# Title.\n# The median. The median.")
    assert text.count("# One.\n") == 1
    assert max(map(len, text.splitlines())) <= 115
    expected = {"spacing": [1.0, 1.0, 2.5], "names": ["a: b", "ö", "# c"], "part": COMPONENT, "nothing": None}
    assert yaml.safe_load(layer_text("Title.", MADE, "segment")) == expected


def test_a_layer_is_ascii_whatever_its_texts_hold() -> None:
    text = layer_text("A scan of Jürgen.", [Decision("names", ["ö"], "48 × 2, 1…3.", SEGMENT)], "segment")
    assert text.isascii()
    assert "# 48 x 2, 1...3.\n" in text
    assert yaml.safe_load(text) == {"names": ["ö"]}


def test_the_document_has_a_row_for_each_decision_and_a_block_for_each_command() -> None:
    text = plan_text(["Facts."], "plan.png", ["crop 1 mm"], MADE, ["Beware."], [("Train", "python x")])
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("|")[1].strip() for row in rows] == [
        "`spacing`",
        "`epochs`",
        "`rate`",
        "`names`",
        "`nothing`",
    ]
    assert "| `epochs` | 8 | `pretrain.yaml` | One. |" in rows
    assert "| `nothing` | null | `segment.yaml` | Five. |" in rows
    assert "- Beware." in text
    assert "```bash\npython x\n```" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1.0, 2.0], "[1.0, 2.0]"),
        (None, "null"),
        ("$min(1, @epochs)", "$min(1, @epochs)"),
        (COMPONENT, "A {sizes: [1, 2]}"),
        ("x" * 200, "x" * 89 + "…"),
    ],
)
def test_values_are_shown_in_one_short_line(value: Any, text: str) -> None:
    assert shown_value(value) == text


@pytest.mark.parametrize("name", ["plan", "my plan", 'a"b', "it's"])
def test_commands_survive_the_shell(name: str) -> None:
    out = Path("/o") / name
    commands = training_commands(METHODS["mae"], Path("/d ata"), out, segmented=True)
    assert len(commands) == 4
    for (_, command), layer in zip(commands[:3], ("pretrain", "segment", "segment"), strict=True):
        words = shlex.split(command.replace("\\\n", " "))
        assert words[:4] == ["python", "-m", "monai.bundle", "run"]
        assert f"'{out / layer}.yaml'" in words[words.index("--config_file") + 1]
        assert words[words.index("--dataset_dir") + 1] == "/d ata"
        assert words[words.index("--ckpt_dir") + 1] == str(out / layer)
    tuned = shlex.split(commands[1][1].replace("\\\n", " "))
    assert tuned[-2:] == ["--pretrained", str(out / "pretrain" / "model.pt")]
    assert len(training_commands(METHODS["mae"], Path("/d"), out, segmented=False)) == 1
