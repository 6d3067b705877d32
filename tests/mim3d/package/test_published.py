"""Published weights in a package: inside it, or listed for monai.bundle to download."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle.scripts import download, download_large_files, load
from monai.networks.nets import BasicUNet

from custom_components.published import Published, asset_name, find_published
from custom_components.transfer import write_card
from mim3d.catalog import BUNDLES, ROOT
from mim3d.cli import main
from mim3d.package.note import with_note
from mim3d.package.published import WITHOUT_WEIGHTS, layers_of, with_licence
from tests.loopback import Server, entry, publish, serve

BUNDLE, NAME = "seg_msd_hippocampus", "hippocampus/seg_msd_hippocampus"
OWN_REGISTRY = ROOT / "custom_components" / "published.json"
FEATURES = (4, 4, 8, 8, 16, 4)
KEYS = {"architecture#features": list(FEATURES)}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture
def network() -> BasicUNet:
    torch.manual_seed(3)
    return BasicUNet(3, 1, 3, KEYS["architecture#features"])


@pytest.fixture
def published(
    server: Server, network: BasicUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """``published(**options of publish)``: name the network's weights in a registry and serve them."""
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    write_card(path, {"view": {"channels": ["MR"]}})
    files = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "model.card.json")}
    server.contents = {asset_name(NAME, name): data for name, data in files.items()}

    def register(**options: Any) -> None:
        publish(
            monkeypatch, tmp_path / "p", {NAME: entry(files, BUNDLE, keys=KEYS)}, {"hippocampus": NAME}, **options
        )

    return register


@pytest.fixture
def command(pack_command: Callable[..., tuple[int, str]], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """``command(*words)``: the same into tmp_path/out."""
    return lambda *words: pack_command(*words, "--out", tmp_path / "out")


def equal(loaded: Any, network: torch.nn.Module) -> bool:
    """Whether a network that MONAI loaded has the weights of another one."""
    state, wanted = loaded.state_dict(), network.state_dict()
    return state.keys() == wanted.keys() and all(torch.equal(state[key], wanted[key]) for key in wanted)


def test_sentences_about_weights_are_in_the_documents_that_packing_changes() -> None:
    """Otherwise a package with weights would still say that it has none."""
    for bundle in sorted(path.parent for path in BUNDLES.glob("*/configs")):
        for name, sentence in WITHOUT_WEIGHTS.items():
            assert (bundle / name).read_text(encoding="utf-8").count(sentence) == 1


def test_weights_by_name_bring_their_network_card_and_licence(
    command: Callable[..., tuple[int, str]],
    published: Callable[..., None],
    server: Server,
    network: BasicUNet,
    tmp_path: Path,
) -> None:
    published(base_url=server.url)
    assert command(BUNDLE, "--weights", "hippocampus") == (0, "")
    root = tmp_path / "out" / BUNDLE
    assert {path.name for path in (root / "models").iterdir()} == {"model.pt", "model.card.json"}
    assert json.loads((root / "configs" / "inference.json").read_text(encoding="utf-8"))["architecture"][
        "features"
    ] == [*KEYS["architecture#features"]]
    licence, readme = ((root / name).read_text(encoding="utf-8") for name in WITHOUT_WEIGHTS)
    assert "No data are included. The weights are under CC BY-SA 4.0: the phantoms" in licence
    assert "no weights" not in licence + readme
    assert "`docs/data_license.txt` has the licence of the weights." in readme
    assert f"Merged into `train` and `inference` in `configs`: `architecture#features` {list(FEATURES)}." in readme
    assert f"The weights are `{NAME}`;" in readme
    assert "--ckpt_dir OUT/finetuned" in readme
    assert not (root / "large_files.yml").exists()
    assert (root / "custom_components" / "published.json").read_bytes() == OWN_REGISTRY.read_bytes()
    assert equal(load(BUNDLE, bundle_dir=root.parent, device="cpu", source="github"), network)


def test_weights_of_a_zip_without_them_arrive_by_monais_own_client(
    command: Callable[..., tuple[int, str]],
    published: Callable[..., None],
    server: Server,
    network: BasicUNet,
    tmp_path: Path,
) -> None:
    published(base_url=server.url)
    assert command(BUNDLE, "--weights", "hippocampus", "--link_weights") == (0, "")
    (archive,) = (tmp_path / "out").glob("*.zip")
    server.contents[archive.name] = archive.read_bytes()
    bundles = tmp_path / "bundles"
    download(name=BUNDLE, url=f"{server.url}/{archive.name}", bundle_dir=str(bundles), progress=False)
    models = bundles / BUNDLE / "models"
    assert [path.name for path in models.iterdir()] == ["model.card.json"]
    download_large_files(str(bundles / BUNDLE))
    assert (models / "model.pt").read_bytes() == server.contents[asset_name(NAME, "model.pt")]
    for kind in ("train", "inference"):
        loaded = load(BUNDLE, bundle_dir=bundles, workflow_type=kind, device="cpu", source="github")
        assert equal(loaded, network)


def test_mim3d_download_brings_the_same(
    command: Callable[..., tuple[int, str]],
    published: Callable[..., None],
    server: Server,
    tmp_path: Path,
) -> None:
    published(base_url=server.url)
    assert command(BUNDLE, "--weights", NAME, "--link_weights") == (0, "")
    (archive,) = (tmp_path / "out").glob("*.zip")
    server.contents[archive.name] = archive.read_bytes()
    main(["download", f"{server.url}/{archive.name}", "--out", str(tmp_path / "got")])
    packed, got = tmp_path / "out" / BUNDLE, tmp_path / "got" / BUNDLE
    names = {path.relative_to(got).as_posix() for path in got.rglob("*") if path.is_file()}
    before = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert names - before == {"models/model.pt"}
    assert before - names == set()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["seg_btcv", "--weights", NAME], 2, f"--weights {NAME} is of {BUNDLE}; seg_btcv is to be packed"),
        ([BUNDLE, "--link_weights"], 2, "--link_weights needs --weights with a name of published weights"),
        ([BUNDLE, "--weights", "hippocampos"], 1, "did you mean hippocampus?"),
        ([BUNDLE, "--weights", NAME], 1, "are not published for download yet"),
        ([BUNDLE, "--weights", NAME, "--layer", "segresnet.yaml"], 1, "are not published for download yet"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    status: int,
    told: str,
    command: Callable[..., tuple[int, str]],
    published: Callable[..., None],
    tmp_path: Path,
) -> None:
    published()
    found, error = command(*words)
    assert found == status
    assert told in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_list_has_the_zoos_format_and_needs_an_address(
    command: Callable[..., tuple[int, str]], published: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    published()
    local = tmp_path / "p" / "weights" / NAME
    local.mkdir(parents=True)
    for name in ("model.pt", "model.card.json"):
        (local / name).write_bytes(server.contents[asset_name(NAME, name)])
    status, error = command(BUNDLE, "--weights", NAME, "--link_weights")
    assert (status, error) == (1, f"error: --link_weights needs the URL of {NAME}, which is not published yet\n")
    assert not (tmp_path / "out").exists()
    assert command(BUNDLE, "--weights", NAME) == (0, "")
    published(base_url="https://host/v1")
    assert command(BUNDLE, "--weights", NAME, "--link_weights", "--overwrite") == (0, "")
    listed = yaml.safe_load((tmp_path / "out" / BUNDLE / "large_files.yml").read_text(encoding="utf-8"))
    digest = json.loads((local / "model.card.json").read_text(encoding="utf-8"))["sha256"]
    url = f"https://host/v1/{asset_name(NAME, 'model.pt')}"
    entry = {"path": "models/model.pt", "url": url, "hash_val": digest, "hash_type": "sha256"}
    assert listed == {"large_files": [entry]}


def test_keys_of_published_weights_become_a_layer_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, tmp_path, {NAME: entry({"model.pt": b"x"}, BUNDLE, layers=["a.yaml"], keys=KEYS)})
    with layers_of(find_published(NAME)) as layers:
        assert layers[0] == "a.yaml"
        assert yaml.safe_load(Path(layers[1]).read_text(encoding="utf-8")) == KEYS
    assert not Path(layers[1]).exists()
    publish(monkeypatch, tmp_path, {NAME: entry({"model.pt": b"x"}, BUNDLE)})
    with layers_of(find_published(NAME)) as layers:
        assert layers == []


def test_the_note_says_what_differs_from_the_defaults() -> None:
    files = {"docs/README.md": b"# Model overview\nText.\n\n## Data\nMore.\n"}
    assert with_note(files, [], None) == files
    noted = with_note(files, ["/somewhere/segresnet.yaml"], None)["docs/README.md"].decode()
    merged = "Merged into `train` and `inference` in `configs`: `segresnet.yaml`."
    assert f"Text.\n\n## This package\n{merged}" in noted
    assert noted.endswith("\n\n## Data\nMore.\n")
    assert "The weights are" not in noted
    stated = entry({"model.pt": b"x"}, BUNDLE, layers=("a.yaml",), keys=KEYS, result="results.csv")
    weights = Published(NAME, **{**stated, "files": ()})
    files["models/model.card.json"] = json.dumps({"metric": {"val_mean_dice": 0.84697}}).encode()
    layers = ["a.yaml", f"/tmp/{asset_name(NAME, 'yaml')}"]
    lines = with_note(files, layers, weights)["docs/README.md"].decode().splitlines()[3:8]
    assert lines[0].startswith("## This package")
    assert f"`configs`: `a.yaml`, `architecture#features` {list(FEATURES)}. " in lines[1]
    assert lines[3] == "On the validation cases of their training: `val_mean_dice` 0.8470."
    assert "`results.csv` of the repository" in lines[4]


def test_documents_of_a_package_without_weights_stay() -> None:
    files = {"docs/README.md": b"No data and no weights are included."}
    assert with_licence(files, None) == files
    own = with_licence({**files, "models/model.pt": b""}, None)
    assert b"no weights" not in own["docs/README.md"]
