"""What the MONAI Label round trip serves and checks: studies of phantoms, packed bundles, masks, weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser

from mim3d.catalog import ROOT

#: Lies in every folder this script made; no other is emptied.
MARKER = ".label_roundtrip"
#: Which phantoms a bundle segments.
KINDS = {
    "seg_btcv": "abdomen_ct",
    "seg_brats": "brain_mri",
    "seg_msd_liver": "liver_ct",
    "seg_msd_spleen": "spleen_ct",
    "seg_msd_hippocampus": "hippocampus_mri",
}
#: Values of the phantoms' labels -> those that the bundle writes, where they differ: MSD Task01 has edema before
#: the non-enhancing core.
RENUMBERED = {"seg_brats": {1: 2, 2: 1}}
LABELLED = 4


@dataclass
class Studies:
    """Images that a server offers, all in one folder; one of them is not labelled."""

    folder: Path
    labels: dict[str, Path]  # study -> its true label
    unlabelled: str

    def image(self, name: str) -> Path:
        """The file of a study."""
        return self.folder / f"{name}.nii.gz"


def fresh_folder(out: Path) -> Path:
    """An empty work folder; SystemExit for a folder with content that this script did not make."""
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise SystemExit(f"error: {out} is not empty and was not made by this script (no {MARKER} in it)")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    return out.resolve()


def bundle_folders(names: list[str]) -> list[Path]:
    """Folders of the named bundles, or of every seg bundle."""
    known = sorted(path.parent.name for path in (ROOT / "bundles").glob("seg_*/configs"))
    for name in names:
        if name not in known:
            raise SystemExit(f"error: {name!r} is no segmentation bundle; bundles/ has {', '.join(known)}")
    return [ROOT / "bundles" / name for name in names or known]


def run_python(*words: Any) -> None:
    """One of the repository's own commands, quiet but for its errors."""
    done = subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{' '.join(map(str, words[:3]))} failed: {said[-1] if said else done.returncode}")


def make_studies(bundle: str, work: Path) -> Studies:
    """Write phantoms, and lay their images out as MONAI Label has studies: one file each, no labels yet."""
    if bundle not in KINDS:
        raise ValueError(
            f"no phantoms are known for {bundle}; KINDS in ci/label_studies.py has {', '.join(KINDS)}"
        )
    phantoms, folder = work / "phantoms", work / "studies"
    words = ["-m", "custom_components", "phantoms", "--out", phantoms, "--kind", KINDS[bundle], "--size", "tiny"]
    run_python(*words, "--training", LABELLED, "--test", 1, "--validation", 0, "--unlabelled", 0)
    listed = json.loads((phantoms / "datalist.json").read_text())
    folder.mkdir()
    labels = {}
    for item in [*listed["training"], *listed["test"]]:
        source = phantoms / item["image"]
        shutil.copy(source, folder)
        labels[source.name.removesuffix(".nii.gz")] = renumbered(
            phantoms / item["label"], RENUMBERED.get(bundle, {})
        )
    *labelled, unlabelled = labels
    return Studies(folder, {name: labels[name] for name in labelled}, unlabelled)


def renumbered(label: Path, values: dict[int, int]) -> Path:
    """A label file with other values, beside the first; the file itself where nothing changes."""
    if not values:
        return label
    image = nib.load(label)
    voxels = np.asanyarray(image.dataobj)
    found = voxels.copy()
    for old, new in values.items():
        found[voxels == old] = new
    path = label.parent.with_name("labelsRenumbered") / label.name
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(found, image.affine, image.header), path)
    return path


def install_bundle(bundle: Path, app: Path, work: Path, layers: list[str]) -> Path:
    """Pack a bundle, unzip it into the app as a user would, and give it untrained weights; returns its folder."""
    options = ["--layer", *layers] if layers else []
    run_python("ci/package.py", bundle, "--out", work / "packages", *options)
    (archive,) = (work / "packages").glob(f"{bundle.name}_v*.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(app / "model")
    folder = app / "model" / bundle.name
    torch.manual_seed(0)
    network = inference_config(folder).get_parsed_content("network_def")
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def inference_config(folder: Path) -> ConfigParser:
    """A packed bundle's inference config."""
    parser = ConfigParser()
    parser.read_config(folder / "configs" / "inference.json")
    return parser


def expected_labels(folder: Path) -> dict[str, int]:
    """Label names as MONAI Label lists them, lower case, without background; from the config, not the metadata."""
    names = inference_config(folder).get_parsed_content("label_names")
    return {name.lower(): value for value, name in enumerate(names) if name != "background"}


def check_mask(mask: Path, study: Path, labels: dict[str, int]) -> str:
    """Check that a mask lies on the study's grid and holds only values with a name; returns what was found.

    Raises:
        RuntimeError: naming what differs.
    """
    found, image = nib.load(mask), nib.load(study)
    if found.shape != image.shape[:3]:
        raise RuntimeError(f"the mask of {study.name} has shape {found.shape}; the study has {image.shape[:3]}")
    off = float(np.abs(found.affine - image.affine).max())
    if off > 1e-3:
        raise RuntimeError(f"the mask of {study.name} lies elsewhere: its affine is off by up to {off:.3g} mm")
    values = np.unique(np.asanyarray(found.dataobj))
    wrong = sorted(set(values.tolist()) - {0, *labels.values()})
    if wrong:
        raise RuntimeError(
            f"the mask of {study.name} has the values {wrong}; named are 0 to {max(labels.values())}"
        )
    shape = " x ".join(map(str, found.shape))
    return f"{shape}, {found.get_data_dtype()}, on the study's grid, values {brief_values(values)}"


def brief_values(values: np.ndarray) -> str:
    """Values as a list, or as a range where nothing is missing."""
    numbers = [int(value) for value in values]
    whole = len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def check_weights(folder: Path, before: dict[str, torch.Tensor]) -> str:
    """Check that training replaced ``models/model.pt`` with a flat state dict of the same keys.

    Raises:
        RuntimeError: naming what is wrong.
    """
    after = read_weights(folder)
    if after.keys() != before.keys():
        odd = sorted(after.keys() ^ before.keys())
        raise RuntimeError(f"models/model.pt of {folder.name} has other keys than before training: {odd[:3]}")
    changed = sum(not torch.equal(after[key], before[key]) for key in after)
    if not changed:
        raise RuntimeError(f"models/model.pt of {folder.name} is as before training")
    card = json.loads((folder / "models" / "model.card.json").read_text())
    metric = ", ".join(f"{name} {value:.4f}" for name, value in card["metric"].items())
    return f"flat state dict, {changed} of {len(after)} tensors changed; {metric} at epoch {card['epoch']}"


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """``models/model.pt``; RuntimeError where it is no flat dictionary of tensors."""
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    nested = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if nested:
        raise RuntimeError(f"models/model.pt of {folder.name} is not flat: {nested[:3]} are no tensors")
    return dict(state)


def difference(first: Path, second: Path) -> float:
    """Share of voxels in which two masks differ."""
    a, b = (np.asanyarray(nib.load(path).dataobj) for path in (first, second))
    return float((a != b).mean())


def shown(path: Path) -> str:
    """A path as seen from the folder that the command was given in."""
    return os.path.relpath(path)
