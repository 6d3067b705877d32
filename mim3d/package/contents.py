"""What a package holds: which files of a bundle, with which bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import yaml

from mim3d.catalog import ROOT
from mim3d.package.layers import fitted_metadata, merged_config, reads_pretext
from mim3d.package.metadata import as_json
from mim3d.templates import packed_readme

SUMS = "SHA256SUMS"
#: MONAI Label and monai.bundle.load read these as one file; load reads JSON only.
ALONE = ("train", "inference")
#: Bytes a file may have without large_files.yml (the zoo's limit).
LARGE = 25 * 2**20
Files = dict[str, bytes]


def find_bundle(given: str) -> Path:
    """The folder of a bundle, given by name or path; ValueError where there is none."""
    named = ROOT / "bundles" / given
    for folder in (named, Path(given)):
        if (folder / "configs" / "metadata.json").is_file():
            return folder.resolve()
    known = ", ".join(bundle.name for bundle in all_bundles())
    raise ValueError(f"{given!r} is no bundle (a folder with configs/metadata.json); in bundles/: {known}")


def all_bundles(folder: Path = ROOT / "bundles") -> list[Path]:
    """Every bundle folder of the repository, sorted."""
    return sorted(path.parent for path in folder.glob("*/configs") if not path.parent.name.startswith("."))


def visible_files(folder: Path) -> list[Path]:
    """The files below a folder, sorted; nothing hidden, compiled or of tests."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in ("__pycache__", "tests") for part in parts)
        if path.is_file() and not hidden and path.suffix not in (".pyc", ".pyo"):
            found.append(path)
    return found


def tracked_weights(bundle: Path) -> list[Path]:
    """Weights and cards in ``models/`` that git tracks; outside a git tree all that are there but resume.pt."""
    there = [path for path in visible_files(bundle / "models") if path.name.endswith((".pt", ".ts", ".card.json"))]
    there = [path for path in there if path.name != "resume.pt"]
    if not there:
        return []
    listed = subprocess.run(["git", "ls-files", "models"], cwd=bundle, capture_output=True, text=True, check=False)
    if listed.returncode:
        return there
    tracked = [path for path in there if path.relative_to(bundle).as_posix() in listed.stdout.splitlines()]
    for path in sorted(set(there) - set(tracked)):
        print(
            f"{bundle.name}: models/{path.name} is not in git and is left out; --weights packs it", file=sys.stderr
        )
    return tracked


def pretext_beside(bundle: Path, weights: Path) -> Path | None:
    """The ``pretext.pt`` beside given weights, there or not, where the bundle's inference reads one."""
    reads = reads_pretext(merged_config(bundle, "inference", [])[0])
    return weights.with_name("pretext.pt") if reads else None


def weights_files(bundle: Path, weights: Path | None) -> Files:
    """``models/...`` of the package."""
    if weights is None:
        return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in tracked_weights(bundle)}
    if not weights.is_file():
        raise ValueError(f"--weights {weights} does not exist")
    packed, pretext = {"model": weights}, pretext_beside(bundle, weights)
    if pretext and pretext.is_file():
        packed["pretext"] = pretext
    elif pretext:
        print(
            f"{bundle.name}: {pretext} does not exist; inference of the package has none to paint with",
            file=sys.stderr,
        )
    files: Files = {}
    for name, path in packed.items():
        card = path.with_name(path.stem + ".card.json")
        files[f"models/{name}.pt"] = path.read_bytes()
        files |= {f"models/{name}.card.json": card.read_bytes()} if card.is_file() else {}
    return files


def check_large(name: str, files: Files) -> Files:
    """Leave out what large_files.yml names; ValueError for another file that is too large."""
    listing = yaml.safe_load(files.get("large_files.yml", b"{}")) or {}
    listed = [item.get("path") for item in listing.get("large_files", [])]
    kept = {path: data for path, data in files.items() if len(data) <= LARGE or path not in listed}
    for path, data in kept.items():
        if len(data) > LARGE:
            raise ValueError(
                f"{name}: {path} has {len(data) / 2**20:.0f} MB; a file over 25 MB is not packed but named in "
                f"{name}/large_files.yml (path, url, hash_val, hash_type), or packed with --allow-large"
            )
    return kept


def collect(
    bundle: Path,
    layers: list[str] | None = None,
    weights: Path | None = None,
    components: Path = ROOT / "custom_components",
    allow_large: bool = False,
) -> Files:
    """What a package holds: path in the bundle -> bytes, sorted by path.

    Args:
        bundle: the bundle's folder.
        layers: layer files merged into train and inference.
        weights: file that becomes ``models/model.pt``; None: those that git tracks.
        components: the package that configs name.
        allow_large: keep files over 25 MB.

    Raises:
        ValueError: for a layer, a README, a file or a size that does not fit.
    """
    folders = [bundle / "configs", bundle / "docs"]
    paths = [path for folder in folders for path in visible_files(folder)]
    paths += [bundle / "large_files.yml"] if (bundle / "large_files.yml").is_file() else []
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in paths}
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files["docs/README.md"] = packed_readme(bundle)
    files |= weights_files(bundle, weights)
    if not (components / "__init__.py").is_file():
        raise ValueError(
            f"{components} is not the package that configs name; a bundle does not stand alone without it"
        )
    for path in visible_files(components):
        files[f"custom_components/{path.relative_to(components).as_posix()}"] = path.read_bytes()
    for name in ALONE:
        config, text = merged_config(bundle, name, layers or [])
        files[f"configs/{name}.json"] = as_json(config)
        if text is not None:
            files[f"configs/{name}.yaml"] = text
            if name == "inference":
                files["configs/metadata.json"] = fitted_metadata(files["configs/metadata.json"], config)
    if not allow_large:
        files = check_large(bundle.name, files)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    return dict(sorted({**files, SUMS: "".join(sums).encode()}.items()))
