"""``mim3d store build``, killed at random moments: what it leaves equals what the config's own chain prepares."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms.croppad.dictionary import SpatialPadd

from custom_components.store import StoreFolder
from custom_components.store.volumes import StoredVolume, whole
from mim3d.catalog import BUNDLES
from mim3d.cli import main
from mim3d.phantoms.cases import make_case
from mim3d.segment.config import build_workflow, config_files
from mim3d.store.upkeep import check_store, prune_store

BUNDLE = BUNDLES / "seg_msd_spleen"
CASES, KILLS = 12, 20
#: Half a HU, in a window of 425 HU.
ROUNDING = 0.5 / 425 + 1e-6


class Plain(NamedTuple):
    """What the config's own chain makes of the cases, and how it scales intensities.

    Attributes:
        volumes: file, relative to the data folder -> voxels ``(1, D, H, W)``, cropped to the foreground.
        intensity: the config's transform.
    """

    volumes: dict[str, np.ndarray]
    intensity: Any


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve CTs of different sizes, spacings and orientations, with labels and a list."""
    folder, items = tmp_path / "data", []
    folder.mkdir()
    for number in range(CASES):
        case, item = make_case("spleen_ct", number, size="tiny"), {}
        for key, voxels in (("image", case.image), ("label", case.label)):
            item[key] = f"{key}_{number}.nii.gz"
            nib.save(nib.Nifti1Image(voxels, case.affine), folder / item[key])
        items.append(item)
    sections = {"training": items[2:], "validation": items[:2]}
    (folder / "datalist.json").write_text(json.dumps(sections), encoding="utf-8")
    return folder


def read_plainly(data: Path) -> Plain:
    """Read every case without a store."""
    files = config_files(BUNDLE, ["smoke.yaml"], "train.yaml")
    parser = build_workflow(files, "train", bundle_root=str(BUNDLE), dataset_dir=str(data), cache="none").parser
    chain = parser.get_parsed_content("validate#preprocessing")
    end = next(k for k, transform in enumerate(chain.transforms) if isinstance(transform, SpatialPadd))
    volumes: dict[str, np.ndarray] = {}
    for item in [*parser.get_parsed_content("items"), *parser.get_parsed_content("validation_items")]:
        sample = chain(dict(item), end=end)
        volumes |= {Path(item[key]).name: np.asarray(sample[key].as_tensor()) for key in ("image", "label")}
    return Plain(volumes, parser.get_parsed_content("intensity"))


def build(data: Path, store: Path) -> None:
    """Run the command, as a process of its own does."""
    options = ["--layer", "smoke.yaml", "--out", str(store), "--workers", "2"]
    main(["store", "build", BUNDLE.name, str(data), *options])


def check_entries(store: Path, plain: Plain) -> set[str]:
    """Compare every entry that a training would use with the plain volumes; return the files they are of."""
    folder, files = StoreFolder(store), set()
    for kind, key in folder.entries():
        assert folder.fault(kind, key) is None
        content = folder.find(kind, key)
        assert content is not None
        volume, ((name, *_),) = StoredVolume(folder.path(kind, key), content), content["sources"]
        voxels = volume.read(whole(volume.shape))
        if kind == "images":
            voxels = torch.as_tensor(volume.intensity(plain.intensity)(voxels))
        tolerance = ROUNDING if kind == "images" else 0
        np.testing.assert_allclose(voxels.numpy(), plain.volumes[name], rtol=0, atol=tolerance)
        files.add(name)
    return files


def paths(store: Path) -> set[str]:
    """Everything in a store; what vanishes meanwhile is passed over."""
    return {os.path.join(folder, name) for folder, *names in os.walk(store) for name in sum(names, [])}


def wait_for_moment(builder: BaseProcess, store: Path, draw: random.Random, writing: bool) -> None:
    """Wait until a random number of files or entries appeared, and for a random time.

    Args:
        builder: the build.
        store: its store.
        draw: draws both.
        writing: wait for files, and then for a few milliseconds, so that the moment is while one is written;
            otherwise for entries, and then for about as long as it takes to prepare a volume.
    """
    folder, before, seen = StoreFolder(store), paths(store), set[str]()
    entries, enough = len(list(folder.entries())), draw.randint(0, 6)
    while builder.is_alive():
        if writing:
            seen |= paths(store) - before
        if (len(seen) if writing else len(list(folder.entries())) - entries) >= enough + writing:
            break
        time.sleep(0.0002 if writing else 0.001)
    time.sleep(draw.uniform(0, 0.003 if writing else 0.3))


@pytest.mark.slow
def test_a_build_killed_at_20_random_moments_leaves_only_entries_that_equal_the_plain_chain(
    data: Path, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw, plain, store = random.Random(seed), read_plainly(data), tmp_path / "store"
    folder, interrupted, most = StoreFolder(store), 0, 0
    for number in range(KILLS):
        builder = multiprocessing.get_context("fork").Process(target=build, args=(data, store))
        builder.start()
        wait_for_moment(builder, store, draw, writing=number % 2 == 0)
        builder.kill()
        builder.join()
        assert builder.exitcode in (0, -signal.SIGKILL)
        interrupted += builder.exitcode == -signal.SIGKILL
        files = check_entries(store, plain)
        most = max(most, len(files))
        if len(files) == 2 * CASES:  # the next moments shall hit a build, not a full store
            for name in list(folder.entries()):
                folder.remove(*name)
    assert interrupted >= KILLS // 2
    assert most >= CASES  # interrupted builds were continued, not begun anew
    build(data, store)
    assert check_entries(store, plain) == plain.volumes.keys()
    assert check_store(str(store)).endswith("none damaged")
    prune_store(str(store))
    assert not list(store.glob(".tmp_*"))
