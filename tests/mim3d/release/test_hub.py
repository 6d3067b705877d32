"""Folders for the Hugging Face hub: a model card that MONAI uploads as it is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from monai.bundle import scripts

from custom_components import __version__
from mim3d.catalog import BUNDLES
from mim3d.package.contents import collect
from mim3d.package.folders import Files
from mim3d.package.pack import write_folder
from mim3d.release.hub import hub_files


@pytest.fixture(scope="module")
def packed() -> Callable[[str], Files]:
    """``packed(name)``: the files of a packed bundle."""
    made = {name: collect(BUNDLES / name) for name in ("pretrain_simmim", "seg_brats")}
    return lambda name: dict(made[name])


def split(card: bytes) -> tuple[dict[str, Any], str]:
    """The front matter as the hub reads it, and the text."""
    empty, head, text = card.decode().split("---\n", maxsplit=2)
    assert empty == ""
    return yaml.safe_load(head), text


def test_the_card_says_what_the_hub_asks_for(packed: Callable[[str], Files]) -> None:
    segment, _ = split(hub_files("seg_brats", packed("seg_brats"))["README.md"])
    assert segment == {
        "license": "apache-2.0",
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": ["monai", "medical", "3d", "mr"],
    }
    pretrain, _ = split(hub_files("pretrain_simmim", packed("pretrain_simmim"))["README.md"])
    assert pretrain["tags"] == ["monai", "medical", "3d", "ct", "self-supervised-learning"]
    assert "pipeline_tag" not in pretrain


def test_the_text_is_purpose_limits_and_the_readme(packed: Callable[[str], Files]) -> None:
    files = packed("seg_brats")
    text = split(hub_files("seg_brats", files)["README.md"])[1]
    assert text.startswith("\n# seg_brats\n\nSegmentation of brain tumour regions in four MR sequences")
    assert f"not for diagnosis or treatment. This is version {__version__}. It has no trained weights.\n" in text
    readme = files["docs/README.md"].decode().partition("\n")[2]
    assert text.endswith(f"\n## Model overview\n{readme}")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("models/model.pt", "The trained weights are in `models`."),
        ("large_files.yml", "`large_files.yml` says where"),
    ],
)
def test_the_card_says_where_the_weights_are(packed: Callable[[str], Files], file: str, said: str) -> None:
    card = hub_files("seg_brats", {**packed("seg_brats"), file: b"x"})["README.md"].decode()
    assert said in card
    assert "no trained weights" not in card


def test_another_licence_is_a_link_to_its_file(packed: Callable[[str], Files]) -> None:
    card, _ = split(hub_files("seg_brats", {**packed("seg_brats"), "LICENSE": b"My own."})["README.md"])
    assert (card["license"], card["license_name"], card["license_link"]) == ("other", "own", "LICENSE")


def test_the_sums_are_those_of_the_folder(packed: Callable[[str], Files]) -> None:
    files = hub_files("seg_brats", packed("seg_brats"))
    lines = files.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in files.items()]
    assert "docs/data_license.txt" in files
    assert "docs/README.md" not in files


def test_monai_uploads_the_card_unchanged(
    packed: Callable[[str], Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, Any] = {}

    def upload_folder(repo_id: str, folder_path: str) -> str:
        shutil.copytree(folder_path, tmp_path / "uploaded")
        return f"https://example.org/{repo_id}"

    api = SimpleNamespace(
        create_repo=lambda **given: calls.update(repo=given),
        upload_folder=upload_folder,
        create_tag=lambda **given: calls.update(tag=given["tag"]),
    )
    monkeypatch.setattr(scripts, "huggingface_hub", SimpleNamespace(HfApi=lambda token: api))
    files = hub_files("seg_brats", packed("seg_brats"))
    write_folder(tmp_path / "hub" / "seg_brats", files)
    scripts.push_to_hf_hub("group/seg_brats", "seg_brats", str(tmp_path / "hub"), version=__version__)
    uploaded = tmp_path / "uploaded"
    found = {path.relative_to(uploaded).as_posix(): path for path in uploaded.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == files
    assert calls["tag"] == __version__
