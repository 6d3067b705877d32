"""Weights in a package: which files come along, and whether they fit the network that is packed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser

from mim3d.package.folders import Files, visible_files
from mim3d.package.layers import merged_config


def tracked_weights(bundle: Path) -> list[Path]:
    """Weights and cards in ``models/`` that git tracks; outside a git tree all of them except resume.pt."""
    there = [path for path in visible_files(bundle / "models") if path.name.endswith((".pt", ".ts", ".card.json"))]
    there = [path for path in there if path.name != "resume.pt"]
    if not there:
        return []
    listed = subprocess.run(
        ["git", "ls-files", "models"], cwd=bundle, capture_output=True, encoding="utf-8", check=False
    )
    if listed.returncode:
        return there
    tracked = [path for path in there if path.relative_to(bundle).as_posix() in listed.stdout.splitlines()]
    for path in sorted(set(there) - set(tracked)):
        print(
            f"{bundle.name}: models/{path.name} is not in git and is left out; --weights packs it", file=sys.stderr
        )
    return tracked


def pretext_beside(bundle: Path, weights: Path) -> Path | None:
    """Path of ``pretext.pt`` beside given weights, existing or not; None if the bundle's inference reads none."""
    reads = reads_pretext(merged_config(bundle, "inference", [])[0])
    return weights.with_name("pretext.pt") if reads else None


def weights_files(bundle: Path, weights: Path | None) -> Files:
    """Collect ``models/`` of the package: the given weights, or those that git tracks.

    Raises:
        ValueError: if the given file does not exist.
    """
    if weights is None:
        return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in tracked_weights(bundle)}
    if not weights.is_file():
        raise ValueError(f"--weights {weights} does not exist")
    packed, pretext = {"model": weights}, pretext_beside(bundle, weights)
    if pretext and pretext.is_file():
        packed["pretext"] = pretext
    elif pretext:
        print(
            f"{bundle.name}: {pretext} does not exist, so inference of the package cannot reconstruct",
            file=sys.stderr,
        )
    files: Files = {}
    for name, path in packed.items():
        card = path.with_name(path.stem + ".card.json")
        files[f"models/{name}.pt"] = path.read_bytes()
        files |= {f"models/{name}.card.json": card.read_bytes()} if card.is_file() else {}
    return files


def reads_pretext(inference: dict[str, Any]) -> bool:
    """Whether an inference config loads models/pretext.pt, the network with its heads."""
    return "pretext" in inference


def check_weights(bundle: Path, layers: list[str], weights: Path, network: str = "network_def") -> None:
    """Compare a weights file with the network of the packed inference config.

    ``monai.bundle.load`` takes the tensors that fit and leaves the rest random, so weights of another layer must
    be refused here.

    Args:
        bundle: the bundle's folder.
        layers: those that are packed with it.
        weights: the file.
        network: the network's id; ``pretext`` for the one with its heads.

    Raises:
        ValueError: for a file that cannot be read, and for tensors that are missing or of another shape.
    """
    from custom_components.transfer.checks import check_weights_complete

    parser = ConfigParser(merged_config(bundle, "inference", layers)[0])
    parser.parse()
    try:
        check_weights_complete(parser.get_parsed_content(network), str(weights), pretext=network == "pretext")
    except ValueError as error:
        with_layers = f" with {', '.join(layers)}" if layers else ""
        raise ValueError(
            f"{bundle.name}{with_layers}: {error}; pack the layers they were trained with (--layer)"
        ) from None
