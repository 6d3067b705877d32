"""Serve, segment, train by REST and segment again with MONAI Label.

    bash ci/label_roundtrip.sh [BUNDLE ...] [--full] [--epochs N] [--out DIR]

The shell script makes the environment. Every bundle is packed and unzipped into the monaibundle app, as a user
would do it, and served alone; then two in one server; then all with their default configs. Anything that is not as
it must be ends the run with one line.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

import requests

from mim3d.label.label_studies import (
    ROOT,
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
    run_python,
    shown,
)
from mim3d.label.server import LabelServer, brief

PAIR = ("seg_btcv", "seg_msd_hippocampus")
SMALLEST = "seg_msd_hippocampus"
HELP = {
    "bundles": "names in bundles/ (default: every seg_*)",
    "full": "the default networks and views, not the smoke layer: hours on a CPU",
    "layer": "layers packed in instead of smoke.yaml",
    "epochs": "that are trained (default 2)",
    "out": "work folder (default runs/label); one that this script made is emptied first",
}


def listed(server: LabelServer, folders: list[Path]) -> None:
    """GET /info/ has every bundle, with the label names of its config and with training."""
    info = server.ask("GET", "/info/").json()
    for folder in folders:
        name, labels = folder.name, expected_labels(folder)
        if name not in info["models"] or name not in info["trainers"]:
            raise RuntimeError(
                f"{name} is not listed; models: {list(info['models'])}; trainers: {list(info['trainers'])}"
            )
        found = info["models"][name]["labels"]
        if found != labels:
            raise RuntimeError(f"{name} is listed with the labels {found}; its config has {labels}")
        kind = info["models"][name]["type"]
        print(f"GET  /info/ -> {name}: {kind}, trainer listed, labels {brief(found)}", flush=True)


def segmented(server: LabelServer, folder: Path, studies: Studies, out: Path) -> Path:
    """POST /infer/ gives a mask on the study's grid; returns it."""
    name, study = folder.name, studies.unlabelled
    start = time.monotonic()
    server.infer(name, study, out)
    seconds = time.monotonic() - start
    found = check_mask(out, studies.image(study), expected_labels(folder))
    print(f"POST /infer/{name}?image={study}&output=image -> 200, {found} [{seconds:.1f} s]", flush=True)
    return out


def labelled(server: LabelServer, studies: Studies) -> None:
    """PUT /datastore/label for every study that has a truth."""
    for study, label in studies.labels.items():
        answer = server.put_label(study, label)
        if not (studies.folder / "labels" / "final" / f"{study}.nii.gz").is_file():
            raise RuntimeError(f"the label of {study} is not in labels/final; the server said {brief(answer)}")
        print(f"PUT  /datastore/label?image={study} -> {brief(answer)}", flush=True)


def trained(server: LabelServer, folder: Path, epochs: int) -> None:
    """POST /train/ replaces models/model.pt by trained weights."""
    before = read_weights(folder)
    server.train(folder.name, {"max_epochs": epochs, "val_split": 0.5, "pretrained": True, "multi_gpu": False})
    print(f"     {shown(folder / 'models' / 'model.pt')}: {check_weights(folder, before)}", flush=True)


def round_trip(folder: Path, work: Path, epochs: int) -> None:
    """One bundle, alone in its server."""
    studies = make_studies(folder.name, work)
    with LabelServer(folder.parents[1], studies.folder, [folder.name], work / "server.log") as server:
        listed(server, [folder])
        first = segmented(server, folder, studies, work / "untrained.nii.gz")
        labelled(server, studies)
        trained(server, folder, epochs)
        second = segmented(server, folder, studies, work / "trained.nii.gz")
        changed = difference(first, second)
        if not changed:
            raise RuntimeError(f"{folder.name} segments as before training: the new weights are not in use")
        print(f"     {changed:.1%} of its voxels changed", flush=True)


def together(folders: list[Path], work: Path) -> None:
    """Several bundles in one server; the studies are the last one's, whose label values the others have too."""
    studies = make_studies(folders[-1].name, work)
    names = [folder.name for folder in folders]
    with LabelServer(folders[0].parents[1], studies.folder, names, work / "server.log") as server:
        listed(server, folders)
        for folder in folders:
            segmented(server, folder, studies, work / f"{folder.name}_untrained.nii.gz")
        labelled(server, studies)
        for folder in folders:
            trained(server, folder, 1)
        for folder in folders:
            segmented(server, folder, studies, work / f"{folder.name}_trained.nii.gz")


def defaults(bundles: list[Path], work: Path) -> None:
    """Default networks and views: all built and listed in one server; the smallest segments too, and trains.

    The others would take minutes to segment on a CPU, and hours to train.
    """
    app = new_app(work)
    folders = [install_bundle(bundle, app, work, []) for bundle in bundles]
    quick = [folder for folder in folders if folder.name == SMALLEST]
    studies = make_studies(quick[0].name if quick else folders[0].name, work)
    with LabelServer(app, studies.folder, [folder.name for folder in folders], work / "server.log") as server:
        listed(server, folders)
        for folder in quick:
            segmented(server, folder, studies, work / "untrained.nii.gz")
            labelled(server, studies)
            trained(server, folder, 1)
            segmented(server, folder, studies, work / "trained.nii.gz")


def download_app(apps: Path) -> None:
    """The monaibundle app as MONAI Label ships it; nothing is fetched from anywhere."""
    print(f"$ monailabel apps --download --name monaibundle --output {shown(apps)}", flush=True)
    run_python("-m", "monailabel.main", "apps", "--download", "--name", "monaibundle", "--output", apps)


def new_app(work: Path) -> Path:
    """A copy of the app for one server."""
    return Path(shutil.copytree(work.parent / "apps" / "monaibundle", work / "apps" / "monaibundle"))


def stages(bundles: list[Path], work: Path, given: argparse.Namespace) -> None:
    """All of it, in order."""
    layers = given.layer or ([] if given.full else ["smoke.yaml"])
    download_app(work / "apps")
    for bundle in bundles:
        print(f"\n=== {bundle.name}" + (f" with {', '.join(layers)}" if layers else ""), flush=True)
        start, own = time.monotonic(), work / bundle.name
        round_trip(install_bundle(bundle, new_app(own), own, layers), own, given.epochs)
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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help=HELP["bundles"])
    parser.add_argument("--full", action="store_true", help=HELP["full"])
    parser.add_argument("--layer", nargs="+", action="extend", default=[], metavar="NAME.yaml", help=HELP["layer"])
    parser.add_argument("--epochs", type=int, default=2, help=HELP["epochs"])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "label", help=HELP["out"])
    given = parser.parse_args(argv)
    bundles = bundle_folders(given.bundles)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a server ends with this script
    work = fresh_folder(given.out)
    try:
        stages(bundles, work, given)
    except (RuntimeError, ValueError, OSError, requests.RequestException) as error:
        print(f"error: {brief(str(error), 1000)}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"\nall of {', '.join(bundle.name for bundle in bundles)} passed; logs and masks in {shown(work)}")


if __name__ == "__main__":
    main()
