"""Damage to the data list, after it was written, and to weights files."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.robustness.damage import LIST, WEIGHTS, Damage, damage
from tests.robustness.dataset import label_of

_LIST = ("datalist",)


@damage("list", LIST)
def list_text(rng: np.random.Generator, path: Path) -> Damage:
    text = path.read_text(encoding="utf-8")
    changes: dict[str, Callable[[], str]] = {
        "cut": lambda: text[: int(rng.integers(len(text) - 2))],
        "empty": lambda: "",
        "an array": lambda: f"[{text}]",
        "a number": lambda: "3",
        "with a comma too many": lambda: text.replace("]", ",]", 1),
        "null": lambda: "null",
    }
    what = str(rng.choice(list(changes)))
    path.write_text(changes[what](), encoding="utf-8")
    return Damage(f"the list is {what}", _LIST, "refused")


@damage("list", LIST)
def list_encoding(rng: np.random.Generator, path: Path) -> Damage:
    encoding = str(rng.choice(["utf-8-sig", "utf-16", "latin-1"]))
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.replace('"name": "', '"name": "ä').encode(encoding))
    return Damage(f"the list is in {encoding}", _LIST)


@damage("list", LIST)
def list_entry(rng: np.random.Generator, path: Path) -> Damage:
    content = json.loads(path.read_text(encoding="utf-8"))
    item = content["training"][0]
    image = item["image"]
    values: dict[str, Any] = {
        "missing": None,
        "a number": 3,
        "null": None,
        "a file that is not there": "imagesTr/other.nii.gz",
        "empty": "",
        "an empty list": [],
        "a folder": "imagesTr",
        "a list in a list": [[image]],
        "the label": label_of(image),
    }
    what = str(rng.choice(list(values)))
    key = str(rng.choice(["image", "label"]))
    if what == "missing":
        del item[key]
    elif not (key == "label" and what == "the label"):
        item[key] = values[what]
    end = "either" if what == "the label" else "refused"
    path.write_text(json.dumps(content), encoding="utf-8")
    names = (*_LIST, "other.nii.gz", "imagesTr", "labelsTr", "'image'")
    return Damage(f"the list's first {key} is {what}", names, end)


@damage("list", LIST)
def list_sections(rng: np.random.Generator, path: Path) -> Damage:
    content = json.loads(path.read_text(encoding="utf-8"))
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "training is no list": ({"training": {"image": "x"}}, "refused"),
        "training is text": ({"training": "imagesTr"}, "refused"),
        "training holds text": ({"training": ["imagesTr/c0.nii.gz"]}, "refused"),
        "training is empty": ({"training": []}, "refused"),
        "training lists a validation case": ({"training": content["training"] + content["validation"]}, "refused"),
        "training lists a case twice": ({"training": content["training"] * 2}, "either"),
        "labels are in another order": ({"labels": {"1": "posterior", "2": "anterior"}}, "refused"),
        "labels are a number": ({"labels": 3}, "refused"),
        "labels have no numbers": ({"labels": {"a": "b"}}, "refused"),
        "channels are a number": ({"channels": 4}, "refused"),
        "channels are two": ({"channels": ["T1", "T2"]}, "either"),
    }
    what = str(rng.choice(list(changes)))
    change, end = changes[what]
    path.write_text(json.dumps({**content, **change}), encoding="utf-8")
    return Damage(f"in the list, {what}", (*_LIST, "c0", "c1", "c2", "c3"), end)


@damage("list", LIST)
def list_paths(rng: np.random.Generator, path: Path) -> Damage:
    """Absolute paths, and paths with a detour, name the same files."""
    content = json.loads(path.read_text(encoding="utf-8"))
    absolute = rng.random() < 0.5
    for section in ("training", "validation"):
        for item in content[section]:
            for key in ("image", "label"):
                item[key] = str(path.parent / item[key]) if absolute else f"./imagesTr/../{item[key]}"
    path.write_text(json.dumps(content), encoding="utf-8")
    return Damage(f"the list has {'absolute paths' if absolute else 'paths with ..'}", _LIST)


@damage("weights", WEIGHTS)
def weights_bytes(rng: np.random.Generator, path: Path) -> Damage:
    raw = bytearray(path.read_bytes())
    places = sorted(int(place) for place in rng.integers(len(raw), size=int(rng.integers(1, 4))))
    for place in places:
        raw[place] ^= int(rng.integers(1, 256))
    path.write_bytes(raw)
    return Damage(f"weights: bytes {places} of {len(raw)} changed", (path.name,))


@damage("weights", WEIGHTS)
def weights_cut(rng: np.random.Generator, path: Path) -> Damage:
    raw = path.read_bytes()
    kept = int(rng.integers(len(raw)))
    path.write_bytes(raw[:kept])
    return Damage(f"weights: {kept} of {len(raw)} bytes kept", (path.name,), "refused")


@damage("weights", WEIGHTS)
def weights_content(rng: np.random.Generator, path: Path) -> Damage:
    state = torch.load(path, weights_only=True)
    contents: dict[str, Callable[[], bytes]] = {
        "an HTML page": lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>",
        "nothing": lambda: b"",
        "a pickle": lambda: pickle.dumps({"a": 1}),
        "text": lambda: b"version https://git-lfs.github.com/spec/v1\n",
    }
    what = str(rng.choice([*contents, "a folder", "no file"]))
    del state
    path.unlink()
    if what in contents:
        path.write_bytes(contents[what]())
    elif what == "a folder":
        path.mkdir()
    return Damage(f"weights: {what}", (path.name,), "refused")


@damage("weights", WEIGHTS)
def weights_tensors(rng: np.random.Generator, path: Path) -> Damage:
    state = torch.load(path, weights_only=True)
    names = [name for name, tensor in state.items() if tensor.is_floating_point()]
    name = names[rng.integers(len(names))]
    what = str(rng.choice(["not finite", "missing", "of another shape", "text", "in a dictionary"]))
    if what == "not finite":
        state[name].view(-1)[0] = float("nan")
    elif what == "missing":
        del state[name]
    elif what == "of another shape":
        state[name] = state[name][None]
    elif what == "text":
        state[name] = "x"
    torch.save({"model": state} if what == "in a dictionary" else state, path)
    return Damage(f"weights: {name} is {what}", (path.name,), "either" if what == "in a dictionary" else "refused")
