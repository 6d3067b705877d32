"""seg_btcv trained, evaluated and used on five small cases, also as MONAI Label does."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from custom_components.transfer import read_card
from tests.bundles.btcv import CONFIGS, LABELS, TINY, run, smoke, workflow


@pytest.fixture(scope="module")
def trained(btcv_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    out = tmp_path_factory.mktemp("trained")
    run(["train.yaml", "smoke.yaml"], **smoke(btcv_data, out, epochs=2, val_interval=1))
    return out


def load(*files: Path) -> dict[str, Any]:
    return dict(ConfigParser.load_config_files([str(file) for file in files]))


# --- what the files say -----------------------------------------------------------------------------------


def test_the_committed_split_is_the_seeded_one() -> None:
    split = json.loads((CONFIGS / "btcv_split.json").read_text())
    cases = [f"img{number:04d}" for number in (*range(1, 11), *range(21, 41))]
    order = np.random.RandomState(split["seed"]).permutation(len(cases))
    assert split["validation"] == sorted(cases[k] for k in order[:6])
    assert split["training"] == sorted(set(cases) - set(split["validation"]))


@pytest.mark.parametrize("own_list", [False, True])
def test_the_committed_split_is_used_for_btcv_without_a_list(tmp_path: Path, own_list: bool) -> None:
    for number in (*range(1, 11), *range(21, 41)):
        for folder, stem in (("img", "img"), ("label", "label")):
            path = tmp_path / folder / f"{stem}{number:04d}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    if own_list:
        item = {"image": "img/img0001.nii.gz", "label": "label/label0001.nii.gz"}
        (tmp_path / "datalist.json").write_text(json.dumps({"training": [item]}))
    made = workflow(["train.yaml"], dataset_dir=str(tmp_path))
    made.initialize()
    items = made.parser.get_parsed_content("items")
    assert len(items) == (1 if own_list else 24)
    if not own_list:
        assert len(made.parser.get_parsed_content("validation_items")) == 6
        assert items[0]["label"].endswith("label0001.nii.gz")


# --- a small run ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_writes_weights_card_and_resume_point(trained: Path) -> None:
    state = torch.load(trained / "models" / "model.pt", weights_only=True)
    network = BasicUNet(3, 1, len(LABELS), features=(16, 16, 32, 64, 128, 16))
    network.load_state_dict(state, strict=True)
    card = read_card(trained / "models" / "model.pt")
    assert card is not None
    assert card["method"] == "scratch"
    assert card["network"]["class"] == "BasicUNet"
    assert card["network"]["arguments"]["out_channels"] == len(LABELS)
    assert card["view"]["spacing"] == TINY["spacing"]
    assert card["label_names"] == LABELS
    assert (trained / "models" / "resume.pt").is_file()


def test_evaluation_scores_the_label_files_as_they_are(btcv_data: Path, trained: Path, tmp_path: Path) -> None:
    run(
        ["train.yaml", "smoke.yaml", "evaluate.yaml"],
        **smoke(btcv_data, trained, output_dir=str(tmp_path), evaluate_section="test"),
    )
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["class"]) for row in rows] == [("case4", "low"), ("case4", "high")]
    label = np.asanyarray(nib.load(btcv_data / "labelsTr" / "case4.nii.gz").dataobj)
    assert [int(row["label_voxels"]) for row in rows] == [int((label == value).sum()) for value in (1, 2)]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["all"]["dice_mean"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]))
    assert summary["section"] == "test"
    assert summary["weights"]["card"]["method"] == "scratch"
    assert len(summary["datalist_hash"]) == 64


@pytest.mark.slow
def test_segmentations_lie_on_the_inputs_grid(btcv_data: Path, trained: Path, tmp_path: Path) -> None:
    weights = str(trained / "models" / "model.pt")
    common = {**TINY, "label_names": LABELS, "weights": weights}
    run(
        ["inference.yaml", "smoke.yaml"],
        "infer",
        dataset_dir=str(btcv_data / "imagesTr"),
        output_dir=str(tmp_path),
        **common,
    )
    for image in sorted((btcv_data / "imagesTr").iterdir()):
        source, written = nib.load(image), nib.load(tmp_path / image.name.replace(".nii.gz", "_seg.nii.gz"))
        assert written.shape == source.shape
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-4)
        assert written.get_data_dtype() == np.uint8
        assert np.asanyarray(written.dataobj).max() < len(LABELS)
    one = tmp_path / "one"
    run(["inference.yaml", "smoke.yaml"], "infer", dataset_dir=str(image), output_dir=str(one), **common)
    assert [path.name for path in one.iterdir()] == [image.name.replace(".nii.gz", "_seg.nii.gz")]


@pytest.mark.parametrize("channels", [1, 4])
def test_every_axis_order_gives_the_same_segmentation_on_its_own_grid(tmp_path: Path, channels: int) -> None:
    rng, affine = np.random.default_rng(0), np.diag([4.0, 5.0, 6.0, 1.0])
    shape = (20, 18, 16) if channels == 1 else (20, 18, 16, channels)
    image = nib.Nifti1Image(rng.integers(-150, 200, shape, dtype=np.int16), affine)
    (tmp_path / "in").mkdir()
    for code in ("RAS", "PIR", "ASL", "IRA", "LPI"):
        order = nib.orientations.axcodes2ornt(code)
        turned = nib.orientations.ornt_transform(nib.io_orientation(affine), order)
        nib.save(image.as_reoriented(turned), tmp_path / "in" / f"{code}.nii.gz")
    override = {**TINY, "label_names": LABELS, "channels": [f"c{k}" for k in range(channels)]}
    made = workflow(["inference.yaml", "smoke.yaml"], "infer", **override)
    made.initialize()
    weights = tmp_path / "model.pt"
    torch.save(made.parser.get_parsed_content("network_def").state_dict(), weights)
    places = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out"), "weights": str(weights)}
    run(["inference.yaml", "smoke.yaml"], "infer", **override, **places)
    found = []
    for source in sorted((tmp_path / "in").iterdir()):
        written = nib.load(tmp_path / "out" / source.name.replace(".nii.gz", "_seg.nii.gz"))
        assert written.shape == nib.load(source).shape[:3]
        np.testing.assert_allclose(written.affine, nib.load(source).affine, atol=1e-4)
        found.append(np.asanyarray(nib.as_closest_canonical(written).dataobj))
    assert len(np.unique(found[0])) > 1
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_inversion_puts_labels_back_where_they_were(btcv_data: Path) -> None:
    """The pre- and postprocessing of inference, with the label as if the network had found it."""
    made = workflow(["inference.yaml", "smoke.yaml"], "infer", spacing=[3.0, 3.0, 3.0], roi_size=[32, 32, 32])
    made.initialize()
    made.parser["foreground"] = {"_target_": "Identityd", "keys": "image"}
    for case in sorted((btcv_data / "labelsTr").iterdir()):
        made.parser["intensity"] = {"_target_": "Identityd", "keys": "image"}
        made.initialize()
        item = made.preprocessing({"image": str(case)})
        item["pred"] = torch.nn.functional.one_hot(item["image"][0].round().long(), 3).movedim(-1, 0).float()
        invert = [t for t in made.postprocessing.transforms if type(t).__name__ != "SaveImaged"]
        for transform in invert:
            item = transform(item)
        truth = np.asanyarray(nib.load(case).dataobj)
        found = item["pred"][0].numpy()
        assert found.shape == truth.shape
        for value in (1, 2):
            a, b = found == value, truth == value
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9, case.name


def test_inference_works_with_what_monai_label_sends(btcv_data: Path, trained: Path) -> None:
    made = workflow(["inference.yaml", "smoke.yaml"], "infer", **TINY, device="cpu")
    made.initialize()
    image = str(btcv_data / "imagesTr" / "case1.nii.gz")
    item = made.preprocessing({"image": image, "image_path": image})
    assert item["image_path"] == image
    names = [type(transform).__name__ for transform in made.preprocessing.transforms]
    assert names[0] == "LoadImaged"
    assert type(made.postprocessing.transforms[-1]).__name__ == "SaveImaged"


@pytest.mark.slow
def test_training_works_with_what_monai_label_overrides(btcv_data: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    torch.save(
        BasicUNet(3, 1, 3, features=(16, 16, 32, 64, 128, 16)).state_dict(), tmp_path / "models" / "model.pt"
    )
    items = [
        {key: str(btcv_data / value) for key, value in item.items()}
        for item in json.loads((btcv_data / "datalist.json").read_text())["training"]
    ]
    handlers = load(CONFIGS / "train.yaml")["train"]["handlers"]
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(tmp_path / "models" / "model.pt"),
        "load_dict": {"model": "$@network"},
        "strict": False,
    }
    override = {
        "train#dataset#data": items[:2],
        "validate#dataset#data": items[2:],
        "train#trainer#max_epochs": 1,
        "train#handlers": [loader, *handlers],
        "device": "cpu",
        "val_interval": 1,
        **TINY,
        "label_names": LABELS,
        "ckpt_dir": str(tmp_path / "models"),
        "output_dir": str(tmp_path / "eval"),
    }
    made = run(["train.yaml", "smoke.yaml"], **override)
    assert made.trainer.state.epoch == 1
    assert read_card(tmp_path / "models" / "model.pt") is not None
