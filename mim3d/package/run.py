"""What ``mim3d package`` does: pack bundles, with files or published weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from custom_components.published import Published, find_published, is_published
from custom_components.transfer import weights_file
from mim3d.arguments import UsageError
from mim3d.catalog import TASKS
from mim3d.package.config_only import find_task
from mim3d.package.folders import all_bundles, find_bundle
from mim3d.package.pack import package
from mim3d.package.published import layers_of
from mim3d.package.weights import check_weights, pretext_beside


def package_all(arguments: argparse.Namespace) -> list[Path]:
    """Pack bundles, print each folder and zip, and return the zips.

    Args:
        arguments: those of ``mim3d package``.

    Raises:
        UsageError: for weights that are not for the one bundle, and a link to weights that are not published.
        ValueError: as `mim3d.package.pack.package`, and for weights that do not fit.
    """
    bundles = [find_bundle(name) for name in arguments.bundles] or all_bundles()
    if arguments.config_only:
        bundles = bundles if arguments.bundles else [task.bundle for task in TASKS.values()]
        for bundle in bundles:  # before the first one is packed
            find_task(bundle)
    published = _published(arguments, bundles)
    weights = weights_file(arguments.weights) if arguments.weights else None
    options = {"weights": weights, "allow_large": arguments.allow_large}
    options |= {"published": published, "link": arguments.link_weights, "config_only": arguments.config_only}
    if published is None or arguments.layer:
        return _package(bundles, arguments, arguments.layer, weights, options)
    with layers_of(published) as layers:
        return _package(bundles, arguments, layers, weights, options)


def _published(arguments: argparse.Namespace, bundles: list[Path]) -> Published | None:
    """Return the published weights that ``--weights`` names; None for a file, or without weights."""
    given = arguments.weights
    if given and len(bundles) > 1:
        raise UsageError(f"--weights {given} is for one bundle; {len(bundles)} are to be packed")
    if not given or Path(given).is_file() or not is_published(given):
        if arguments.link_weights:
            raise UsageError("--link_weights needs --weights with a name of published weights")
        return None
    published = find_published(given)
    if published.bundle != bundles[0].name:
        raise UsageError(f"--weights {given} is of {published.bundle}; {bundles[0].name} is to be packed")
    return published


def _package(
    bundles: list[Path],
    arguments: argparse.Namespace,
    layers: list[str],
    weights: Path | None,
    options: dict[str, object],
) -> list[Path]:
    """Pack bundles with layers, after the weights were compared with the network of the first one."""
    if weights and weights.is_file():
        check_weights(bundles[0], layers, weights)
        pretext = pretext_beside(bundles[0], weights)
        if pretext and pretext.is_file():
            check_weights(bundles[0], layers, pretext, "pretext")
    zips = []
    for bundle in bundles:
        folder, archive = package(bundle, arguments.out, arguments.overwrite, layers=layers, **options)
        print(folder, archive, sep="\n")
        zips.append(archive)
    return zips
