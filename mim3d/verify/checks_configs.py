"""Checks of a packed bundle's configs as they are written, unresolved."""

from __future__ import annotations

import re
from typing import Any

from mim3d.package.layers import FOR_INFERENCE
from mim3d.verify.config_ids import at, entries, strings
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check

INFERENCE_IDS = (
    *("bundle_root", "device", "dataset_dir", "output_dir", "network_def", "preprocessing", "dataset"),
    *("dataloader", "inferer", "postprocessing", "handlers", "evaluator", "run"),
)
TRAIN_IDS = (
    *("bundle_root", "ckpt_dir", "output_dir", "device", "dataset_dir", "val_interval", "network_def", "loss"),
    *("optimizer", "train#preprocessing", "train#dataset#data", "train#dataloader", "train#inferer"),
    *("train#handlers", "train#trainer#max_epochs", "validate#preprocessing", "validate#dataset#data"),
    *("validate#dataloader", "validate#handlers", "validate#key_metric", "validate#evaluator"),
    *("initialize", "run"),
)
#: Of segmentation bundles only: a pretraining evaluator has no inferer, no postprocessing and no plain network.
SEGMENTATION_IDS = ("network", "validate#inferer", "validate#postprocessing")
#: Id of a component -> its arguments that must be references, so that layers and MONAI Label can replace them.
REFERENCES = {
    "evaluator": ("val_handlers", "postprocessing", "key_val_metric", "inferer", "val_data_loader"),
    "dataset": ("transform",),
    "dataloader": ("dataset",),
    "train#trainer": ("train_handlers", "postprocessing", "key_train_metric", "inferer", "train_data_loader"),
    "train#dataset": ("transform",),
    "train#dataloader": ("dataset",),
    "validate#evaluator": ("val_handlers", "postprocessing", "key_val_metric", "inferer", "val_data_loader"),
    "validate#dataset": ("transform",),
    "validate#dataloader": ("dataset",),
}


def missing(config: dict[str, Any], ids: tuple[str, ...]) -> list[str]:
    """Return the ids that have no value."""
    return [key for key in ids if at(config, key) is None]


@check("required ids", "configs")
def required_ids(packed: Packed) -> str:
    """Every id that monai.bundle, the zoo and MONAI Label read has a value."""
    lost = missing(packed.config("inference"), INFERENCE_IDS)
    want(not lost, f"inference without {', '.join(lost)}", "the ids that monai.bundle and MONAI Label ask for")
    for names in packed.trains:
        config = packed.config(*names)
        ids = TRAIN_IDS + (SEGMENTATION_IDS if packed.segments else ())
        lost = [key for key in missing(config, ids) if not ("evaluate" in names and key == "validate#key_metric")]
        want(
            not lost,
            f"{' + '.join(names)} without {', '.join(lost)}",
            "the ids that monai.bundle and the zoo ask for",
        )
    root = at(packed.config("inference"), "bundle_root")
    want(root == ".", f"bundle_root {root!r}", "bundle_root '.'")
    return ""


@check("references, not inline content", "configs")
def references(packed: Packed) -> str:
    """Arguments that others replace are references, not written inline."""
    for names in [("inference",), *packed.trains]:
        config = packed.config(*names)
        for owner, arguments in REFERENCES.items():
            for argument in arguments:
                value = at(config, f"{owner}#{argument}")
                plain = value is None or (isinstance(value, str) and re.fullmatch(r"@[\w#:]+", value))
                want(
                    plain,
                    f"{' + '.join(names)}: {owner}#{argument} inline",
                    "a reference such as '@train#handlers'",
                )
    return ""


@check("handlers are dictionaries", "configs")
def handlers_are_dictionaries(packed: Packed) -> str:
    """Lists of handlers hold dictionaries with ``_target_``: MONAI Label adds its own to them."""
    places: list[tuple[str, tuple[str, ...]]] = [("train#handlers", ("train",)), ("handlers", ("inference",))]
    places += [("validate#handlers", names) for names in packed.trains if packed.segments]
    for key, names in places:
        config = packed.config(*names)
        value = at(config, key)
        plain = isinstance(value, list) and all(isinstance(item, dict) and "_target_" in item for item in value)
        want(plain, f"{' + '.join(names)}: {key} holds something else", "dictionaries with _target_ only")
    return ""


@check("own classes by _target_", "configs")
def own_classes_by_target(packed: Packed) -> str:
    """custom_components appears in ``_target_`` only.

    The bundle's folder gets onto the import path late. An import or an expression would run before.
    """
    for names in [("inference",), *packed.trains]:
        config = packed.config(*names)
        for path, text in strings(config):
            named = "custom_components" in text and not path.endswith("_target_")
            want(not named, f"{' + '.join(names)}: {path}: {text[:80]}", "custom_components in _target_ only")
    return ""


@check("inference names MONAI and torch only", "configs", segmentation_only=True)
def inference_names_monai_only(packed: Packed) -> str:
    """The inference config names no class of ours, except a network that a merged layer brought."""
    own = packed.own_network
    for kind in ("json", "yaml"):
        text = packed.text(f"configs/inference.{kind}").replace(own or "\0", "")
        want(
            "custom_components" not in text,
            f"custom_components in inference.{kind}",
            "MONAI and torch classes only",
        )
    return f"but for {own}: MONAI Label takes it only where custom_components is installed" if own else ""


@check("configs stand alone", "configs")
def stand_alone(packed: Packed) -> str:
    """The train and inference configs take nothing from another file: MONAI Label and the zoo read one file."""
    for name in ("train", "inference"):
        found = [text for _, text in strings(packed.config(name)) if re.search(r"%\S+\.(yaml|json)", text)]
        want(not found, f"{name}: {', '.join(found)}", "references within the file")
    return ""


@check("no # in strings", "configs")
def no_hash_in_strings(packed: Packed) -> str:
    """``#`` appears in references only: MONAI replaces it with ``::`` everywhere, also in a path or a text."""
    configs = ["train", "inference", *packed.layers]
    for name in configs:
        for path, text in strings(packed.layer(name)):
            rest = re.sub(r"[@%][A-Za-z_]\w*(?:#\w+)+", "", text)
            want("#" not in rest, f"{name}: {path}: {text[:80]}", "# in references only")
    return f"{len(configs)} configs"


@check("device may be a string", "configs", segmentation_only=True)
def device_may_be_a_string(packed: Packed) -> str:
    """No config reads an attribute of ``device``: MONAI Label sets it to a string."""
    for name in ("train", "inference"):
        found = [path for path, text in strings(packed.config(name)) if "@device." in text]
        want(
            not found,
            f"{name}: @device. in {', '.join(found)}",
            "no attribute of device: MONAI Label gives a string",
        )
    return ""


def dangling(config: dict[str, Any]) -> set[str]:
    """Return the references of a config that lead nowhere, as ``path names @id``."""
    known, found = {path for path, _ in entries(config)}, set()
    for path, text in strings(config):
        for key in re.findall(r"@([A-Za-z_]\w*(?:(?:#|::)\w+)*)", text):
            steps = re.split("#|::", key)
            # What an expression returns is not known before it is computed.
            computed = any(isinstance(at(config, "#".join(steps[:n])), str) for n in range(1, len(steps)))
            if not computed and "#".join(steps) not in known:
                found.add(f"{path} names @{key}")
    return found


@check("layers change keys that exist", "configs")
def layers_change_known_keys(packed: Packed) -> str:
    """The nested keys and references of a layer exist in the config before it or in the layer itself."""
    for name in packed.layers:
        first = "inference" if f"{name}.yaml" in FOR_INFERENCE else "train"
        # A package with merged layers holds keys of training in its inference config, which nothing reads there.
        lost = dangling(packed.config(first, name)) - dangling(packed.config(first))
        want(not lost, f"{first} + {name}: {', '.join(sorted(lost))}", "an id that exists")
    return f"{len(packed.layers)} layers"
