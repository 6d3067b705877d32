"""What seg_brats alone does: label values of four sources, overlapping regions, four channels, a bare brain.

Numbers are compared with loops over voxels written here.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor

from custom_components.metrics.segmentation import score_case
from mim3d.datasets.prepare import prepare_datalist

Run = Callable[..., ConfigWorkflow]
#: What a value means in each source's label files (as the data sets' pages have it): core, edema, enhancing.
SOURCES = {
    "msd_task01": {1: "edema", 2: "core", 3: "enhancing"},
    "brats2020": {1: "core", 2: "edema", 4: "enhancing"},
    "brats2021": {1: "core", 2: "edema", 4: "enhancing"},
    "brats2023": {1: "core", 2: "edema", 3: "enhancing"},
}
REGIONS = {
    "tumour core": ("core", "enhancing"),
    "whole tumour": ("core", "edema", "enhancing"),
    "enhancing tumour": ("enhancing",),
}
WRITTEN = {"core": 1, "edema": 2, "enhancing": 3}
SEQUENCES = ["flair", "t1", "t1ce", "t2"]
TINY: dict[str, Any] = {
    "spacing": [8.0, 8.0, 8.0],
    "roi_size": [32, 32, 32],
    "architecture#features": [4, 4, 8, 8, 16, 4],
}
SHORT = {"epochs": 1, "val_interval": 1, "num_samples": 1}


@pytest.fixture
def parser(build_bundle: Run) -> ConfigParser:
    return build_bundle("seg_brats", ["train.yaml"]).parser


def places(data: Path, out: Path) -> dict[str, Any]:
    return {"dataset_dir": str(data), "ckpt_dir": str(out / "models"), "output_dir": str(out / "eval")}


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


def brain(seed: int, values: tuple[int, int, int] = (1, 2, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Four sequences (24, 22, 20, 4) that are 0 outside a box, and a label of nested boxes."""
    rng = np.random.RandomState(seed)
    image = np.zeros((24, 22, 20, 4), np.int16)
    image[4:20, 4:18, 3:17] = rng.randint(100, 900, (16, 14, 14, 4))
    label = np.zeros(image.shape[:3], np.uint8)
    for value, margin in ((values[1], 0), (values[0], 2), (values[2], 3)):
        label[6 + margin : 18 - margin, 6 + margin : 16 - margin, 5 + margin : 15 - margin] = value
    image[label > 0] += 300
    return image, label


AFFINE = np.array([[0, -6.0, 0, 30], [-6.5, 0, 0, 40], [0, 0, 7.0, -50], [0, 0, 0, 1]])  # an axis order of its own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labelled cases laid out as BraTS 2021 is distributed."""
    data = tmp_path / "BraTS2021_Training_Data"
    for number in range(3):
        case = f"BraTS2021_{number:05d}"
        image, label = brain(number)
        for channel, sequence in enumerate(SEQUENCES):
            write(data / case / f"{case}_{sequence}.nii.gz", image[..., channel], AFFINE)
        write(data / case / f"{case}_seg.nii.gz", label, AFFINE)
    return data


@pytest.fixture
def stacked(tmp_path: Path) -> Path:
    """Two 4D cases as in MSD Task01, with a list."""
    data = tmp_path / "stacked"
    items = []
    for number in range(2):
        image, label = brain(number, (2, 1, 3))
        write(data / f"imagesTr/case{number}.nii.gz", image, AFFINE)
        write(data / f"labelsTr/case{number}.nii.gz", label, AFFINE)
        items.append({key: f"{key}sTr/case{number}.nii.gz" for key in ("image", "label")})
    listed = {"channels": ["FLAIR", "T1w", "t1gd", "T2w"], "training": items[:1], "validation": items[1:]}
    (data / "datalist.json").write_text(json.dumps(listed))
    return data


# --- labels and regions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_each_sources_labels_become_the_three_regions(source: str, build_bundle: Run) -> None:
    parser = build_bundle("seg_brats", ["train.yaml"], label_source=source).parser
    meaning = SOURCES[source]
    values = [0, *meaning, *meaning, 0]
    label = torch.tensor(values).reshape(1, 2, 2, 2)
    mapping, channels = (parser.get_parsed_content(key) for key in ("label_mapping", "label_channels"))
    written = mapping({"label": label})["label"]
    found = channels({"label": written})["label"]
    assert found.shape == (3, 2, 2, 2)
    for at in itertools.product(range(2), repeat=3):
        tissue = meaning.get(int(label[(0, *at)]))
        assert int(written[(0, *at)]) == (WRITTEN[tissue] if tissue else 0)
        for channel, (region, tissues) in enumerate(REGIONS.items()):
            assert bool(found[(channel, *at)]) is (tissue in tissues), (at, region)
    assert parser.get_parsed_content("label_values") == sorted({0, *meaning})
    assert parser.get_parsed_content("output_names") == list(REGIONS)


def test_sources_are_known_and_the_default_is_that_of_the_folders_named_first(build_bundle: Run) -> None:
    for folder, expected in (("somewhere", "brats2021"), ("", "brats2023")):
        parser = build_bundle("seg_brats", ["train.yaml"], dataset_dir=folder).parser
        assert parser.get_parsed_content("label_source") == expected
    assert set(parser["source_values"]) == set(SOURCES)


def decided(logits: torch.Tensor) -> np.ndarray:
    """The exclusive map (D, H, W), voxel by voxel: the innermost region above a probability of one half."""
    found = np.zeros(logits.shape[1:], np.uint8)
    for at in itertools.product(*map(range, found.shape)):
        core, whole, enhancing = (torch.sigmoid(logits[(channel, *at)]) for channel in range(3))
        found[at] = 3 if enhancing > 0.5 else 1 if core > 0.5 else 2 if whole > 0.5 else 0
    return found


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_the_innermost_region_wins_where_they_overlap(first: str, build_bundle: Run) -> None:
    to_labels = build_bundle("seg_brats", [first]).parser.get_parsed_content("to_labels")
    every = torch.tensor(list(itertools.product((-2.0, 0.5), repeat=3))).T.reshape(3, 2, 2, 2)
    noise = torch.randn(3, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    for logits in (every, noise, torch.zeros(3, 2, 2, 2)):
        found = to_labels({"pred": logits})["pred"]
        assert found.shape == (1, *logits.shape[1:])
        np.testing.assert_array_equal(found[0].numpy(), decided(logits))


def test_regions_are_scored_on_the_map_that_is_written(parser: ConfigParser) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 6, 5, 4, generator=generator)
    label = torch.randint(0, 4, (1, 6, 5, 4), generator=generator)
    written = parser.get_parsed_content("to_labels")({"pred": logits})["pred"]
    regions, names = (parser.get_parsed_content(key) for key in ("regions", "label_names"))
    assert list(regions) == list(REGIONS)
    rows = score_case(written, label, (1.0, 1.0, 1.0), names, regions=regions)
    channels = parser.get_parsed_content("scored_channels")({"pred": written, "label": label})
    metric = parser.get_parsed_content("metric")
    per_case = metric(channels["pred"][None].float(), channels["label"][None].float())[0]
    exclusive = decided(logits)
    for channel, (row, tissues) in enumerate(zip(rows, REGIONS.values(), strict=True)):
        values = [WRITTEN[tissue] for tissue in tissues]
        both = painted = there = 0
        for at in itertools.product(*map(range, exclusive.shape)):
            inside = exclusive[at] in values
            true = int(label[(0, *at)]) in values
            assert bool(channels["pred"][(channel, *at)]) is inside
            assert bool(channels["label"][(channel, *at)]) is true
            both, painted, there = both + (inside and true), painted + inside, there + true
        assert row["dice"] == pytest.approx(2 * both / (painted + there))
        assert float(per_case[channel]) == pytest.approx(2 * both / (painted + there))
        assert (row["predicted_voxels"], row["label_voxels"]) == (painted, there)


# --- what ends in one line --------------------------------------------------------------------------------


def told(caught: pytest.ExceptionInfo[SystemExit]) -> str:
    message = str(caught.value)
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    return message


def test_a_value_that_the_source_lacks_is_named(folder: Path, run_bundle: Run, tmp_path: Path) -> None:
    prepare_datalist(folder, validation=1)
    override = {**TINY, **SHORT, **places(folder, tmp_path)}
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **override, label_source="msd_task01")
    message = told(caught)
    assert "_seg.nii.gz holds the values 4 (in all 0, 1, 2, 4)" in message
    assert "'msd_task01': 0, 1, 2, 3" in message
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("listed", "wrong"),
    [(["T1", "FLAIR", "T1ce", "T2"], "in another order than"), (["CT", "T1", "T1ce", "T2"], "others than")],
)
def test_channels_in_another_order_are_named(
    listed: list[str], wrong: str, stacked: Path, run_bundle: Run, tmp_path: Path
) -> None:
    file = stacked / "datalist.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "channels": listed}))
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **{**TINY, **SHORT, **places(stacked, tmp_path)})
    assert f"{', '.join(listed)}: {wrong} FLAIR, T1, T1ce, T2" in told(caught)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("as_list", [False, True])
def test_three_channels_do_not_reach_the_network(as_list: bool, run_bundle: Run, tmp_path: Path) -> None:
    image, _ = brain(0)
    given: Any = write(tmp_path / "three.nii.gz", image[..., :3], AFFINE)
    if as_list:
        given = [write(tmp_path / f"{k}.nii.gz", image[..., k], AFFINE) for k in range(3)]
    override = {**TINY, "dataset_dir": given, "output_dir": str(tmp_path / "out")}
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **override, weights=str(tmp_path / "none.pt"))
    assert "has 3 channel(s); one file with FLAIR, T1, T1ce, T2, or a list" in told(caught)
    assert not (tmp_path / "out").exists()


# --- the image --------------------------------------------------------------------------------------------


@pytest.fixture
def weights(build_bundle: Run, tmp_path: Path) -> str:
    """Random weights of the tiny network, whose masks have more than one value."""
    torch.manual_seed(0)
    network = build_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **TINY).parser.get_parsed_content(
        "network"
    )
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_four_files_give_the_mask_of_the_file_stacked_from_them(
    weights: str, run_bundle: Run, tmp_path: Path
) -> None:
    image, _ = brain(0)
    files = [write(tmp_path / f"case_{s}.nii.gz", image[..., k], AFFINE) for k, s in enumerate(SEQUENCES)]
    whole = write(tmp_path / "case.nii.gz", image, AFFINE)
    found = []
    for name, given in (("list", files), ("file", whole), ("swapped", [files[k] for k in (1, 0, 2, 3)])):
        out = {"dataset_dir": given, "output_dir": str(tmp_path / name), "weights": weights}
        run_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **TINY, **out)
        (mask,) = (tmp_path / name).iterdir()
        written = nib.load(mask)
        assert written.shape == image.shape[:3]
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-4)
        assert written.get_data_dtype() == np.uint8
        found.append(np.asanyarray(written.dataobj))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) > 1
    assert not np.array_equal(found[0], found[2]), "the order of files is that of the channels"


def z_scores(image: np.ndarray) -> np.ndarray:
    """``image`` (C, D, H, W), each channel over its own non-zero voxels, which alone change."""
    found = np.zeros(image.shape)
    for channel, volume in enumerate(image):
        places = [at for at in itertools.product(*map(range, volume.shape)) if volume[at] != 0]
        values = [float(volume[at]) for at in places]
        mean = sum(values) / len(values)
        deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        for at in places:
            found[(channel, *at)] = (volume[at] - mean) / deviation
    return found


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_each_channel_is_scored_over_its_own_non_zero_voxels(first: str, build_bundle: Run) -> None:
    image = np.moveaxis(brain(3)[0][:12, :11, :10], -1, 0).astype(np.float32)
    image[1, 5] = 0  # a slice that one sequence lacks
    intensity = build_bundle("seg_brats", [first]).parser.get_parsed_content("intensity")
    found = intensity({"image": MetaTensor(torch.tensor(image))})["image"].numpy()
    np.testing.assert_allclose(found, z_scores(image), atol=1e-4)
    assert (found[image == 0] == 0).all()
    assert (found[image != 0] < 0).any()


@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
def test_the_foreground_crop_keeps_every_voxel_of_the_brain(first: str, build_bundle: Run, tmp_path: Path) -> None:
    """Its outer layer is dark: the z-scores there are below 0, where a crop to positive values would end."""
    image = np.zeros((20, 18, 16, 4), np.int16)
    image[3:15, 4:14, 2:13] = 100
    image[6:12, 7:11, 5:10] = 900
    image[3:15, 4:14, 2:13] += np.arange(4, dtype=np.int16)
    image[17, 9, 14, 3] = 100  # in one channel alone
    label = np.zeros(image.shape[:3], np.uint8)
    label[3, 4, 2], label[8:10, 8:10, 6:8], label[14, 13, 12] = 1, 4, 2
    item = {"image": write(tmp_path / "image.nii.gz", image, np.eye(4))}
    own = {"spacing": [1.0, 1.0, 1.0], "roi_size": [4, 4, 4], "label_source": "brats2021"}
    parser = build_bundle("seg_brats", [first], **own).parser
    if first == "train.yaml":
        item["label"] = write(tmp_path / "label.nii.gz", label, np.eye(4))
        done = parser.get_parsed_content("validate#preprocessing")(item)
    else:
        done = parser.get_parsed_content("preprocessing")(item)
    expected = z_scores(np.moveaxis(image, -1, 0))
    box = (slice(3, 18), slice(4, 14), slice(2, 15))
    assert (expected[:, 3] < 0).any()
    np.testing.assert_allclose(done["image"].numpy(), expected[(slice(None), *box)], atol=1e-4)
    if first == "train.yaml":
        written = np.where(label == 4, 3, label)
        np.testing.assert_array_equal(done["label"][0].numpy(), written[box])


# --- BraTS as it is distributed ---------------------------------------------------------------------------


def test_case_folders_are_listed_trained_on_and_scored(folder: Path, run_bundle: Run, tmp_path: Path) -> None:
    listed = json.loads(prepare_datalist(folder, validation=1).read_text(encoding="utf-8"))
    assert listed["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    assert [len(item["image"]) for item in (*listed["training"], *listed["validation"])] == [4, 4, 4]
    override = {**TINY, **places(folder, tmp_path), "label_source": "brats2021"}
    made = run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **override, **SHORT)
    assert made.trainer.state.epoch == 1
    assert (tmp_path / "models" / "model.pt").is_file()
    run_bundle("seg_brats", ["train.yaml", "smoke.yaml", "evaluate.yaml"], **override)
    with open(tmp_path / "eval" / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = np.asanyarray(nib.load(folder / listed["validation"][0]["label"]).dataobj)
    meaning = {name: value for value, name in SOURCES["brats2021"].items()}
    counts = [np.isin(label, [meaning[tissue] for tissue in tissues]).sum() for tissues in REGIONS.values()]
    assert [row["class"] for row in rows] == list(REGIONS)
    assert [int(row["label_voxels"]) for row in rows] == counts
    case = Path(listed["validation"][0]["label"]).parent.name
    assert all(row["case"] == case for row in rows)


def test_the_loss_is_dice_and_binary_cross_entropy_of_every_region(build_bundle: Run) -> None:
    made = build_bundle("seg_brats", ["train.yaml"])
    made.initialize()
    loss = made.parser.get_parsed_content("loss")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 3, 5, generator=generator)
    target = (torch.rand(2, 3, 4, 3, 5, generator=generator) > 0.6).float()
    dice, entropy = [], []
    for case in range(2):
        for region in range(3):
            p, t = torch.sigmoid(logits[case, region]), target[case, region]
            dice.append(1 - (2 * (p * t).sum() + 1e-5) / (p.sum() + t.sum() + 1e-5))
            entropy += [
                -math.log(p[where] if t[where] else 1 - p[where])
                for where in itertools.product(*(range(side) for side in p.shape))
            ]
    expected = sum(dice) / len(dice) + sum(entropy) / len(entropy)
    assert float(loss(logits, target)) == pytest.approx(float(expected), abs=1e-5)
