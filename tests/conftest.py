"""Fixtures for the tests of several rooms: tiny networks of every backbone, small NIfTI files, samples."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# Tests read some 4000 config files, which PyYAML's loader in C does eight times as fast, with the same result.
# MONAI's own loader inherits from the one that it finds when it is imported.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle.config_item import ComponentLocator
from monai.networks.nets import UNETR, BasicUNet, SegResNet, SwinUNETR
from torch import nn
from tqdm import tqdm

from custom_components.backbones import UNETRPatch8
from mim3d.catalog import NETWORKS as CATALOG

# Tensors in tests are too small to gain from threads, and tests run in parallel. Processes that tests start
# inherit the environment variable.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Every ConfigParser looks through all modules of MONAI for classes. Here that is done once for the same modules.
_look_through = ComponentLocator._find_classes_or_functions
_look_through_once = cache(lambda modules: _look_through(ComponentLocator(), modules))
ComponentLocator._find_classes_or_functions = lambda _, modules: _look_through_once(tuple(modules))

# Forks share the lock of tqdm once a bar was drawn. Tests kill some forks, which then never give it back.
os.register_at_fork(after_in_child=lambda: tqdm.set_lock(threading.RLock()))
# A fork makes torch's pool of threads anew at its first operation, and fails if two threads do so at once.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# glibc keeps memory that was freed, unless it is asked to give it back. Other C libraries cannot be asked.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)


def pytest_collection_finish() -> None:
    """Let the garbage collector look at what tests make, and no longer at what they import.

    Workflows and engines are cycles that hold networks and batches. Python looks for cycles only once there are
    many new objects for those that it knows, and it knows half a million when everything is imported.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def memory_given_back() -> Iterator[None]:
    """Free what the tests of a file held, so that a worker is as large as its largest file."""
    yield
    gc.collect()
    _trim(0)


Size = Sequence[int]


def _basic_unet(in_channels: int, out_channels: int, size: Size) -> nn.Module:
    return BasicUNet(3, in_channels, out_channels, **CATALOG["basic_unet"].tiny)


def _segresnet(in_channels: int, out_channels: int, size: Size) -> nn.Module:
    return SegResNet(3, 8, in_channels, out_channels, blocks_down=(1, 1, 2, 1))


def _swin_unetr(in_channels: int, out_channels: int, size: Size) -> nn.Module:
    # Two blocks in the first stage, so that a shifted window is tested too; windows of 4 are cheap.
    return SwinUNETR(in_channels, out_channels, **CATALOG["swin_unetr"].tiny)


def _unetr(in_channels: int, out_channels: int, size: Size) -> nn.Module:
    # Unequal numbers of features and channels, because encoder1 then has a second convolution on the image.
    return UNETR(in_channels, out_channels, size, feature_size=6, hidden_size=24, mlp_dim=48, num_heads=2)


def _unetr_patch8(in_channels: int, out_channels: int, size: Size) -> nn.Module:
    return UNETRPatch8(in_channels, out_channels, size, feature_size=6, hidden_size=24, mlp_dim=48, num_heads=2)


NETWORKS = {
    "BasicUNet": _basic_unet,
    "SegResNet": _segresnet,
    "SwinUNETR": _swin_unetr,
    "UNETR": _unetr,
    "UNETRPatch8": _unetr_patch8,
}
# How many voxels inside a decoded window its border can reach; tests/backbones/test_window.py measures it.
# Every 3³ convolution adds a cell of its level. A transposed convolution of kernel and stride 2 doubles the cells;
# one of kernel 3, and linear upsampling, double them and add one.
# BasicUNet:  two convolutions at strides 8, 4, 2, 1:           ((2 * 2 + 2) * 2 + 2) * 2 + 2 = 30
# SegResNet:  upsampling and two convolutions at 4, 2, 1:       1 + 2 = 3, 2 * 3 + 3 = 9, 2 * 9 + 3 = 21
# SwinUNETR:  two convolutions at 32, 16, 8, 4, 2, 1:           2 -> 6 -> 14 -> 30 -> 62 -> 126
# UNETR:      two convolutions at 8, 4, 2, 1, as BasicUNet; the skips' own blocks reach less (18 by encoder2):  30
# UNETRPatch8: two convolutions at 4, 2, 1:                     2 -> 6 -> 14
REACH = {"BasicUNet": 30, "SegResNet": 21, "SwinUNETR": 126, "UNETR": 30, "UNETRPatch8": 14}
MakeNetwork = Callable[..., nn.Module]


@pytest.fixture(params=list(NETWORKS))
def network_name(request: pytest.FixtureRequest) -> str:
    """Each backbone in turn."""
    return str(request.param)


@pytest.fixture
def reach(network_name: str) -> int:
    """How many voxels inside a window its border can change what that backbone decodes."""
    return REACH[network_name]


@pytest.fixture(scope="session")
def make_network() -> MakeNetwork:
    """``make_network(name, in_channels=1, out_channels=in_channels, seed=0, size=(64, 32, 32))``: a tiny network.

    ``size`` is the crop size that a UNETR is built for; the other networks take any.
    """

    def make(
        name: str,
        in_channels: int = 1,
        out_channels: int | None = None,
        seed: int = 0,
        size: Size = (64, 32, 32),
    ) -> nn.Module:
        torch.manual_seed(seed)
        return NETWORKS[name](in_channels, in_channels if out_channels is None else out_channels, size)

    return make


@pytest.fixture(scope="session")
def write_nifti() -> Callable[..., Path]:
    """``write_nifti(path, shape, seed=0, spacing=(1, 1, 1), label_classes=None)``: an image or labels."""

    def write(
        path: Path,
        shape: Sequence[int] = (24, 20, 16),
        seed: int = 0,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        label_classes: int | None = None,
    ) -> Path:
        rng = np.random.RandomState(seed)
        if label_classes is None:
            voxels = rng.randint(-200, 300, shape).astype(np.int16)
        else:
            voxels = rng.randint(0, label_classes, shape).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
        return path

    return write


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., list[dict[str, Any]]]:
    """``make_samples(count=4, side=32, channels=1)``: samples with four of eight patches masked."""

    def make(count: int = 4, side: int = 32, channels: int = 1, seed: int = 0) -> list[dict[str, Any]]:
        generator = torch.Generator().manual_seed(seed)
        samples = []
        for number in range(count):
            order = torch.randperm(8, generator=generator)
            samples.append(
                {
                    "image": torch.randn(channels, side, side, side, generator=generator),
                    "mask": (order < 4).reshape(1, 2, 2, 2),
                    "valid": torch.ones(1, side, side, side, dtype=torch.bool),
                    "volume_id": number,
                }
            )
        return samples

    return make
