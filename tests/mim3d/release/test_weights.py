"""Published weights in a release: attached, named by the bundles of the release, and in zips of their own."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.networks.nets import BasicUNet

from custom_components import published
from custom_components.faults import Fault
from custom_components.published import asset_name, find_published
from custom_components.transfer import fetch_weights, write_card
from mim3d.catalog import BUNDLES
from mim3d.package.metadata import as_json
from mim3d.release.build import write_release
from mim3d.release.weights import PACKED, with_address, write_assets
from tests.loopback import entry, publish, serve

BUNDLE, NAME = "seg_msd_hippocampus", "hippocampus/seg_msd_hippocampus"
KEYS = {"architecture#features": [4, 4, 8, 8, 16, 4]}
ARCHIVE, WITH_WEIGHTS = "seg_msd_hippocampus_v9.9.9.zip", "hippocampus.seg_msd_hippocampus_v9.9.9.zip"


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, bytes]:
    """The files of the weights."""
    torch.save(BasicUNet(3, 1, 3, KEYS["architecture#features"]).state_dict(), tmp_path / "model.pt")
    write_card(tmp_path / "model.pt", {"view": {"channels": ["MR"]}, "metric": {"val_mean_dice": 0.5}})
    return {name: (tmp_path / name).read_bytes() for name in ("model.pt", "model.card.json")}


@pytest.fixture
def register(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``register(**options of publish)``: a registry with the weights, and a copy of them in ``weights``."""

    def make(**options: Any) -> None:
        publish(monkeypatch, tmp_path / "p", {NAME: entry(contents, BUNDLE, keys=KEYS)}, **options)
        local = tmp_path / "p" / "weights" / NAME
        local.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            (local / name).write_bytes(data)

    return make


def build(folder: Path, downloads: str) -> None:
    folder.mkdir()
    write_release(folder, [BUNDLES / BUNDLE, BUNDLES / "seg_btcv"], "9.9.9", downloads, "notes")


def registry_in(archive: Path) -> dict[str, Any]:
    """The registry that a zip carries."""
    with zipfile.ZipFile(archive) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("custom_components/published.json"))
        return json.loads(opened.read(name))


def test_the_bundles_of_a_release_find_the_weights_that_it_attaches(
    register: Callable[..., None], contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    out = tmp_path / "out"
    with serve() as server:
        build(out, server.url)
        assets = {asset_name(NAME, name): data for name, data in contents.items()}
        assert {name: (out / name).read_bytes() for name in assets} == assets
        sums = [line.split("  ") for line in (out / "checksums.txt").read_text(encoding="utf-8").splitlines()]
        assert sorted([*assets, ARCHIVE, WITH_WEIGHTS, "seg_btcv_v9.9.9.zip"]) == [name for _, name in sums]
        assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for digest, name in sums)
        assert sorted(json.loads((out / "model_info.json").read_text(encoding="utf-8"))) == [
            "seg_btcv_v9.9.9",
            "seg_msd_hippocampus_v9.9.9",
        ]
        # a bundle that was downloaded alone: its registry, no copy in weights, nothing in the cache
        content = registry_in(out / ARCHIVE)
        own = json.loads(published.REGISTRY.read_text(encoding="utf-8"))
        assert own["base_url"] is None
        assert content["base_url"] == server.url
        publish(monkeypatch, tmp_path / "user", {NAME: entry(contents, BUNDLE)}, base_url=content["base_url"])
        server.contents = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
        assert fetch_weights(NAME).read_bytes() == contents["model.pt"]


def test_a_zip_and_the_folder_for_the_hub_hold_the_weights(
    register: Callable[..., None], contents: dict[str, bytes], tmp_path: Path
) -> None:
    register()
    out = tmp_path / "out"
    build(out, "https://example.org/r")
    with zipfile.ZipFile(out / WITH_WEIGHTS) as opened:
        files = {name.removeprefix(f"{BUNDLE}/"): opened.read(name) for name in opened.namelist()}
    assert files["models/model.pt"] == contents["model.pt"]
    assert yaml.safe_load(files["configs/inference.yaml"])["architecture"]["features"] == [4, 4, 8, 8, 16, 4]
    assert registry_in(out / WITH_WEIGHTS)["base_url"] == "https://example.org/r"
    sums = dict(reversed(line.split("  ")) for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert (out / "hub" / BUNDLE / "models" / "model.pt").read_bytes() == contents["model.pt"]
    card = (out / "hub" / BUNDLE / "README.md").read_text(encoding="utf-8")
    assert "The trained weights are in `models`." in card
    assert f"The weights are `{NAME}`" in card
    with zipfile.ZipFile(out / ARCHIVE) as opened:
        assert not [name for name in opened.namelist() if name.endswith(".pt")]


def test_weights_that_are_published_elsewhere_stay_there(register: Callable[..., None], tmp_path: Path) -> None:
    register(base_url="https://elsewhere.org/w")
    assert write_assets(tmp_path, [BUNDLES / BUNDLE]) == []
    assert list(tmp_path.glob("hippocampus*")) == []
    files = {PACKED: as_json({"base_url": "https://elsewhere.org/w"}), "SHA256SUMS": b"sums"}
    assert with_address(files, "https://example.org/r") == files


def test_a_damaged_copy_is_not_released(register: Callable[..., None], tmp_path: Path) -> None:
    register()
    (tmp_path / "p" / "weights" / NAME / "model.card.json").write_text("{}")
    assert find_published(NAME).file("model.card.json").bytes > 2
    with pytest.raises(Fault, match=r"model\.card\.json has sha256 .* restore it from the repository"):
        build(tmp_path / "out", "https://example.org/r")
