"""What seg_msd_liver alone does: crops that see tumours; masks of which the largest component can stay alone."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from monai.transforms import Transform

Run = Callable[..., ConfigWorkflow]
#: Where predictions become label maps: config files, and the key of the list of transforms.
CHAINS = {
    "train": (["train.yaml"], "validate#postprocessing"),
    "evaluate": (["train.yaml", "evaluate.yaml"], "validate#postprocessing"),
    "inference": (["inference.yaml"], "postprocessing"),
}
#: Steps of them that need a whole run: they lay the map on the file's grid, cast and write it.
LATER = {"ToDeviced", "Invertd", "CastToTyped", "SaveImaged"}
LIVER_AND_TUMOUR = [1, 2]


def largest_component(label: np.ndarray) -> np.ndarray:
    """``label`` (D, H, W) with one component of what is above 0; neighbours share a face, an edge or a corner."""
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    left = {tuple(map(int, at)) for at in np.argwhere(label > 0)}
    components = []
    while left:
        waiting = [left.pop()]
        component = set(waiting)
        while waiting:
            at = waiting.pop()
            beside = {(at[0] + step[0], at[1] + step[1], at[2] + step[2]) for step in steps} & left
            left -= beside
            component |= beside
            waiting += beside
        components.append(component)
    sizes = sorted(map(len, components), reverse=True)
    assert sizes[:1] != sizes[1:2], "two components of one size: which stays is nobody's promise"
    kept = np.zeros_like(label)
    for at in max(components, key=len, default=set()):
        kept[at] = label[at]
    return kept


def pieces() -> np.ndarray:
    """A liver with a tumour at its edge, a piece that touches it by a corner, and islands of either class."""
    label = np.zeros((14, 12, 10), np.uint8)
    label[1:6, 1:6, 1:6] = 1
    label[4:8, 2:4, 2:4] = 2
    label[6, 6, 6] = 1  # by the corner of (5, 5, 5)
    label[9:13, 1:4, 1:4] = 1
    label[10, 2, 2] = 2
    label[9:12, 8:11, 6:9] = 2
    return label


def sprinkled(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).choice([0, 1, 2], (12, 11, 10), p=[0.92, 0.06, 0.02]).astype(np.uint8)


def chain(build_bundle: Run, where: str, **override: Any) -> list[Transform]:
    files, key = CHAINS[where]
    parser = build_bundle("seg_msd_liver", files, **override).parser
    transforms = parser.get_parsed_content(key).transforms
    return [transform for transform in transforms if type(transform).__name__ not in LATER]


def mapped(transforms: list[Transform], label: np.ndarray) -> np.ndarray:
    """What the transforms make of a network's output in which ``label`` is the likeliest class everywhere."""
    logits = torch.randn(3, *label.shape, generator=torch.Generator().manual_seed(0))
    logits.scatter_(0, torch.from_numpy(label)[None].long(), 9.0)
    item: dict[str, Any] = {"pred": MetaTensor(logits), "label": MetaTensor(torch.from_numpy(label)[None])}
    for transform in transforms:
        item = transform(item)  # type: ignore[operator]
    return np.asarray(item["pred"][0], dtype=np.uint8)


# --- the largest component ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", CHAINS)
@pytest.mark.parametrize("make", [pieces, lambda: sprinkled(0), lambda: sprinkled(3)], ids=["pieces", "0", "3"])
def test_the_largest_component_of_liver_and_tumour_stays_alone(
    where: str, make: Callable[[], np.ndarray], build_bundle: Run
) -> None:
    label = make()
    expected = largest_component(label)
    assert 0 < np.count_nonzero(expected) < np.count_nonzero(label)
    found = mapped(chain(build_bundle, where, largest_component=LIVER_AND_TUMOUR), label)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("where", CHAINS)
def test_everything_stays_by_default_and_nothing_is_made_of_nothing(where: str, build_bundle: Run) -> None:
    default = chain(build_bundle, where)
    np.testing.assert_array_equal(mapped(default, pieces()), pieces())
    assert not any(type(transform).__name__ == "KeepLargestConnectedComponentd" for transform in default)
    empty = np.zeros((6, 5, 4), np.uint8)
    assert not mapped(chain(build_bundle, where, largest_component=LIVER_AND_TUMOUR), empty).any()


def test_liver_alone_leaves_tumours_where_they_are(build_bundle: Run) -> None:
    label = pieces()
    found = mapped(chain(build_bundle, "inference", largest_component=[1]), label)
    np.testing.assert_array_equal(found == 2, label == 2)
    np.testing.assert_array_equal(found == 1, largest_component(np.where(label == 1, label, 0)) == 1)


@pytest.mark.slow
def test_written_masks_and_scores_have_the_largest_component(
    build_bundle: Run, run_bundle: Run, tmp_path: Path
) -> None:
    """Through whole runs, on a file that lies on the network's grid already: nothing is resampled."""
    rng, shape = np.random.RandomState(0), (34, 33, 32)  # no smaller than a window, so that nothing is padded
    image, label = rng.randint(-190, 250, shape).astype(np.int16), np.zeros(shape, np.uint8)
    label[4:16, 4:16, 4:16], label[8:10, 8:10, 8:10] = 1, 2
    items = []
    for name in ("a", "b"):
        item = {key: f"{name}_{key}.nii.gz" for key in ("image", "label")}
        for key, voxels in (("image", image), ("label", label)):
            nib.save(nib.Nifti1Image(voxels, np.diag([8.0, 8.0, 8.0, 1.0])), tmp_path / item[key])
        items.append(item)
    (tmp_path / "datalist.json").write_text(json.dumps({"training": items[:1], "validation": items[1:]}))
    tiny = {"spacing": [8.0] * 3, "roi_size": [32] * 3, "architecture#features": [4, 4, 8, 8, 16, 4]}
    torch.manual_seed(2)
    parser = build_bundle("seg_msd_liver", ["inference.yaml", "smoke.yaml"], **tiny).parser
    network = parser.get_parsed_content("network")
    network.final_conv.bias.data[0] += 0.35  # some background, so that the noise falls into pieces
    torch.save(network.state_dict(), tmp_path / "model.pt")
    weights, masks = str(tmp_path / "model.pt"), {}
    for name, own in (("all", {}), ("largest", {"largest_component": LIVER_AND_TUMOUR})):
        out = {"output_dir": str(tmp_path / name), "weights": weights, **tiny, **own}
        given = str(tmp_path / "b_image.nii.gz")
        run_bundle("seg_msd_liver", ["inference.yaml", "smoke.yaml"], dataset_dir=given, **out)
        masks[name] = np.asanyarray(nib.load(tmp_path / name / "b_image_seg.nii.gz").dataobj)
        files = ["train.yaml", "smoke.yaml", "evaluate.yaml"]
        run_bundle("seg_msd_liver", files, dataset_dir=str(tmp_path), **out)
        with open(tmp_path / name / "cases.csv", encoding="utf-8") as file:
            found = {row["class"]: int(row["predicted_voxels"]) for row in csv.DictReader(file)}
        assert found == {"liver": (masks[name] == 1).sum(), "tumour": (masks[name] == 2).sum()}
    expected = largest_component(masks["all"])
    assert 0 < np.count_nonzero(expected) < np.count_nonzero(masks["all"])
    np.testing.assert_array_equal(masks["largest"], expected)


# --- crops ------------------------------------------------------------------------------------------------------


ROI = [8, 8, 8]


@pytest.fixture
def crops(build_bundle: Run) -> Callable[..., list[int]]:
    """``crops(label, seed, draws)``: the class in the middle of each crop that training would take."""

    def make(label: np.ndarray, seed: int = 0, draws: int = 100) -> list[int]:
        parser: ConfigParser = build_bundle("seg_msd_liver", ["train.yaml"], roi_size=ROI).parser
        indices, crop = (parser.get_parsed_content(f"train#random_transforms#{k}") for k in range(2))
        crop.set_random_state(seed)
        volume = torch.from_numpy(label)[None]
        item = indices({"image": MetaTensor(volume.float()), "label": MetaTensor(volume)})
        found = []
        for _ in range(draws):
            for sample in crop(dict(item)):
                assert sample["label"].shape == sample["image"].shape == (1, *ROI)
                assert torch.equal(sample["image"].byte(), sample["label"])
                found.append(int(sample["label"][0, 4, 4, 4]))
        return found

    return make


def abdomen(tumour: bool) -> np.ndarray:
    """Liver and a tumour of few voxels, far enough from the border that a crop's middle can lie on any."""
    label = np.zeros((40, 36, 32), np.uint8)
    label[8:28, 8:28, 8:24] = 1
    if tumour:
        label[12:14, 12:14, 12:14] = 2
    return label


def test_half_of_the_crops_are_centred_on_a_tumour(crops: Callable[..., list[int]]) -> None:
    found = crops(abdomen(tumour=True))
    assert len(found) == 400, "four crops a volume"
    # Of 400 draws, shares of 1/4, 1/4 and 1/2 spread by 9, 9 and 10.
    for value, expected in ((0, 100), (1, 100), (2, 200)):
        assert abs(found.count(value) - expected) < 40, value


def test_crops_follow_their_seed(crops: Callable[..., list[int]]) -> None:
    label = abdomen(tumour=True)
    assert crops(label, seed=1, draws=10) == crops(label, seed=1, draws=10)
    assert crops(label, seed=1, draws=10) != crops(label, seed=2, draws=10)


def test_a_case_without_a_tumour_gives_crops_of_what_it_has(crops: Callable[..., list[int]]) -> None:
    found = crops(abdomen(tumour=False))
    assert len(found) == 400
    assert found.count(2) == 0
    assert abs(found.count(1) - 200) < 50


def test_a_case_without_any_label_still_gives_crops(crops: Callable[..., list[int]]) -> None:
    assert crops(np.zeros((12, 11, 10), np.uint8), draws=2) == [0] * 8
