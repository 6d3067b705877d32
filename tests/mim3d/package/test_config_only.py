"""What a config-only package of a segmentation bundle holds, and what has no such form."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from mim3d.catalog import TASKS
from mim3d.cli import main
from mim3d.package.contents import collect
from mim3d.verify.checks import select
from mim3d.verify.registry import Result
from tests.mim3d.package.config_only import (
    BUNDLE,
    BUNDLES,
)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_package_holds_no_code_and_passes_the_checks_of_packages(
    bundle: Path, packed: Callable[[Path], Path], run: Callable[..., list[Result]]
) -> None:
    root = packed(bundle)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix in (".py", ".pyc", ".so")] == []
    texts = [path.read_text(encoding="utf-8") for path in files if path.parent.name == "configs"]
    assert len(texts) == 12
    assert [text[:80] for text in texts if "custom_components" in text or "mim3d" in text] == []
    results = run(root, select(["files", "metadata", "configs"], []), [root.name])
    assert "no Python code" in {result.name for result in results}
    assert [(result.name, result.note) for result in results if not result.ok] == []
    needed = json.loads((root / "configs" / "metadata.json").read_text())["required_packages_version"]
    assert sorted(needed) == ["fire", "nibabel", "pytorch-ignite", "pyyaml", "tensorboard", "tqdm"]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("configs/extra.py", "x = 1\n", "configs/extra.py"),
        ("configs/mine.yaml", "loss: {_target_: custom_components.losses.CombinedLoss}\n", "mine: loss#_target_"),
        ("configs/mine.yaml", "imports: [$import skimage]\n", "mine: imports#0"),
        ("configs/mine.yaml", "loss: {_target_: scipy.ndimage.zoom}\n", "mine: loss#_target_"),
        ("configs/mine.yaml", "loss: {_target_: NoSuchLoss}\n", "mine: loss#_target_"),
    ],
)
def test_code_and_classes_of_others_are_found(
    file: str,
    text: str,
    told: str,
    packed: Callable[[Path], Path],
    run: Callable[..., list[Result]],
    tmp_path: Path,
) -> None:
    root = Path(shutil.copytree(packed(BUNDLE), tmp_path / packed(BUNDLE).name))
    (root / file).write_text(text)
    (result,) = run(root, ["no Python code"])
    assert not result.ok
    assert told in result.note


def test_checks_of_each_kind_of_package_leave_the_other_alone(
    packed: Callable[[Path], Path], packages: Callable[[str], Path], run: Callable[..., list[Result]]
) -> None:
    names = ["own copy of custom_components", "trains and segments alone"]
    assert run(packed(BUNDLE), names[:1])[0].note == "not for a config-only package"
    assert run(packages(BUNDLE.name), names[1:])[0].note == "for config-only packages"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretrain_mae"], "pretrain_mae needs Python code of its own; allowed: seg_btcv, "),
        (["seg_btcv", "pretrain_mae"], "pretrain_mae needs Python code of its own"),
        (["seg_btcv", "--layer", "unetr_patch8.yaml"], "names custom_components.backbones.UNETRPatch8 in arch"),
        (["seg_btcv", "--layer", "replace.yaml"], "a layer sets non_finite to 'replace', which MONAI's classes"),
        (["seg_btcv", "--layer", "tta.yaml"], "tta.yaml is not merged"),
        (["elsewhere/seg_btcv"], "elsewhere/seg_btcv has no sources; give the name of the bundle, seg_btcv"),
    ],
)
def test_what_has_no_config_only_form_is_refused_in_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("replace.yaml").write_text("non_finite: replace\n", encoding="utf-8")
    shutil.copytree(TASKS["btcv"].bundle / "configs", "elsewhere/seg_btcv/configs")
    with pytest.raises(SystemExit):
        main(["package", *words, "--config_only", "--out", "out"])
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_layers_are_merged_and_the_metadata_names_what_they_need(tmp_path: Path) -> None:
    """The list that a layer names is on another machine; the package's own default stays."""
    layer = tmp_path / "mine.yaml"
    layer.write_text("datalist: /data/list.json\nlabel_names: [background, a, b]\nlargest_component: [1]\n")
    files = collect(BUNDLE, ["unetr.yaml", str(layer)], config_only=True)
    train, metadata = (json.loads(files[f"configs/{name}.json"]) for name in ("train", "metadata"))
    assert yaml.safe_load(files["configs/train.yaml"]) == train
    assert train["architecture"]["_target_"] == "UNETR"
    assert train["datalist"] == "$@dataset_dir + '/datalist.json'"
    assert {"einops", "scikit-image"} <= set(metadata["required_packages_version"])
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    assert "no datalist" not in files["docs/README.md"].decode()


def test_weights_are_packed_and_the_documents_say_so(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pt")
    files = collect(BUNDLE, weights=tmp_path / "model.pt", config_only=True)
    assert files["models/model.pt"] == (tmp_path / "model.pt").read_bytes()
    assert "No data and no weights are included" not in files["docs/README.md"].decode()
    assert "added by whoever packed this bundle" in files["docs/data_license.txt"].decode()
