"""Damage to names: renamed, doubled and missing files, other files among them, and links."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np

from tests.robustness.damage import Damage, any_file, any_image, any_label, damage, stem
from tests.robustness.dataset import LABELLED, UNLABELLED, label_of


@damage("names")
def odd_characters(rng: np.random.Generator, data: Path) -> Damage:
    """A case whose image and label have an unusual name."""
    name = str(rng.choice(LABELLED))
    new = str(
        rng.choice(["a b", "größe", "x#1", "a'b", "50%", "$HOME", "@case", "-v", "1.5mm", "a,b", "[1]", "*"])
    )
    for path in (name, label_of(name)):
        suffix = ".nii.gz" if path.endswith(".gz") else ".nii"
        (data / path).rename((data / path).with_name(new + suffix))
    return Damage(f"{name} and its label are called {new}", (new,), "right")


@damage("names")
def upper_case_suffix(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    new = name.replace(".nii.gz", ".NII.GZ").replace(".nii", ".NII")
    (data / name).rename(data / new)
    return Damage(f"{name} is called {new}", (stem(name),), "right")


@damage("names")
def missing_file(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    (data / name).unlink()
    return Damage(f"{name} is missing", (stem(name),))


@damage("names")
def both_suffixes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    raw = (data / name).read_bytes()
    if name.endswith(".gz"):
        (data / name[:-3]).write_bytes(gzip.decompress(raw))
    else:
        (data / f"{name}.gz").write_bytes(gzip.compress(raw))
    return Damage(f"{name} is there with and without .gz", (stem(name),))


@damage("names")
def hidden_files(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    (data / name).with_name(f"._{Path(name).name}").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    (data / Path(name).parent / ".DS_Store").write_bytes(bytes(8))
    return Damage(f"{Path(name).parent} holds hidden files of a Mac", (stem(name),), "right")


@damage("names")
def label_among_images(rng: np.random.Generator, data: Path) -> Damage:
    name = any_label(rng)
    end = str(rng.choice(["_seg", "_mask", "_label", "_gt"]))
    suffix = ".nii.gz" if name.endswith(".gz") else ".nii"
    shutil.copy(data / name, data / "imagesTr" / f"{stem(name)}{end}{suffix}")
    return Damage(f"imagesTr holds {stem(name)}{end}{suffix}, a label map", (f"{stem(name)}{end}",))


@damage("links")
def linked_folder(rng: np.random.Generator, data: Path) -> Damage:
    place = str(rng.choice(["imagesTr/loop", "loop", "imagesUn/again"]))
    (data / place).symlink_to(data if "loop" in place else data / "imagesTr", target_is_directory=True)
    return Damage(f"{place} is a link to {os.readlink(data / place)}", (Path(place).name,))


@damage("links")
def linked_file(rng: np.random.Generator, data: Path) -> Damage:
    """A second name of an image among the unlabelled ones: pretraining must not see a validation case by it."""
    name = str(rng.choice(LABELLED))
    suffix = ".nii.gz" if name.endswith(".gz") else ".nii"
    link = data / "imagesUn" / f"copy{suffix}"
    if rng.random() < 0.5:
        link.symlink_to(data / name)
    else:
        os.link(data / name, link)
    return Damage(f"{link.name} is another name of {name}", ("copy", stem(name)))


@damage("links")
def broken_link(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    (data / name).unlink()
    target = Path(name).name if rng.random() < 0.3 else "gone.nii.gz"
    (data / name).symlink_to(target)
    return Damage(f"{name} is a link to {target}", (stem(name),))


@damage("links")
def everything_linked(rng: np.random.Generator, data: Path) -> Damage:
    """Each file is a link into a store elsewhere, as git-annex and DataLad keep them."""
    store = data.parent / "store"
    store.mkdir()
    for name in [*LABELLED, *UNLABELLED, *map(label_of, LABELLED)]:
        target = store / name.replace("/", "-")
        (data / name).rename(target)
        (data / name).symlink_to(target)
    return Damage("all files are links", (), "right")


@damage("links")
def folder_in_place_of_a_file(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    (data / name).unlink()
    (data / name).mkdir()
    return Damage(f"{name} is a folder", (stem(name),))
