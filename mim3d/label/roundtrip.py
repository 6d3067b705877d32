"""The MONAI Label round trip: list, segment, train by REST, and segment with the new weights."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mim3d.label.server import LabelServer, brief
from mim3d.label.studies import (
    Studies,
    bundle_folders,
    check_mask,
    check_weights,
    difference,
    expected_labels,
    fresh_folder,
    install_bundle,
    make_studies,
    read_weights,
    relative,
)

#: The two bundles that are served together.
PAIR = ("seg_btcv", "seg_msd_hippocampus")
#: The bundle whose default network is small enough to segment and train on a CPU.
SMALLEST = "seg_msd_hippocampus"


def round_trips(arguments: argparse.Namespace) -> None:
    """Try each bundle alone, two bundles in one server, and all default configs in one server.

    Args:
        arguments: those of ``mim3d label``.

    Raises:
        ValueError: for the first thing that is wrong.
        OSError: if the server cannot be started or reached.
    """
    bundles = bundle_folders(arguments.bundles)
    work = fresh_folder(arguments.out)
    layers = arguments.layer or ([] if arguments.full else ["smoke.yaml"])
    download_app(work / "apps")
    for bundle in bundles:
        print(f"\n=== {bundle.name}" + (f" with {', '.join(layers)}" if layers else ""), flush=True)
        start, own = time.monotonic(), work / bundle.name
        alone(install_bundle(bundle, new_app(own), own, layers), own, arguments.epochs)
        print(f"ok: {bundle.name} [{time.monotonic() - start:.0f} s]", flush=True)
    pair = [bundle for name in PAIR for bundle in bundles if bundle.name == name]
    if len(pair) == len(PAIR):
        print(f"\n=== {' and '.join(PAIR)} in one server", flush=True)
        app = new_app(work / "pair")
        together([install_bundle(bundle, app, work / "pair", layers) for bundle in pair], work / "pair")
        print("ok: two bundles in one server", flush=True)
    if layers:
        print("\n=== default configs in one server", flush=True)
        defaults(bundles, work / "defaults")
        print("ok: default configs", flush=True)
    names = ", ".join(bundle.name for bundle in bundles)
    print(f"\nall of {names} passed; logs and masks are in {relative(work)}")


def alone(folder: Path, work: Path, epochs: int) -> None:
    """Serve one bundle: list, segment, label, train, and segment again with other results."""
    studies = make_studies(folder.name, work)
    with LabelServer(folder.parents[1], studies.folder, [folder.name], work / "server.log") as server:
        check_listed(server, [folder])
        first = segment(server, folder, studies, work / "untrained.nii.gz")
        put_labels(server, studies)
        train(server, folder, epochs)
        second = segment(server, folder, studies, work / "trained.nii.gz")
        changed = difference(first, second)
        if not changed:
            raise ValueError(f"{folder.name} segments as before training: the new weights are not used")
        print(f"     {changed:.1%} of its voxels changed", flush=True)


def together(folders: list[Path], work: Path) -> None:
    """Serve several bundles at once.

    The studies are those of the last bundle, whose label values the other bundles have too.
    """
    studies = make_studies(folders[-1].name, work)
    names = [folder.name for folder in folders]
    with LabelServer(folders[0].parents[1], studies.folder, names, work / "server.log") as server:
        check_listed(server, folders)
        for folder in folders:
            segment(server, folder, studies, work / f"{folder.name}_untrained.nii.gz")
        put_labels(server, studies)
        for folder in folders:
            train(server, folder, 1)
        for folder in folders:
            segment(server, folder, studies, work / f"{folder.name}_trained.nii.gz")


def defaults(bundles: list[Path], work: Path) -> None:
    """Serve all bundles with their default networks and views; the smallest also segments and trains.

    The others would take minutes to segment on a CPU, and hours to train.
    """
    app = new_app(work)
    folders = [install_bundle(bundle, app, work, []) for bundle in bundles]
    quick = [folder for folder in folders if folder.name == SMALLEST]
    studies = make_studies(quick[0].name if quick else folders[0].name, work)
    with LabelServer(app, studies.folder, [folder.name for folder in folders], work / "server.log") as server:
        check_listed(server, folders)
        for folder in quick:
            segment(server, folder, studies, work / "untrained.nii.gz")
            put_labels(server, studies)
            train(server, folder, 1)
            segment(server, folder, studies, work / "trained.nii.gz")


def download_app(apps: Path) -> None:
    """Copy the monaibundle app out of the MONAI Label installation, with MONAI Label's own command."""
    words = ["apps", "--download", "--name", "monaibundle", "--output", str(apps)]
    print(f"$ monailabel {' '.join([*words[:-1], relative(apps)])}", flush=True)
    done = subprocess.run([sys.executable, "-m", "monailabel.main", *words], capture_output=True, encoding="utf-8")
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ChildProcessError(f"monailabel apps failed: {output[-1] if output else done.returncode}")


def new_app(work: Path) -> Path:
    """Copy the app for one server and return the copy."""
    return Path(shutil.copytree(work.parent / "apps" / "monaibundle", work / "apps" / "monaibundle"))


def check_listed(server: LabelServer, folders: list[Path]) -> None:
    """Check that GET /info/ lists each bundle as model and as trainer, with the label names of its config."""
    info = server.ask("GET", "/info/").json()
    for folder in folders:
        name, labels = folder.name, expected_labels(folder)
        if name not in info["models"] or name not in info["trainers"]:
            models, trainers = (", ".join(info[key]) for key in ("models", "trainers"))
            raise ValueError(f"{name} is not listed; models: {models}; trainers: {trainers}")
        found = info["models"][name]["labels"]
        if found != labels:
            raise ValueError(f"{name} is listed with the labels {found}; its config has {labels}")
        print(
            f"GET  /info/ -> {name}: {info['models'][name]['type']}, trainer listed, labels {brief(found)}",
            flush=True,
        )


def segment(server: LabelServer, folder: Path, studies: Studies, out: Path) -> Path:
    """Check that POST /infer/ gives a mask on the study's grid, and return the mask's file."""
    name, study = folder.name, studies.unlabelled
    start = time.monotonic()
    server.infer(name, study, out)
    seconds = time.monotonic() - start
    found = check_mask(out, studies.image(study), expected_labels(folder))
    print(f"POST /infer/{name}?image={study}&output=image -> 200, {found} [{seconds:.1f} s]", flush=True)
    return out


def put_labels(server: LabelServer, studies: Studies) -> None:
    """Hand in the true labels with PUT /datastore/label, and check that each is stored as final."""
    for study, label in studies.labels.items():
        answer = server.put_label(study, label)
        if not (studies.folder / "labels" / "final" / f"{study}.nii.gz").is_file():
            raise ValueError(f"the label of {study} is not in labels/final; the server answered {brief(answer)}")
        print(f"PUT  /datastore/label?image={study} -> {brief(answer)}", flush=True)


def train(server: LabelServer, folder: Path, epochs: int) -> None:
    """Check that POST /train/ replaces models/model.pt with trained weights."""
    before = read_weights(folder)
    server.train(folder.name, {"max_epochs": epochs, "val_split": 0.5, "pretrained": True, "multi_gpu": False})
    print(f"     {relative(folder / 'models' / 'model.pt')}: {check_weights(folder, before)}", flush=True)
