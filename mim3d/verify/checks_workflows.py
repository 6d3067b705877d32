"""Checks that build the components of a packed bundle's configs, without data."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from monai.bundle.scripts import download
from monai.bundle.workflows import ConfigWorkflow

from mim3d.package.layers import FOR_INFERENCE
from mim3d.verify.packed import CheckError, Packed, want
from mim3d.verify.registry import check

OWN = "custom_components"


@contextmanager
def without_own_code() -> Iterator[None]:
    """Make imports of custom_components fail in the ``with`` block."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == OWN}
    sys.modules[OWN] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[OWN]
        sys.modules.update(kept)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables in the ``with`` block."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def workflow(packed: Packed, kind: str, *names: str, **override: Any) -> ConfigWorkflow:
    """Return a workflow of merged configs without data, whose results go to the scratch folder."""
    override = {"bundle_root": str(packed.root), "output_dir": str(packed.scratch / "eval"), **override}
    return ConfigWorkflow(packed.config_files(*names), workflow_type=kind, **override)


def has_properties(packed: Packed, kind: str, *names: str) -> str:
    """Check that a workflow builds without data and has every property that monai.bundle asks for."""
    made = workflow(packed, kind, *names)
    made.initialize()
    lost = made.check_properties()
    want(lost == [], f"{' + '.join(names)}: {lost}", "every property that monai.bundle asks for")
    made.finalize()
    return f"{len(made.properties)} properties"


@check("monai.bundle download", "workflows")
def bundle_download(packed: Packed) -> str:
    """``monai.bundle download`` turns the zip, from a server on this machine, into the bundle's folder."""
    found = sorted(packed.root.parent.glob(f"{packed.name}_v*.zip"))
    want(found, f"no zip beside {packed.name}", "the package's zip")
    handler = partial(SimpleHTTPRequestHandler, directory=str(packed.root.parent))
    folder = packed.scratch / "downloaded"
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, environment(no_proxy="127.0.0.1"):
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{found[-1].name}"
            download(name=packed.name, url=url, bundle_dir=str(folder), progress=False)
        finally:
            server.shutdown()
    files = {
        p.relative_to(folder / packed.name).as_posix() for p in (folder / packed.name).rglob("*") if p.is_file()
    }
    want(files == set(packed.files), f"{len(files)} files", f"the package's {len(packed.files)}")
    return found[-1].name


@check("inference properties", "workflows")
def inference_properties(packed: Packed) -> str:
    """The inference config builds with an empty dataset_dir.

    For a segmentation bundle custom_components is absent meanwhile, unless a layer brought one of its networks.
    """
    if not packed.segments or packed.own_network:
        return has_properties(packed, "inference", "inference")
    with without_own_code():
        return has_properties(packed, "inference", "inference") + ", without custom_components"


def training_properties(packed: Packed, *names: str) -> str:
    """Check the properties of a training workflow; of a config-only package, while custom_components is absent."""
    if not packed.config_only:
        return has_properties(packed, "train", *names)
    with without_own_code():
        return has_properties(packed, "train", *names) + ", without custom_components"


@check("train properties", "workflows")
def train_properties(packed: Packed) -> str:
    """The training config builds."""
    return training_properties(packed, "train")


@check("evaluate properties", "workflows")
def evaluate_properties(packed: Packed) -> str:
    """The evaluation config builds."""
    return training_properties(packed, "train", "evaluate")


@check("multi_gpu_train properties", "workflows", config_only=False)
def multi_gpu_properties(packed: Packed) -> str:
    """The multi-GPU config builds, in a process group of one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with environment(**ranks):
        return has_properties(packed, "train", "train", "multi_gpu_train")


@check("layers build", "workflows")
def layers_build(packed: Packed) -> str:
    """The network builds with each layer after train, and after inference if that has the layer's keys.

    That of tensorrt.yaml is a file.
    """
    layers = [name for name in packed.layers if name not in ("multi_gpu_train", "tensorrt")]
    inference = packed.config("inference")
    for name in layers:
        if f"{name}.yaml" not in FOR_INFERENCE:
            packed.parsed("network_def", "train", name)
        keys = {key.partition("#")[0] for key in packed.layer(name)}
        nested = {key.partition("#")[0] for key in packed.layer(name) if "#" in key}
        if keys & set(inference) and nested <= set(inference) and name != "evaluate":
            packed.parsed("network_def", "inference", name)
    return ", ".join(layers)


@check("own copy of custom_components", "workflows", config_only=False)
def own_copy(packed: Packed) -> str:
    """custom_components is imported from the package."""
    found = Path(str(importlib.import_module(OWN).__file__)).resolve()
    want(found.is_relative_to(packed.root.resolve()), "another folder's", "the package's own copy")
    return ""


@check("ends in one line without data", "workflows")
def ends_without_data(packed: Packed) -> str:
    """``run`` of train and inference finds the package's code and ends in one line that names dataset_dir."""
    notes = []
    before = sys.argv
    for kind, name in (("train", "train"), ("inference", "inference")):
        made = workflow(packed, kind, name)
        sys.argv = ["monai.bundle", "run"]  # the preflight reads the command line
        try:
            made.initialize()
            made.run()
        except SystemExit as error:
            notes.append(str(error))
        finally:
            sys.argv = before
    right = [note for note in notes if note.startswith("error: ") and "\n" not in note and "dataset_dir" in note]
    if len(right) != 2:
        raise CheckError(f"found {notes}; wanted train and inference to end in one line that names dataset_dir")
    return notes[0]
