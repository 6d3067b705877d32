"""A bundle as the Hugging Face hub shows it: the packed bundle, with a model card in place of its README.

``monai.bundle.push_to_hf_hub`` uploads a bundle's folder, and the hub shows its ``README.md``. If the folder has a
``docs/README.md``, MONAI first copies that file over ``README.md``, with a front matter that has no task and no
modality. So the folder for the hub has the model card, and no ``docs/README.md``.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from mim3d.package.contents import with_sums
from mim3d.package.folders import SUMS, Files

#: Where the README of a packed bundle is, and where the hub reads the model card.
README, CARD = "docs/README.md", "README.md"


def front_matter(metadata: dict[str, Any], licence: str) -> str:
    """Return the YAML block at the start of a model card.

    Args:
        metadata: content of ``metadata.json``.
        licence: text of the bundle's licence. The hub knows the Apache License 2.0 by name; for another one, the
            card refers to the file.
    """
    image, pred = (metadata["network_data_format"][key] for key in ("inputs", "outputs"))
    card: dict[str, Any] = {"license": "apache-2.0"}
    if not ("Apache License" in licence and "Version 2.0" in licence):
        card = {"license": "other", "license_name": "own", "license_link": "LICENSE"}
    card["library_name"] = "monai"
    tags = ["self-supervised-learning"]
    if pred["pred"]["format"] == "segmentation":
        card["pipeline_tag"], tags = "image-segmentation", []
    card["tags"] = ["monai", "medical", "3d", image["image"]["modality"].lower(), *tags]
    return f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n"


def model_card(name: str, files: Files) -> str:
    """Write the model card of a packed bundle: front matter, purpose, limits, and the bundle's README.

    Args:
        name: the bundle.
        files: of the packed bundle.
    """
    metadata = json.loads(files["configs/metadata.json"])
    weights = "It has no trained weights."
    if "models/model.pt" in files:
        weights = "The trained weights are in `models`."
    elif "large_files.yml" in files:
        weights = "`large_files.yml` says where the trained weights are."
    head = front_matter(metadata, files["LICENSE"].decode())
    about = f"{metadata['description']}\n\nIntended use: {metadata['intended_use']}."
    readme = files[README].decode().replace("# Model overview\n", "## Model overview\n", 1)
    return f"{head}\n# {name}\n\n{about} This is version {metadata['version']}. {weights}\n\n{readme}"


def hub_files(name: str, files: Files) -> Files:
    """Return the files of a packed bundle as the hub gets them: the README becomes the model card."""
    kept = {path: data for path, data in files.items() if path not in (README, SUMS)}
    return with_sums({**kept, CARD: model_card(name, files).encode()})
