"""The layers of a plan with the configs that they are for: checks, stores, training and segmentation."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from custom_components.checks.overrides import unknown_keys
from mim3d.catalog import BUNDLES, METHODS
from mim3d.cli import main
from mim3d.plan.bundle_keys import SEG
from mim3d.plan.make_plan import FILES, make_plan
from tests.mim3d.plan.planned import COUNTS, layer, options

#: Kinds of phantoms that differ in modality, channels or classes.
KINDS = {
    "spleen_ct": ["CT"],
    "brain_mri": ["FLAIR", "T1", "T1ce", "T2"],
    "hippocampus_mri": ["T1"],
}


def workflow(bundle: Path, first: str, path: Path, data: Path, out: Path, **keys: Any) -> ConfigWorkflow:
    folders = {"dataset_dir": str(data), "ckpt_dir": str(out), "output_dir": str(out), "bundle_root": str(bundle)}
    files = [str(bundle / "configs" / first), str(path)]
    kind = "train" if first == "train.yaml" else "infer"
    keys = {"device": torch.device("cpu"), "amp": False, **folders, **keys}
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **keys)
    made.initialize()
    return made


@pytest.mark.parametrize(
    "kind",
    ["hippocampus_mri", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("spleen_ct", "brain_mri"))],
)
def test_the_configs_with_the_layers_pass_their_own_checks(
    kind: str, data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, out = data(kind), tmp_path / "plan"
    plan = make_plan(folder, out, options(), progress=False)
    assert {path.name for path in plan.files} == set(FILES) - {"datalist.json"}  # the folder has one
    assert layer(plan, "pretrain")["channels"] == KINDS[kind]
    for bundle, name in ((METHODS["hybridmim"].bundle, "pretrain"), (SEG, "segment")):
        train, path = bundle / "configs" / "train.yaml", out / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        unknown = [key for key, _ in unknown_keys([str(train)], yaml.safe_load(text))]
        assert [key for key in unknown if f"@{key}" not in text] == []
        workflow(bundle, "train.yaml", path, folder, tmp_path / name).parser.get_parsed_content("preflight")()
    workflow(SEG, "inference.yaml", out / "segment.yaml", tmp_path / "no_images", tmp_path / "masks")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "network", "small"),
    [(m.name, n, True) for m in METHODS.values() for n in m.layers] + [(m, None, False) for m in METHODS],
)
def test_every_method_and_network_passes_its_checks(
    method: str, network: str | None, small: bool, data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = data("brain_mri")
    make_plan(folder, tmp_path, options(method, network, small), progress=False)
    for bundle, name in ((METHODS[method].bundle, "pretrain"), (SEG, "segment")):
        path = tmp_path / f"{name}.yaml"
        workflow(bundle, "train.yaml", path, folder, tmp_path / name).parser.get_parsed_content("preflight")()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "border"), [("spleen_ct", 0), ("brain_mri", 0), ("hippocampus_mri", 1)])
def test_both_trainings_share_the_entries_of_a_store(
    kind: str, border: int, data: Callable[[str], Path], tmp_path: Path
) -> None:
    """A window, a z-score of the voxels that are not 0, and one of all voxels (no voxel is exactly 0)."""
    folder = Path(shutil.copytree(data(kind), tmp_path / "data"))
    for path in sorted(folder.glob("images*/*.nii.gz")) if border else ():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + np.float32(border), image.affine), path)
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False)
    assert ("select_foreground: $torch.isfinite" in plan.files[1].read_text(encoding="utf-8")) == bool(border)
    found = {}
    for bundle, name in ((METHODS["hybridmim"].bundle, "pretrain"), (SEG, "segment")):
        keys = {"cache": "store", "num_workers": 0}
        made = workflow(bundle, "train.yaml", tmp_path / "plan" / f"{name}.yaml", folder, tmp_path / name, **keys)
        made.parser.get_parsed_content("checks#store")()
        for part in ("train", "validate"):
            made.parser.get_parsed_content(f"{part}#dataset")
        found[name] = {path.name for path in (folder / "mim3d_store" / "images").iterdir()}
    assert len(found["pretrain"]) == COUNTS["unlabelled"] + COUNTS["validation"]
    assert len(found["segment"]) == len(found["pretrain"]) + COUNTS["training"]  # validation is there already


@pytest.mark.slow
def test_the_printed_commands_train_and_segment(data: Callable[[str], Path], tmp_path: Path) -> None:
    """Pretraining, fine-tuning and inference with the layers as they were written, for one step each."""
    folder = data("spleen_ct")
    plan = make_plan(folder, tmp_path / "plan", options(), progress=False)
    short = {"epochs": 1, "train#trainer#epoch_length": 1, "amp": False}
    tiny = {"architecture#features": [4, 4, 8, 8, 16, 4]}
    weights = None
    for _, command in plan.commands[:2]:
        words = shlex.split(command.replace("\\\n", " "))
        given = {key: words[words.index(f"--{key}") + 1] for key in ("bundle_root", "ckpt_dir", "output_dir")}
        bundle = BUNDLES / Path(given["bundle_root"]).name
        path = Path(words[words.index("--config_file") + 1].strip("[]").split(",")[1].strip("'"))
        keys = {**short, **tiny, **({"probe_interval": None} if weights is None else {"pretrained": str(weights)})}
        workflow(bundle, "train.yaml", path, folder, Path(given["ckpt_dir"]), **keys).run()
        weights = Path(given["ckpt_dir"]) / "model.pt"
        assert weights.is_file()
    image = next(iter(sorted((folder / "imagesTr").iterdir())))
    words = [image if word == "IMAGE.nii.gz" else word for word in shlex.split(plan.commands[3][1])[1:]]
    main([*map(str, words), "--architecture#features", "[4,4,8,8,16,4]"])
    (mask,) = (tmp_path / "plan" / "masks").glob("*_seg.nii.gz")
    assert set(np.unique(np.asanyarray(nib.load(mask).dataobj))) <= {0, 1}
