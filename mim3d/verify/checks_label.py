"""MONAI Label's rules (monaibundle app, 0.8.5), tried without MONAI Label.

The app reads one config, sets ``device`` to a string, and sets lists of cases in place of a data set's folder.
``mim3d label`` tries the same in a real server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.post.dictionary import Invertd
from monai.transforms.utility.dictionary import CastToTyped

from mim3d.verify.checks_workflows import without_own_code, workflow
from mim3d.verify.config_ids import at, targets
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check
from mim3d.verify.sample_case import BOX, Brightness, load_nifti, small_case

#: Words in a bundle's name by which the app takes it for another kind than segmentation.
OTHER_KINDS = ("deepedit", "deepgrow", "detection", "classification")


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


def infer(parser: ConfigParser, image: str, network: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return the mask that the app would write: preprocessing, inferer and postprocessing, without saving.

    As in the app, the sample holds ``image_path``, from which the app takes the mask's file type.
    """
    sample = Compose(transforms(parser, "preprocessing"))({"image": image, "image_path": image})
    want(sample.get("image_path") == image, sample.get("image_path"), "image_path as it was given")
    with torch.no_grad():
        sample["pred"] = parser.get_parsed_content("inferer")(sample["image"][None], network)[0]
    after = [t for t in transforms(parser, "postprocessing") if not isinstance(t, SaveImaged)]
    return Compose(after)(sample)["pred"]


@check("label: names", "label", segmentation_only=True)
def label_names(packed: Packed) -> str:
    """The app takes the bundle for a segmentation, and its lower-case label names differ."""
    words = ", ".join(OTHER_KINDS)
    want(not any(kind in packed.name for kind in OTHER_KINDS), packed.name, f"no {words} in the name")
    channels = packed.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    names = [name.lower() for name in channels.values()]
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
    """A request gives a uint8 mask on the input's grid, in the right place, that can hold every named value."""
    case, parser = small_case(packed), app_parser(packed)
    given = load_nifti(case["image"])
    outputs = packed.metadata["network_data_format"]["outputs"]["pred"]
    pred = infer(parser, case["image"], Brightness(outputs["num_channels"]))
    want(tuple(pred.shape) == (1, *given.shape[:3]), tuple(pred.shape), f"one channel on {given.shape[:3]}")
    want(np.allclose(pred.affine, given.affine, atol=1e-3), "another affine", "the input's")
    want(pred.dtype == torch.uint8, pred.dtype, "torch.uint8")
    found: np.ndarray = np.asarray(pred[0]) > 0
    box = np.zeros_like(found)
    box[BOX] = True
    dice = 2 * (found & box).sum() / (found.sum() + box.sum())
    want(dice > 0.7, f"Dice {dice:.2f} with the box", "the mask where the image is bright")
    rng = torch.Generator().manual_seed(0)
    noise = infer(
        parser,
        case["image"],
        lambda image: torch.randn(len(image), outputs["num_channels"], *image.shape[2:], generator=rng),
    )
    values, named = torch.unique(noise.as_tensor()).tolist(), list(range(len(outputs["channel_def"])))
    want(values == named, f"values {values} in a mask of noise", f"the values that channel_def names: {named}")
    return f"Dice {dice:.2f} with a bright box"


@check("label: training", "label", segmentation_only=True)
def label_training(packed: Packed) -> str:
    """The app's overrides work in train.json: lists of cases, epochs, device, a CheckpointLoader put first."""
    handlers = at(packed.config("train"), "train#handlers")
    want("CheckpointLoader" not in targets(handlers), "a CheckpointLoader", "none: the app adds its own")
    loader = {"_target_": "CheckpointLoader", "load_path": str(packed.scratch / "model.pt"), "strict": False}
    made = workflow(
        packed,
        "train",
        "train",
        **{
            "device": "cpu",
            "train#dataset#data": [small_case(packed)],
            "validate#dataset#data": [small_case(packed, 1)],
            "train#trainer#max_epochs": 3,
            "train#handlers": [{**loader, "load_dict": {"model": "$@network"}}, *handlers],
            "ckpt_dir": str(packed.scratch / "models"),
        },
    )
    made.initialize()
    if not packed.config_only:
        made.parser.get_parsed_content("preflight")()
    epochs = made.trainer.state.max_epochs
    want(epochs == 3, epochs, "train#trainer#max_epochs as given")
    loads = made.parser.get_parsed_content("train#handlers#0").load_dict["model"]
    want(loads is made.parser.get_parsed_content("network"), "another network", "the network that is trained")
    counts = len(made.train_dataset), len(made.val_dataset)
    want(counts == (1, 1), counts, "train#dataset#data and validate#dataset#data as given")
    want(Path(made.dataset_dir) == Path("."), made.dataset_dir, "an empty dataset_dir")
    return "dataset_dir empty, device 'cpu'"


@check("label: short training validates", "label", segmentation_only=True)
def label_short_training(packed: Packed) -> str:
    """However few epochs the app sets, training validates at least once: without that no weights are saved."""
    for names in (("train",), ("train", "smoke")):
        for epochs in (1, 3, 1000):
            parser = ConfigParser(packed.config(*names))
            parser["train#trainer#max_epochs"] = epochs
            interval = parser.get_parsed_content("val_interval")
            want(1 <= interval <= epochs, f"val_interval {interval} for {epochs} epochs", f"1 to {epochs}")
    return ""


@check("label: small studies are padded", "label", segmentation_only=True)
def label_padding(packed: Packed) -> str:
    """Training pads a study that is smaller than the crop before it crops."""
    names = [type(t).__name__ for t in packed.parsed("train#preprocessing", "train").transforms]
    pads = [n for n, name in enumerate(names) if re.search("Pad", name)]
    crops = [n for n, name in enumerate(names) if name.startswith("Rand") and "Crop" in name]
    want(pads and crops and min(pads) < min(crops), names, "padding before the random crop")
    return ""


@check("label: written masks are labels", "label", segmentation_only=True)
def label_values(packed: Packed) -> str:
    """Training takes a mask that the bundle wrote as it is: in the app, labels have the values of masks."""
    for names in (("train",), ("train", "smoke")):
        parser = ConfigParser(packed.config(*names))
        values = torch.arange(len(parser.get_parsed_content("label_names")))[None]
        mapped = parser.get_parsed_content("label_mapping")({"label": values})["label"]
        found = torch.as_tensor(mapped).long()
        want(torch.equal(found, values), f"{values.tolist()} -> {found.tolist()}", "the same values")
        allowed = parser.get_parsed_content("label_values")
        want(allowed is None or list(allowed) == values[0].tolist(), f"label_values {allowed}", "the same values")
    return f"{values.numel()} values"
