"""What the MONAI Label round trip serves and checks: phantoms as studies, packed bundles, masks, weights."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser

from custom_components.config_text import check_no_hash
from custom_components.data.nifti import open_image
from mim3d.catalog import TASKS
from mim3d.package.pack import package
from mim3d.phantoms import write_phantoms

#: A file in every folder that this command made; it empties no other folder.
MARKER = ".label_roundtrip"
#: Label value of the phantoms -> value that the bundle writes, where they differ: MSD Task01 numbers edema before
#: the non-enhancing core.
RENUMBERED = {"seg_brats": {1: 2, 2: 1}}
LABELLED = 4  # studies that get a label


@dataclass
class Studies:
    """The images that a server offers, all in one folder.

    Attributes:
        folder: the folder.
        labels: study -> file of its true label.
        unlabelled: the one study without a label.
    """

    folder: Path
    labels: dict[str, Path]
    unlabelled: str

    def image(self, name: str) -> Path:
        """Return the file of a study."""
        return self.folder / f"{name}.nii.gz"


def fresh_folder(out: Path) -> Path:
    """Make an empty work folder and return its absolute path.

    Raises:
        ValueError: for a folder with content that this command did not make, and for one that MONAI cannot name.
    """
    check_no_hash(out, "--out")
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"{out} is not empty and was not made by mim3d label (no {MARKER} in it); give another --out"
        )
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    return out.resolve()


def bundle_folders(names: list[str]) -> list[Path]:
    """Return the folders of the named segmentation bundles, or of all of them.

    Raises:
        ValueError: for a name that is not a segmentation bundle.
    """
    known = {task.bundle.name: task.bundle for task in TASKS.values()}
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not a segmentation bundle; allowed: {', '.join(known)}")
    return [known[name] for name in names or sorted(known)]


def make_studies(bundle: str, work: Path) -> Studies:
    """Write phantoms and copy their images into one folder, one file per study, without labels.

    Args:
        bundle: name of a segmentation bundle.
        work: folder to write to.
    """
    phantom_kind = TASKS[bundle.removeprefix("seg_")].phantoms
    phantoms, folder = work / "phantoms", work / "studies"
    sections: dict[str, Any] = {"training": LABELLED, "validation": 0, "test": 1, "unlabelled": 0}
    datalist = write_phantoms(phantoms, phantom_kind, size="tiny", progress=False, **sections)
    listed = json.loads(datalist.read_text(encoding="utf-8"))
    folder.mkdir()
    labels = {}
    for item in [*listed["training"], *listed["test"]]:
        source = phantoms / item["image"]
        shutil.copy(source, folder)
        label = renumbered(phantoms / item["label"], RENUMBERED.get(bundle, {}))
        labels[source.name.removesuffix(".nii.gz")] = label
    *labelled, unlabelled = labels
    return Studies(folder, {name: labels[name] for name in labelled}, unlabelled)


def renumbered(label: Path, values: dict[int, int]) -> Path:
    """Write a label file with other values and return its path; without ``values`` return the file itself.

    Args:
        label: the file; it stays as it is.
        values: old value -> new value.
    """
    if not values:
        return label
    image = open_image(str(label))
    voxels = np.asanyarray(image.dataobj)
    found = voxels.copy()
    for old, new in values.items():
        found[voxels == old] = new
    path = label.parent.with_name("labelsRenumbered") / label.name
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(found, image.affine, image.header), path)
    return path


def install_bundle(bundle: Path, app: Path, work: Path, layers: list[str]) -> Path:
    """Pack a bundle, unzip it into the app as a user would, and give it random weights.

    Args:
        bundle: the bundle's folder.
        app: folder of the monaibundle app.
        work: folder for the package.
        layers: layers to merge into the package.

    Returns:
        The bundle's folder in the app.
    """
    _, archive = package(bundle, work / "packages", layers=layers)
    with zipfile.ZipFile(archive) as file:
        file.extractall(app / "model")
    folder = app / "model" / bundle.name
    torch.manual_seed(0)
    network = inference_config(folder).get_parsed_content("network_def")
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def inference_config(folder: Path) -> ConfigParser:
    """Return the inference config of a packed bundle."""
    parser = ConfigParser()
    parser.read_config(folder / "configs" / "inference.json")
    return parser


def expected_labels(folder: Path) -> dict[str, int]:
    """Return label name -> value as MONAI Label lists them: from the config, in lower case, without background."""
    names = inference_config(folder).get_parsed_content("label_names")
    return {name.lower(): value for value, name in enumerate(names) if name != "background"}


def check_mask(mask: Path, study: Path, labels: dict[str, int]) -> str:
    """Check that a mask lies on the study's grid and holds only named values.

    Returns:
        Shape, type and values of the mask, in words.

    Raises:
        ValueError: naming what differs.
    """
    found, image = open_image(str(mask)), open_image(str(study))
    if found.shape != image.shape[:3]:
        raise ValueError(f"the mask of {study.name} has shape {found.shape}; the study has {image.shape[:3]}")
    off = float(np.abs(found.affine - image.affine).max())
    if off > 1e-3:
        raise ValueError(f"the mask of {study.name} lies elsewhere: its affine is off by up to {off:.3g} mm")
    values = [int(value) for value in np.unique(np.asanyarray(found.dataobj))]
    wrong = sorted(set(values) - {0, *labels.values()})
    if wrong:
        raise ValueError(f"the mask of {study.name} has the values {wrong}; named are 0 to {max(labels.values())}")
    shape = " x ".join(map(str, found.shape))
    return f"{shape}, {found.get_data_dtype()}, on the study's grid, values {brief_values(values)}"


def brief_values(values: list[int]) -> str:
    """Return sorted values as a list, or as a range if it has no gap."""
    gapless = len(values) > 3 and values == list(range(values[0], values[-1] + 1))
    return f"{values[0]} to {values[-1]}" if gapless else ", ".join(map(str, values))


def check_weights(folder: Path, before: dict[str, torch.Tensor]) -> str:
    """Check that training replaced ``models/model.pt`` with a flat state dict of the same keys.

    Args:
        folder: the bundle's folder in the app.
        before: the weights before training.

    Returns:
        How many tensors changed, and the metric of the weights, in words.

    Raises:
        ValueError: naming what is wrong.
    """
    after = read_weights(folder)
    if after.keys() != before.keys():
        odd = sorted(after.keys() ^ before.keys())
        raise ValueError(f"models/model.pt of {folder.name} has other keys than before training: {odd[:3]}")
    changed = sum(not torch.equal(after[key], before[key]) for key in after)
    if not changed:
        raise ValueError(f"models/model.pt of {folder.name} has not changed in training")
    card: dict[str, Any] = json.loads((folder / "models" / "model.card.json").read_text(encoding="utf-8"))
    metric = ", ".join(f"{name} {value:.4f}" for name, value in card["metric"].items())
    return f"flat state dict, {changed} of {len(after)} tensors changed; {metric} at epoch {card['epoch']}"


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return ``models/model.pt``; raise ValueError if it is not a flat dictionary of tensors."""
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    nested = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if nested:
        raise ValueError(f"models/model.pt of {folder.name} is not flat: {nested[:3]} are not tensors")
    return dict(state)


def difference(first: Path, second: Path) -> float:
    """Return the share of voxels in which two masks differ."""
    a, b = (np.asanyarray(open_image(str(path)).dataobj) for path in (first, second))
    return float((a != b).mean())


def relative(path: Path) -> str:
    """Return a path relative to the current folder, for messages."""
    return os.path.relpath(path)
