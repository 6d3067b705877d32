"""The registry of published weights: what a name stands for, and that the project's own registry is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from custom_components import published
from custom_components.published import asset_name, find_published, is_published, read_registry
from custom_components.transfer.fetch import differing_file
from mim3d.catalog import BUNDLES, ROOT
from mim3d.package.published import layers_of
from mim3d.package.weights import check_weights
from tests.loopback import entry, publish

NAME = "hippocampus/pretrain_mae"
OWN, _ = read_registry()


def test_a_name_gives_all_that_the_registry_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"model.pt": b"tensors", "model.card.json": b"{}"}
    stated = entry(
        files, "pretrain_mae", layers=["a.yaml"], keys={"architecture#features": [8]}, seed=3, result="r"
    )
    publish(monkeypatch, tmp_path, {NAME: stated}, {"hippocampus": NAME}, "https://host/v1/")
    weights = find_published("hippocampus")
    assert weights == find_published(NAME)
    assert (weights.name, weights.bundle, weights.layers, weights.seed) == (NAME, "pretrain_mae", ("a.yaml",), 3)
    assert weights.keys == {"architecture#features": [8]}
    assert weights.size == 9
    assert weights.file("model.pt").url == "https://host/v1/hippocampus.pretrain_mae.model.pt"
    assert weights.file("model.card.json").sha256 == stated["files"]["model.card.json"]["sha256"]
    with pytest.raises(ValueError, match=r"have no pretext\.pt; allowed: model\.pt, model\.card\.json"):
        weights.file("pretext.pt")
    monkeypatch.setenv(published.URL_VARIABLE, "http://mirror")
    assert find_published(NAME).file("model.pt").url == "http://mirror/hippocampus.pretrain_mae.model.pt"


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, tmp_path, {NAME: entry({"model.pt": b"x"})}, {"hippocampus": NAME})
    assert is_published("hippocampus")
    assert not is_published("hippocampos")
    told = f"no file and no published weights have the name 'hippocampos'; did you mean hippocampus\\? .*{NAME}"
    with pytest.raises(ValueError, match=told):
        find_published("hippocampos")
    publish(monkeypatch, tmp_path, {})
    with pytest.raises(ValueError, match=r"the name 'hippocampus'; published: none yet$"):
        find_published("hippocampus")


@pytest.mark.parametrize("content", ['{"weights": {"a": {}}}', '{"weights": []}', "{}", "[]", "<"])
def test_a_damaged_registry_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "published.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_registry(path)


# --- the project's own registry; without entries the last two tests are skipped -------------------------


def test_the_own_registry_can_be_read_and_its_short_names_lead_somewhere() -> None:
    weights, aliases = read_registry()
    assert set(aliases.values()) <= set(weights)
    assert not set(aliases) & set(weights)
    assert all(re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", name) for name in weights)
    assert len({asset_name(name, "model.pt") for name in weights}) == len(weights)


def test_weights_in_the_repository_are_those_of_the_registry_and_small() -> None:
    there = [path for path in (ROOT / "weights").rglob("*") if path.is_file()]
    stated = {ROOT / "weights" / name / file.name for name, entry in OWN.items() for file in entry.files}
    assert {path for path in there if path.suffix in (".pt", ".json")} <= stated
    assert sum(path.stat().st_size for path in there) <= 40e6
    for name, weights in OWN.items():
        if (ROOT / "weights" / name / "model.pt").is_file():
            assert differing_file(weights, ROOT / "weights" / name) is None


@pytest.mark.parametrize("name", OWN)
def test_an_entry_names_what_exists_and_says_what_a_user_must_know(name: str) -> None:
    weights = OWN[name]
    assert [file for file in weights.files if file.name not in published.FILES] == []
    assert weights.files[0].name == published.FILES[0]
    assert "model.card.json" in {file.name for file in weights.files}
    assert (BUNDLES / weights.bundle / "configs" / "train.yaml").is_file()
    assert all((BUNDLES / weights.bundle / "configs" / layer).is_file() for layer in weights.layers)
    assert weights.result is None or (ROOT / weights.result).is_file()
    assert weights.licence
    assert weights.attribution
    assert f"bundles/{weights.bundle}" in weights.command
    assert not re.search(r"(?<!\S)/", weights.command), "a path of one machine"


@pytest.mark.parametrize("name", OWN)
def test_weights_in_the_repository_fit_the_network_that_their_entry_states(name: str) -> None:
    weights, file = OWN[name], ROOT / "weights" / name / "model.pt"
    if file.is_file():
        with layers_of(weights) as layers:
            check_weights(BUNDLES / weights.bundle, layers, file)
