"""What a package holds: files of a bundle and their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from custom_components.published import Published
from mim3d.catalog import ROOT
from mim3d.package.config_only import config_only_files
from mim3d.package.folders import LARGE, SUMS, Files, visible_files
from mim3d.package.layers import fitted_metadata, merged_config
from mim3d.package.metadata import as_json
from mim3d.package.note import with_note
from mim3d.package.published import LISTING, linked, with_licence
from mim3d.package.weights import weights_files
from mim3d.templates import packed_readme, without_mark

#: MONAI Label and monai.bundle.load read these as one file; load reads JSON only.
ALONE = ("train", "inference")


def check_large(name: str, files: Files) -> Files:
    """Leave out the large files that large_files.yml lists.

    Raises:
        ValueError: for another file over 25 MB.
    """
    listing = yaml.safe_load(files.get(LISTING, b"{}")) or {}
    listed = [item.get("path") for item in listing.get("large_files", [])]
    kept = {path: data for path, data in files.items() if len(data) <= LARGE or path not in listed}
    for path, data in kept.items():
        if len(data) > LARGE:
            raise ValueError(
                f"{name}: {path} has {len(data) / 2**20:.0f} MB; allowed: 25 MB. List it in large_files.yml "
                "(path, url, hash_val, hash_type), or pack it with --allow_large"
            )
    return kept


def bundle_files(bundle: Path, weights: bool) -> Files:
    """Read configs, documents, licence and ``large_files.yml``; documents are those of a packed bundle.

    Args:
        bundle: the bundle's folder.
        weights: whether the package holds weights.
    """
    paths = [path for name in ("configs", "docs") for path in visible_files(bundle / name)]
    paths += [bundle / name for name in ("LICENSE", LISTING) if (bundle / name).is_file()]
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in paths}
    files.setdefault("LICENSE", (ROOT / "LICENSE").read_bytes())
    files["docs/README.md"] = packed_readme(bundle, weights or LISTING in files)
    name = "docs/data_license.txt"
    if name in files:
        files[name] = without_mark(files[name])
    return files


def component_files(components: Path) -> Files:
    """Read the package that configs name.

    Raises:
        ValueError: if the folder is not that package.
    """
    if not (components / "__init__.py").is_file():
        raise ValueError(f"{components} is not the package that configs name; a bundle needs its own copy of it")
    paths = visible_files(components)
    return {f"custom_components/{path.relative_to(components).as_posix()}": path.read_bytes() for path in paths}


def merged_files(bundle: Path, layers: list[str], metadata: bytes) -> Files:
    """Write train and inference as JSON; with layers, also as YAML with them merged in, and fit the metadata.

    Raises:
        ValueError: for a layer that does not exist or cannot be merged.
    """
    files: Files = {}
    for name in ALONE:
        config, text = merged_config(bundle, name, layers)
        files[f"configs/{name}.json"] = as_json(config)
        if text is not None:
            files[f"configs/{name}.yaml"] = text
            if name == "inference":
                files["configs/metadata.json"] = fitted_metadata(metadata, config)
    return files


def collect(
    bundle: Path,
    layers: list[str] | None = None,
    weights: Path | None = None,
    components: Path = ROOT / "custom_components",
    allow_large: bool = False,
    published: Published | None = None,
    link: bool = False,
    config_only: bool = False,
) -> Files:
    """Collect what a package holds.

    Args:
        bundle: the bundle's folder.
        layers: layer files merged into train and inference.
        weights: file that becomes ``models/model.pt``; None: the files of ``models/`` that git tracks.
        components: the package that configs name.
        allow_large: keep files over 25 MB.
        published: what the registry of published weights states of ``weights``; None: they are not published.
        link: list the published weights in ``large_files.yml`` instead of packing them.
        config_only: pack the config-only form, without ``components``.

    Returns:
        Path in the bundle -> bytes, sorted by path.

    Raises:
        ValueError: for a layer, a file or a size that does not fit.
    """
    if config_only:
        files = config_only_files(bundle, layers or [], weights)
    else:
        models = weights_files(bundle, weights)
        files = {**bundle_files(bundle, bool(models)), **models, **component_files(components)}
        files |= merged_files(bundle, layers or [], files["configs/metadata.json"])
    if published and link:
        files = linked(files, published)
    files = with_note(with_licence(files, published), layers or [], published)
    if not allow_large:
        files = check_large(bundle.name, files)
    return with_sums(files)


def with_sums(files: Files) -> Files:
    """Add ``SHA256SUMS``, which lists the files, and sort all by path."""
    sums = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    return dict(sorted({**files, SUMS: "".join(sums).encode()}.items()))
