"""Commands of a document, read as a shell reads them."""

from __future__ import annotations

import shlex

from mim3d.verify.config_ids import at, entries, has, targets
from mim3d.verify.readme_commands import blocks, commands, config_files, flags, overrides, split_environment

TEXT = """
A paragraph with `python inline`.

```bash
mim3d datalist DATA --test 0.2  # a comment
CUDA_VISIBLE_DEVICES= python -m monai.bundle run \\
  --config_file "['a/train.yaml','a/smoke.yaml']" --train#trainer#max_epochs 2 --resume
cd x && ls
```

```python
print("not a command")
```

```
python untitled
```
"""
RUN = shlex.split(
    "torchrun --nproc_per_node=2 -m monai.bundle run --config_file a.yaml --meta_file m --net#n=3 --amp"
)


def test_blocks_have_their_language() -> None:
    assert [language for language, _ in blocks(TEXT)] == ["bash", "python", ""]


def test_commands_are_those_of_bash_blocks_with_lines_joined_and_comments_left_out() -> None:
    listed, run, *rest = commands(TEXT)
    assert listed == ["mim3d", "datalist", "DATA", "--test", "0.2"]
    assert rest == [["cd", "x"], ["ls"]]
    environment, words = split_environment(run)
    assert environment == {"CUDA_VISIBLE_DEVICES": ""}
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    assert config_files(words) == ["a/train.yaml", "a/smoke.yaml"]
    assert overrides(words) == {"train#trainer#max_epochs": "2", "resume": ""}
    assert config_files(listed) == []


def test_overrides_leave_out_torchrun_and_the_arguments_of_run() -> None:
    assert flags(RUN)["nproc_per_node"] == "2"
    assert overrides(RUN) == {"net#n": "3", "amp": ""}


def test_config_ids_reach_into_dictionaries_and_lists() -> None:
    config = {"a": {"b": [{"_target_": "x.Y", "c": None}, "text"]}}
    assert at(config, "a#b#1") == at(config, "a::b::1") == "text"
    assert at(config, "a#b#2") is at(config, "a#x") is at(config, "a#b#c") is None
    assert [has(config, key) for key in ("a", "a#b", "a#b#0#c", "a::x", "a#b#0#d")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [path for path, _ in entries(config)] == ["a", "a#b", "a#b#0", "a#b#0#_target_", "a#b#0#c", "a#b#1"]
    assert targets(config["a"]["b"]) == ["Y", ""]
