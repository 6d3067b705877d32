from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.networks.nets import BasicUNet

from custom_components.transfer import read_card, write_card

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "seg_btcv"
CONFIGS = BUNDLE / "configs"
# Smaller still than smoke.yaml, and quick on one core.
TINY: dict[str, Any] = {"spacing": [8.0, 8.0, 8.0], "roi_size": [32, 32, 32]}
LABELS = ["background", "low", "high"]


def write_case(
    folder: Path, name: str, affine: np.ndarray, shape: tuple[int, int, int], seed: int
) -> dict[str, str]:
    """Two boxes of their own intensity in noise, on a grid of their own."""
    rng = np.random.RandomState(seed)
    label = np.zeros(shape, np.uint8)
    for value in (1, 2):
        start = rng.randint(2, np.array(shape) // 2)
        label[tuple(slice(s, s + n // 3) for s, n in zip(start, shape, strict=True))] = value
    image = (label * 120.0 - 100 + rng.randn(*shape) * 10).astype(np.int16)
    item = {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"}
    for key, voxels in (("image", image), ("label", label)):
        (folder / item[key]).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, affine), folder / item[key])
    return item


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cases: LPS, an axis order of its own, an oblique grid; anisotropic, of differing sizes."""
    folder = tmp_path_factory.mktemp("data")
    swapped = np.array([[0, 7.0, 0, 11], [-6.0, 0, 0, 5], [0, 0, 9.0, -40], [0, 0, 0, 1]])
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    oblique = np.eye(4)
    oblique[:3, :3] = turn @ np.diag([6.0, 6.0, 10.0])
    lps = np.diag([-7.0, -7.0, 5.0, 1.0])
    grids = [
        (lps, (30, 36, 44)),
        (swapped, (40, 30, 26)),
        (lps, (38, 34, 40)),
        (oblique, (34, 38, 20)),
        (swapped, (36, 32, 20)),
    ]
    items = [write_case(folder, f"case{k}", *grid, seed=k) for k, grid in enumerate(grids)]
    sections = {"training": items[:3], "validation": items[3:4], "test": items[4:]}
    (folder / "datalist.json").write_text(json.dumps(sections))
    return folder


def workflow(files: list[str], kind: str = "train", **override: Any) -> ConfigWorkflow:
    configs = [str(CONFIGS / file) for file in files]
    override = {"bundle_root": str(BUNDLE), "device": torch.device("cpu"), "amp": False, **override}
    return ConfigWorkflow(configs, workflow_type=kind, logging_file=False, **override)


def run(files: list[str], kind: str = "train", **override: Any) -> ConfigWorkflow:
    made = workflow(files, kind, **override)
    made.initialize()
    made.run()
    made.finalize()
    return made


def smoke(data: Path, out: Path, **override: Any) -> dict[str, Any]:
    return {
        **TINY,
        "label_names": LABELS,
        "dataset_dir": str(data),
        "ckpt_dir": str(out / "models"),
        "output_dir": str(out / "eval"),
        **override,
    }


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    out = tmp_path_factory.mktemp("trained")
    run(["train.yaml", "smoke.yaml"], **smoke(data, out, epochs=2, val_interval=1))
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


def test_evaluation_scores_the_label_files_as_they_are(data: Path, trained: Path, tmp_path: Path) -> None:
    run(
        ["train.yaml", "smoke.yaml", "evaluate.yaml"],
        **smoke(data, trained, output_dir=str(tmp_path), evaluate_section="test"),
    )
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["class"]) for row in rows] == [("case4", "low"), ("case4", "high")]
    label = np.asanyarray(nib.load(data / "labelsTr" / "case4.nii.gz").dataobj)
    assert [int(row["label_voxels"]) for row in rows] == [int((label == value).sum()) for value in (1, 2)]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["all"]["dice_mean"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]))
    assert summary["section"] == "test"
    assert summary["weights"]["card"]["method"] == "scratch"
    assert len(summary["datalist_hash"]) == 64


def test_segmentations_lie_on_the_inputs_grid(data: Path, trained: Path, tmp_path: Path) -> None:
    weights = str(trained / "models" / "model.pt")
    common = {**TINY, "label_names": LABELS, "weights": weights}
    run(
        ["inference.yaml", "smoke.yaml"],
        "infer",
        dataset_dir=str(data / "imagesTr"),
        output_dir=str(tmp_path),
        **common,
    )
    for image in sorted((data / "imagesTr").iterdir()):
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


def test_inversion_puts_labels_back_where_they_were(data: Path) -> None:
    """The pre- and postprocessing of inference, with the label as if the network had found it."""
    made = workflow(["inference.yaml", "smoke.yaml"], "infer", spacing=[3.0, 3.0, 3.0], roi_size=[32, 32, 32])
    made.initialize()
    made.parser["foreground"] = {"_target_": "Identityd", "keys": "image"}
    for case in sorted((data / "labelsTr").iterdir()):
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


def test_inference_works_with_what_monai_label_sends(data: Path, trained: Path) -> None:
    made = workflow(["inference.yaml", "smoke.yaml"], "infer", **TINY, device="cpu")
    made.initialize()
    image = str(data / "imagesTr" / "case1.nii.gz")
    item = made.preprocessing({"image": image, "image_path": image})
    assert item["image_path"] == image
    names = [type(transform).__name__ for transform in made.preprocessing.transforms]
    assert names[0] == "LoadImaged"
    assert type(made.postprocessing.transforms[-1]).__name__ == "SaveImaged"


def test_training_works_with_what_monai_label_overrides(data: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    torch.save(
        BasicUNet(3, 1, 3, features=(16, 16, 32, 64, 128, 16)).state_dict(), tmp_path / "models" / "model.pt"
    )
    items = [
        {key: str(data / value) for key, value in item.items()}
        for item in json.loads((data / "datalist.json").read_text())["training"]
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


def pretrained_file(folder: Path, view: dict[str, Any] | None = None) -> Path:
    torch.manual_seed(7)
    path = folder / "pretrained.pt"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(BasicUNet(3, 1, 1, features=(16, 16, 32, 64, 128, 16)).state_dict(), path)
    write_card(path, {"method": "HybridMIM", "view": view or {}})
    return path


def test_fine_tuning_starts_from_every_tensor_but_the_last_layer(data: Path, tmp_path: Path) -> None:
    path = pretrained_file(tmp_path)
    made = workflow(["train.yaml", "smoke.yaml"], **smoke(data, tmp_path, pretrained=str(path)))
    made.initialize()
    optimizer = made.parser.get_parsed_content("optimizer")
    network = made.parser.get_parsed_content("network_def")
    given, found = torch.load(path, weights_only=True), network.state_dict()
    fresh = {
        key for key in found if given[key].shape != found[key].shape or not torch.equal(given[key], found[key])
    }
    assert fresh == {"final_conv.weight", "final_conv.bias"}
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == set(
        map(id, network.parameters())
    )
    report = json.loads((tmp_path / "models" / "transfer.json").read_text())
    assert report["encoder_share"] == 1.0


@pytest.mark.slow
def test_two_and_two_epochs_equal_four(data: Path, tmp_path: Path) -> None:
    states = []
    for name, parts in (("whole", [(4, False)]), ("parts", [(2, False), (4, True)])):
        for epochs, resume in parts:
            # The same schedule in both: a shorter run would otherwise decay sooner.
            override = smoke(data, tmp_path / name, epochs=epochs, val_interval=1, total_steps=100, resume=resume)
            made = run(["train.yaml", "smoke.yaml"], **override)
        states.append((made.parser.get_parsed_content("network_def").state_dict(), made.trainer.state.iteration))
    (whole, steps), (parts_state, parts_steps) = states
    assert steps == parts_steps
    for key, value in whole.items():
        assert torch.equal(value, parts_state[key]), key


def command(*words: str, processes: int = 1, timeout: int = 240) -> subprocess.CompletedProcess[str]:
    launch = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    )
    line = [sys.executable, *launch, "-m", "monai.bundle", "run", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        line, capture_output=True, encoding="utf-8", timeout=timeout, env=env, cwd=ROOT, check=False
    )


def words(files: list[str], override: dict[str, Any]) -> list[str]:
    named = "[" + ",".join(f"'{CONFIGS / file}'" for file in files) + "]"  # an absolute file stays itself
    given = [text for key, value in override.items() for text in (f"--{key}", str(value))]
    return ["--config_file", named, "--bundle_root", str(BUNDLE), *given]


@pytest.mark.slow
def test_two_ranks_train_one_network_from_pretrained_weights(data: Path, tmp_path: Path) -> None:
    override = smoke(data, tmp_path, epochs=1, val_interval=1, pretrained=str(pretrained_file(tmp_path)))
    keep = tmp_path / "keep.yaml"  # what each rank ends with
    keep.write_text(f"+finalize:\n- \"$torch.save(@network_def.state_dict(), '{tmp_path}/rank%d.pt' % @rank)\"\n")
    files = [*(str(CONFIGS / name) for name in ("train.yaml", "smoke.yaml", "multi_gpu_train.yaml")), str(keep)]
    done = command(*words(files, override), processes=2)
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    BasicUNet(3, 1, 3, features=(16, 16, 32, 64, 128, 16)).load_state_dict(state, strict=True)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    given = torch.load(tmp_path / "pretrained.pt", weights_only=True)
    assert all(torch.equal(first[key], second[key]) for key in state)
    assert not any(
        torch.equal(first[key], given[key]) for key in state if key.startswith("down_4") and "weight" in key
    )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"dataset_dir": "nowhere"}, "nowhere does not exist"),
        ({"dataset_dir": ""}, "dataset_dir is ''"),
        ({"roi_size": [30, 32, 32]}, "roi_size"),
        ({"channels": ["CT", "MRI"]}, "channels; expected 2"),
        ({"label_names": ["background", "low"]}, "case"),
        ({"pretrained": "nothing.pt"}, "nothing.pt"),
        ({"datalist": "nothing.json"}, "nothing.json"),
        ({"learning_rate": "1e-4"}, "learning_rate is '1e-4'; allowed: a number above 0"),
        ({"num_samples": 0}, "num_samples is 0; allowed: a whole number at least 1"),
        ({"cache_rate": 1.5}, "cache_rate is 1.5; allowed: null or a number at least 0 and at most 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_ends_in_one_line(data: Path, tmp_path: Path, override: dict[str, Any], told: str) -> None:
    with pytest.raises(SystemExit, match="^error: ") as caught:
        run(["train.yaml", "smoke.yaml"], **{**smoke(data, tmp_path), **override})
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "layers", [["train.yaml", "smoke.yaml", "evaluate.yaml"], ["inference.yaml", "smoke.yaml"]]
)
def test_missing_weights_end_in_one_line(data: Path, tmp_path: Path, layers: list[str]) -> None:
    override = smoke(data, tmp_path, weights=str(tmp_path / "model.pt"), dataset_dir=str(data))
    if layers[0] == "inference.yaml":
        override = {**TINY, "weights": str(tmp_path / "model.pt"), "dataset_dir": str(data / "imagesTr")}
    with pytest.raises(SystemExit, match="^error: .*model.pt"):
        run(layers, **override)


def test_weights_of_another_network_end_evaluation_in_one_line(data: Path, tmp_path: Path) -> None:
    override = smoke(data, tmp_path, weights=str(pretrained_file(tmp_path)))
    with pytest.raises(SystemExit, match="^error: weights .*pretrained.pt do not fit"):
        run(["train.yaml", "smoke.yaml", "evaluate.yaml"], **override)


@pytest.mark.slow
def test_a_misspelled_key_ends_the_command_with_the_nearest_one(data: Path, tmp_path: Path) -> None:
    done = command(*words(["train.yaml", "smoke.yaml"], smoke(data, tmp_path, epoch=3)))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "'epoch' (nearest: 'epochs')" in last
