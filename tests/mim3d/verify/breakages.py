"""What the tests of mim3d verify share: names of bundles and checks, and ways to break a packed bundle."""

from __future__ import annotations

import json

import yaml

from mim3d.package.folders import all_bundles

NAMES = [bundle.name for bundle in all_bundles()]
#: The bundle that is broken in one way at a time.
SAMPLE = "seg_btcv"
TRAIN, INFERENCE, META = "configs/train.json", "configs/inference.json", "configs/metadata.json"
README = "docs/README.md"
#: Checks that ask for a process of their own: slow tests.
ISOLATED = (
    "multi_gpu_train properties",
    "own copy of custom_components",
    "ends in one line without data",
    "README commands run",
)


def edit(root, file, change):
    """Change the content of a JSON or YAML file."""
    path = root / file
    reader, writer = (json.loads, json.dumps) if file.endswith("json") else (yaml.safe_load, yaml.safe_dump)
    content = reader(path.read_text())
    change(content)
    path.write_text(writer(content))


def put(file, key, value):
    """A breakage: set the entry at an id; ``...`` removes it."""

    def change(content):
        *steps, last = key.split("/")
        for step in steps:
            content = content[int(step) if isinstance(content, list) else step]
        if value is ...:
            del content[int(last) if isinstance(content, list) else last]
        else:
            content[int(last) if isinstance(content, list) else last] = value

    return lambda root: edit(root, file, change)


def put_interval(value):
    """A breakage: set the interval of the handler that validates."""

    def change(config):
        (handler,) = (h for h in config["train"]["handlers"] if h["_target_"] == "ValidationHandler")
        handler["interval"] = value

    return lambda root: edit(root, TRAIN, change)


def put_text(file, old, new):
    """A breakage: replace text, or all of it where ``old`` is None."""

    def change(root):
        text = (root / file).read_text() if (root / file).is_file() else ""
        assert old is None or old in text
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(new if old is None else text.replace(old, new))

    return change


def without(file, key, target):
    """A breakage: take the transforms of one class out of a list."""

    def change(content):
        for step in key.split("/"):
            content = content[step]
        content[:] = [item for item in content if not (isinstance(item, dict) and item["_target_"] == target)]

    return lambda root: edit(root, file, change)
