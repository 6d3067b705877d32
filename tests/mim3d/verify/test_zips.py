"""``mim3d verify`` and ``mim3d package --verify`` take zips as they are, with the weights that belong to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet

from custom_components.published import asset_name
from mim3d.arguments import UsageError
from mim3d.catalog import BUNDLES
from mim3d.cli import main, parser_of
from mim3d.package.pack import package
from mim3d.verify import verify_bundles
from mim3d.verify.checks import GROUPS, select
from mim3d.verify.registry import Result
from mim3d.verify.verify_bundles import verify, verify_all
from tests.loopback import entry, publish, serve

BUNDLE, NAME = "seg_msd_hippocampus", "hippocampus/seg_msd_hippocampus"
KEYS = {"architecture#features": [4, 4, 8, 8, 16, 4]}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of a bundle; the folder beside it is removed."""
    folder, made = package(BUNDLES / BUNDLE, tmp_path_factory.mktemp("packed"))
    shutil.rmtree(folder)
    return made


def test_a_zip_is_unpacked_beside_itself_for_the_worker(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def work(job: dict[str, str], folder: Path) -> list[object]:
        seen.update(job, files={path.name for path in (folder / "packed").iterdir()})
        seen["metadata"] = json.loads((Path(job["root"]) / "configs" / "metadata.json").read_text())
        return []

    monkeypatch.setattr(verify_bundles, "work", work)
    assert list(verify(archive, ["licences"], ["seg_other"], [], None)) == []
    assert Path(seen["root"]).name == BUNDLE
    assert seen["files"] == {BUNDLE, archive.name}
    assert seen["others"] == [BUNDLE, "seg_other"]
    assert seen["metadata"]["version"] in archive.name


def test_a_damaged_zip_fails_in_one_line(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index(b"Apache License")
    data[at] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    (result,) = verify(tmp_path / "a.zip", ["licences"], [], [], None)
    assert (result.name, result.ok) == ("packing", False)
    assert "a.zip is no zip archive that can be read: Bad CRC-32" in result.note


def test_layers_are_not_for_zips(archive: Path) -> None:
    words = [str(archive), "--layer", "segresnet.yaml", "--only", "licences"]
    with pytest.raises(UsageError, match="a zip is packed already"):
        verify_all(parser_of("verify").parse(words))


def test_package_hands_its_zips_to_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(verify_bundles, "check_packages", lambda given, names: seen.extend([given, names]))
    main(["package", BUNDLE, "--out", str(tmp_path), "--verify"])
    assert seen[0] == sorted(tmp_path.glob("*.zip"))
    assert seen[1] == select([group for group in GROUPS if group != "exports"], [])
    assert "inference runs" in select([group for group in GROUPS if group != "exports"], [])


@pytest.mark.parametrize(("in_card", "ok"), [("1" * 64, True), ("2" * 64, False)])
def test_a_card_and_the_listed_hash_must_agree(
    in_card: str, ok: bool, packages: Callable[[str], Path], run: Callable[..., list[Result]], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(packages(BUNDLE), tmp_path / BUNDLE))
    listed = {
        "path": "models/model.pt",
        "url": "https://host/model.pt",
        "hash_val": "1" * 64,
        "hash_type": "sha256",
    }
    (root / "large_files.yml").write_text(json.dumps({"large_files": [listed]}))
    (root / "models").mkdir()
    (root / "models" / "model.card.json").write_text(json.dumps({"sha256": in_card}))
    (result,) = run(root, ["weights or none"])
    assert result.ok is ok
    assert ok or result.note.startswith(f"found sha256 {in_card} in models/model.card.json; wanted {'1' * 64}")


@pytest.mark.slow
def test_a_zip_alone_segments_with_the_weights_that_it_lists(
    command: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    torch.save(BasicUNet(3, 1, 3, KEYS["architecture#features"]).state_dict(), tmp_path / "model.pt")
    files = {"model.pt": (tmp_path / "model.pt").read_bytes()}
    words = ["--only", "weights or none", "--only", "monai.bundle.load", "--only", "inference runs"]
    with serve() as server:
        server.contents[asset_name(NAME, "model.pt")] = files["model.pt"]
        publish(monkeypatch, tmp_path / "p", {NAME: entry(files, BUNDLE, keys=KEYS)}, base_url=server.url)
        main(["package", BUNDLE, "--weights", NAME, "--link_weights", "--out", str(tmp_path / "out")])
        (made,) = (tmp_path / "out").glob("*.zip")
        shutil.rmtree(tmp_path / "out" / BUNDLE)
        good = command("verify", str(made), *words)
        server.contents[asset_name(NAME, "model.pt")] = files["model.pt"][::-1]
        bad = command("verify", str(made), *words)
    assert good.returncode == 0, good.stdout
    assert "1 in large_files.yml" in good.stdout
    assert "case0_seg.nii.gz" in good.stdout
    assert bad.returncode == 1
    assert "2 failed" in bad.stdout
    assert "HashCheckError" in bad.stdout
