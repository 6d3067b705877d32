"""MONAI Label's rules (monaibundle app, 0.8.5), tried without MONAI Label.

The app reads one config, sets ``device`` to a string, and sets lists of cases in place of a data set's folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.post.dictionary import Invertd
from monai.transforms.utility.dictionary import CastToTyped

from mim3d.verify.checks_workflows import without_own_code, workflow
from mim3d.verify.config_ids import at
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check

#: Words in a bundle's name by which the app takes it for another kind than segmentation.
OTHER_KINDS = ("deepedit", "deepgrow", "detection", "classification")

#: Voxels of the bright box in `small_case`.
BOX = (slice(8, 20), slice(8, 18), slice(6, 12))


class Brightness(torch.nn.Module):
    """A replacement for the network: its second channel is the largest, and above 0, where the image is bright."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W) intensities -> (B, channels, D, H, W)."""
        answer = image.new_full((len(image), self.channels, *image.shape[2:]), -100.0)
        answer[:, 0] = 0.0
        answer[:, 1] = image.mean(1) - 0.5  # intensities are in [0, 1], or z-scores that are high in the box
        return answer


def small_case(packed: Packed, number: int = 0) -> dict[str, str]:
    """Write a bright box and its mask as small, anisotropic NIfTI files with swapped axes.

    Args:
        packed: the bundle, whose channels the image gets.
        number: seed and number of the case.

    Returns:
        The files of ``image`` and ``label``.
    """
    affine = np.array([[0, 3.0, 0, 11], [-2.0, 0, 0, 5], [0, 0, 4.0, -40], [0, 0, 0, 1]])
    shape, rng = (30, 26, 18), np.random.RandomState(number)
    channels = packed.parsed("channels", "inference")
    image = rng.uniform(-320, -280, (*shape, len(channels))).astype(np.float32)
    image[BOX] += 500
    label = np.zeros(shape, np.uint8)
    label[BOX] = 1
    files = {"image": packed.scratch / f"case{number}.nii.gz", "label": packed.scratch / f"label{number}.nii.gz"}
    nib.save(nib.Nifti1Image(image if len(channels) > 1 else image[..., 0], affine), files["image"])
    nib.save(nib.Nifti1Image(label, affine), files["label"])
    return {key: str(path) for key, path in files.items()}


def load_nifti(path: str | Path) -> Any:
    """Return a NIfTI image; untyped, because nibabel's annotations lack what images have."""
    return nib.load(path)


def app_parser(packed: Packed) -> ConfigParser:
    """Return the inference config as the app holds it."""
    parser = ConfigParser()
    parser.read_config(packed.config_files("inference")[0])
    parser["bundle_root"] = str(packed.root)
    parser["device"] = "cpu"
    return parser


def transforms(parser: ConfigParser, key: str) -> list[Any]:
    """Return the direct members of a Compose; raise CheckError if the entry is something else."""
    made = parser.get_parsed_content(key)
    want(isinstance(made, Compose), type(made).__name__, f"Compose as {key}")
    return list(made.transforms)


@check("label: names", "label", segmentation_only=True)
def label_names(packed: Packed) -> str:
    """The app takes the bundle for a segmentation, and its lower-case label names differ."""
    want(
        not any(kind in packed.name for kind in OTHER_KINDS),
        packed.name,
        f"no {', '.join(OTHER_KINDS)} in the name",
    )
    names = [
        name.lower() for name in packed.metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()
    ]
    want(len(set(names)) == len(names), names, "names that differ in lower case")
    return f"{len(names) - 1} labels"


@check("label: inference transforms", "label", segmentation_only=True)
def label_transforms(packed: Packed) -> str:
    """The transforms that the app looks for stand in the lists themselves and build without custom_components."""
    with without_own_code():
        parser = app_parser(packed)
        before, after = transforms(parser, "preprocessing"), transforms(parser, "postprocessing")
    want(any(isinstance(t, LoadImaged) for t in before), "none", "LoadImaged directly in preprocessing")
    for kind in (Invertd, SaveImaged):
        want(any(isinstance(t, kind) for t in after), "none", f"{kind.__name__} directly in postprocessing")
    casts = [t for t in after if isinstance(t, CastToTyped)]
    want(any(torch.uint8 in t.dtype for t in casts), "none", "a cast to torch.uint8 in postprocessing")
    return ""


@check("label: mask on the input's grid", "label", segmentation_only=True)
def label_mask(packed: Packed) -> str:
    """The app's chain of transforms and inferer gives a uint8 mask on the input's grid, in the right place.

    As in the app the sample holds image_path. A simple rule replaces the network.
    """
    case = small_case(packed)
    parser = app_parser(packed)
    before, after = transforms(parser, "preprocessing"), transforms(parser, "postprocessing")
    outputs = packed.metadata["network_data_format"]["outputs"]["pred"]
    after = [t for t in after if not isinstance(t, SaveImaged)]
    network = Brightness(outputs["num_channels"])
    sample = Compose(before)({"image": case["image"], "image_path": case["image"]})
    want(sample.get("image_path") == case["image"], sample.get("image_path"), "image_path as it was given")
    with torch.no_grad():
        sample["pred"] = parser.get_parsed_content("inferer")(sample["image"][None], network)[0]
    pred = Compose(after)(sample)["pred"]
    given = load_nifti(case["image"])
    want(tuple(pred.shape) == (1, *given.shape[:3]), tuple(pred.shape), f"one channel on {given.shape[:3]}")
    want(np.allclose(pred.affine, given.affine, atol=1e-3), "another affine", "the input's")
    want(pred.dtype == torch.uint8, pred.dtype, "torch.uint8")
    values = set(torch.unique(pred.as_tensor()).tolist())
    allowed = set(range(len(outputs["channel_def"])))
    want(values <= allowed, sorted(values), f"values that channel_def names: 0 to {max(allowed)}")
    found: np.ndarray = np.asarray(pred[0]) > 0
    box = np.zeros_like(found)
    box[BOX] = True
    dice = 2 * (found & box).sum() / (found.sum() + box.sum())
    want(dice > 0.7, f"Dice {dice:.2f} with the box", "the mask where the image is bright")
    return f"values {sorted(values)}, Dice {dice:.2f} with a bright box"


@check("label: training", "label", segmentation_only=True)
def label_training(packed: Packed) -> str:
    """The app's overrides work in train.json: lists of cases, epochs, device, a CheckpointLoader put first."""
    case, other = small_case(packed), small_case(packed, 1)
    handlers = at(packed.config("train"), "train#handlers")
    loader = {"_target_": "CheckpointLoader", "load_path": str(packed.scratch / "model.pt"), "strict": False}
    override = {
        "device": "cpu",
        "train#dataset#data": [case],
        "validate#dataset#data": [other],
        "train#trainer#max_epochs": 3,
        "train#handlers": [{**loader, "load_dict": {"model": "$@network"}}, *handlers],
        "ckpt_dir": str(packed.scratch / "models"),
    }
    made = workflow(packed, "train", "train", **override)
    made.initialize()
    trainer = made.trainer
    made.parser.get_parsed_content("run#0")  # the checks before the run
    want(trainer.state.max_epochs == 3, trainer.state.max_epochs, "train#trainer#max_epochs as given")
    counts = len(made.train_dataset), len(made.val_dataset)
    want(counts == (1, 1), counts, "train#dataset#data and validate#dataset#data as given")
    want(Path(made.dataset_dir) == Path("."), made.dataset_dir, "an empty dataset_dir")
    return "dataset_dir empty, device 'cpu'"


@check("label: small studies are padded", "label", segmentation_only=True)
def label_padding(packed: Packed) -> str:
    """Training pads a study that is smaller than the crop before it crops."""
    names = [type(t).__name__ for t in packed.parsed("train#preprocessing", "train").transforms]
    pads = [n for n, name in enumerate(names) if re.search("Pad", name)]
    crops = [n for n, name in enumerate(names) if name.startswith("Rand") and "Crop" in name]
    want(pads and crops and min(pads) < min(crops), names, "padding before the random crop")
    return ""
