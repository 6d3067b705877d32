"""Sanity validation: the largest validation case is validated once, and leaves no trace but a line."""

from __future__ import annotations

import copy
import logging
import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import CacheDataset, DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import Lambda, RandShiftIntensityd

from custom_components.checks import sanity_validate
from custom_components.checks.sanity_validation import largest_case
from custom_components.handlers import ReseedEachEpoch
from mim3d.phantoms import write_phantoms
from tests.checks.sanity import DECIDE, SHAPES, SPACING, WINDOW, Recorder, evaluator_of, network, preprocessing

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "seg_msd_spleen"


def test_the_case_largest_after_resampling_is_tried_and_printed(
    items: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert largest_case(items, None) == (0, 48 * 40 * 36)
    assert largest_case(items, SPACING) == (2, 24 * 39 * 40)
    inferer = Recorder()
    caplog.set_level(logging.DEBUG)
    sanity_validate(evaluator_of(Dataset(items, preprocessing()), inferer), DECIDE, SPACING)
    (shape, training, grad) = inferer.seen[0]
    assert len(inferer.seen) == 1
    assert shape[:3] == (1, 1, WINDOW)  # padded
    assert min(shape[3:]) >= 38
    assert not training
    assert not grad
    line = capsys.readouterr().out.strip().splitlines()
    assert len(line) == 1
    size = " x ".join(map(str, shape[2:]))
    assert line[0].startswith(f"sanity validation of the largest case, {items[2]['image']}: {size} voxels, ")
    assert not [record for record in caplog.records if "ngine" in record.getMessage()]


def test_the_first_of_equals_is_the_largest(items: list[dict[str, Any]]) -> None:
    assert largest_case([items[1], items[1]], SPACING)[0] == 0


def test_images_of_two_files_and_batches_of_two_are_tried_as_validation_does(
    items: list[dict[str, Any]], tmp_path: Path, write_nifti: Callable[..., Path]
) -> None:
    both = []
    for item, (shape, spacing) in zip(items, SHAPES.values(), strict=True):
        second = write_nifti(tmp_path / "second" / Path(item["image"]).name, shape, 9, spacing)
        both.append({**item, "image": [item["image"], str(second)]})
    inferer = Recorder()
    evaluator = evaluator_of(Dataset(both, preprocessing()), inferer, network(2), batch_size=2)
    sanity_validate(evaluator, DECIDE, SPACING)
    assert inferer.seen[0][0][:2] == (2, 2)


def test_a_cached_case_is_not_loaded_again(items: list[dict[str, Any]]) -> None:
    dataset = CacheDataset(items, preprocessing(), num_workers=None, progress=False)
    for item in items:
        Path(item["label"]).unlink()
    inferer = Recorder()
    sanity_validate(evaluator_of(dataset, inferer), DECIDE, SPACING)
    assert len(inferer.seen) == 1


@pytest.mark.parametrize("training", [True, False])
def test_evaluator_network_and_generators_are_as_before(items: list[dict[str, Any]], training: bool) -> None:
    def draw(sample: Any) -> Any:
        random.random()
        np.random.rand()  # noqa: NPY002 - the global generator is what must not move
        torch.rand(1)
        return sample

    net = network().train(training)
    evaluator = evaluator_of(Dataset(items, preprocessing(draw)), net=net)
    weights, state = copy.deepcopy(net.state_dict()), copy.deepcopy(vars(evaluator.state))
    metric = evaluator.state.metrics
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    sanity_validate(evaluator, DECIDE, SPACING)
    assert random.getstate() == python
    np.testing.assert_equal(np.random.get_state(), numpy)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), pytorch)
    assert all(module.training is training for module in net.modules())
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert vars(evaluator.state) == state
    assert evaluator.state.metrics is metric == {}
    assert not net._forward_hooks


def train(items: list[dict[str, Any]], enabled: bool) -> tuple[dict[str, torch.Tensor], float]:
    """Two epochs with dropout, a random transform and shuffling; the weights and the metric."""
    shift = RandShiftIntensityd("image", 0.5, prob=0.9)
    loader = DataLoader(Dataset(items[1:2] * 3, preprocessing(shift)), batch_size=1, shuffle=True)
    net = network()
    evaluator = evaluator_of(Dataset(items, preprocessing()), net=net, val_handlers=None)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=loader,
        network=net,
        optimizer=torch.optim.SGD(net.parameters(), 1e-4),
        loss_function=lambda pred, label: ((pred - label) ** 2).mean(),
        decollate=False,
        train_handlers=[ReseedEachEpoch(0, loader), ValidationHandler(1, evaluator)],
    )
    sanity_validate(evaluator, DECIDE, SPACING, enabled=enabled)
    trainer.run()
    return net.state_dict(), float(evaluator.state.metrics["val_mean_dice"])


@pytest.mark.slow
def test_a_run_gives_the_same_with_and_without_a_sanity_validation(items: list[dict[str, Any]]) -> None:
    (one, first), (two, second) = (train(items, enabled) for enabled in (True, False))
    assert first == second
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_prediction_is_gone_afterwards(items: list[dict[str, Any]]) -> None:
    seen: list[Any] = []

    def keep(sample: dict[str, Any]) -> dict[str, Any]:
        seen.extend(weakref.ref(sample[key]) for key in ("pred", "image", "label"))
        return sample

    sanity_validate(evaluator_of(Dataset(items, preprocessing())), keep, SPACING)
    assert len(seen) == 3
    assert [reference() for reference in seen] == [None] * 3


def test_without_cases_or_switched_off_nothing_runs(items: list[dict[str, Any]]) -> None:
    inferer = Recorder()
    sanity_validate(evaluator_of(Dataset([], preprocessing()), inferer), DECIDE, SPACING)
    sanity_validate(evaluator_of(Dataset(items, preprocessing()), inferer), DECIDE, SPACING, enabled=False)
    assert inferer.seen == []


def test_a_config_builds_the_training_dataset_before_the_sanity_validation(items: list[dict[str, Any]]) -> None:
    order: list[str] = []

    class Validation(Recorder):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            order.append("validation")
            return super().__call__(*args, **kwargs)

    def load(item: dict[str, Any]) -> dict[str, Any]:
        order.append("training case")
        return item

    cached = {
        "_target_": "CacheDataset",
        "data": items,
        "transform": Lambda(load),
        "num_workers": 0,
        "progress": False,
    }
    evaluator = evaluator_of(Dataset(items, preprocessing()), Validation())
    entry = {"evaluator": evaluator, "postprocessing": DECIDE, "spacing": SPACING}
    entry |= {"_target_": "custom_components.checks.sanity_validate", "_requires_": "@train#dataset"}
    ConfigParser({"sanity": entry, "train": {"dataset": cached}}).get_parsed_content("sanity")
    assert order == ["training case"] * len(items) + ["validation"]


@pytest.mark.slow
def test_the_shipped_evaluation_is_tried_on_the_files_own_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, seen = tmp_path / "data", []
    write_phantoms(data, "spleen_ct", size="tiny", training=1, validation=2, progress=False)
    files = [str(BUNDLE / "configs" / name) for name in ("train.yaml", "smoke.yaml", "evaluate.yaml")]
    override = {"bundle_root": str(BUNDLE), "dataset_dir": str(data), "output_dir": str(tmp_path / "eval")}
    override |= {"ckpt_dir": str(tmp_path / "none"), "spacing": [8.0] * 3, "roi_size": [32] * 3}
    override |= {"device": torch.device("cpu"), "amp": False, "architecture#features": [4, 4, 8, 8, 16, 4]}
    parser = ConfigWorkflow(files, workflow_type="train", logging_file=False, **override).parser
    evaluator, postprocessing = (
        parser.get_parsed_content(f"validate#{key}") for key in ("evaluator", "postprocessing")
    )

    def note(sample: dict[str, Any]) -> dict[str, Any]:
        sample = postprocessing(sample)
        seen.append((sample["pred"].shape, sample["label"].shape))
        return sample

    capsys.readouterr()
    sanity_validate(evaluator, note, [8.0] * 3)
    line = capsys.readouterr().out.strip().splitlines()
    items = evaluator.data_loader.dataset.data
    case = items[largest_case(items, [8.0] * 3)[0]]
    shape = (1, *nib.load(case["image"]).shape)
    assert seen == [(shape, shape)]
    assert len(line) == 1
    assert line[0].startswith(f"sanity validation of the largest case, {case['image']}: ")
    parser.get_parsed_content("sanity_validation")
    assert capsys.readouterr().out.split(" voxels, ")[0] == line[0].split(" voxels, ")[0]
    assert not (tmp_path / "eval").exists()
    assert not (tmp_path / "none").exists()
