"""A copy of the repository in which the documents' commands run, on tiny synthetic volumes with tiny networks."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from custom_components import __version__, published
from custom_components.backbones import PatchMergingMonai09
from mim3d.catalog import NETWORKS, ROOT
from mim3d.plan.make_plan import FILES as PLANNED
from mim3d.release.repository import git
from mim3d.verify.config_ids import has
from mim3d.verify.readme_commands import blocks, config_files
from tests.forked import run_module
from tests.loopback import entry
from tests.transfer import foreign_files as foreign

#: How the path of a layer begins that an earlier command of the document writes.
MADE = "OUT/"
#: Keys that make a run tiny, where its configs have them. Layers may change the view, so these come after it.
TINY = {
    "spacing": [8.0, 8.0, 8.0],
    "roi_size": [32, 32, 32],
    "num_samples": 1,
    "num_workers": 0,
    "warmup_share": 0.0,
    "epochs": 1,
    "val_interval": 1,
    # pretraining: crops of 32 voxels hold two patches per side, and two ranks fill a batch
    "batch_size": 2,
    "patch_size": [16, 16, 16],
    "block_size": [16, 16, 16],
    "region_size": [32, 32, 32],
    "window_size": [32, 32, 32],
    "contrast_features": 8,
    "decoder_width": 24,
    "decoder_heads": 2,
    "projection_width": 24,
    "projection_features": 8,
}
#: Keys of single bundles: labels of the phantoms, sizes that fit the method.
OWN = {
    "seg_brats": {"label_source": "msd_task01"},
    "seg_msd_hippocampus": {"spacing": [2.0, 2.0, 2.0]},
    "pretrain_hybridmim": {"patch_size": [8, 8, 8], "region_size": [16, 16, 16], "window_size": [16, 32, 32]},
}


def load(files: Sequence[str | Path]) -> dict[str, Any]:
    """Configs merged in their order; paths are those in the repository, or absolute."""
    return dict(ConfigParser.load_config_files([str(ROOT / file) for file in files]))


def write_foreign(folder: Path, text: str) -> None:
    """Write the weights of other projects that a document names as ``OUT/...``, and the layers that it shows.

    Args:
        folder: what OUT stands for.
        text: the document. A block of YAML whose first line is ``# OUT/name.yaml`` is such a layer.
    """
    files = {
        "monai_mae.pt": lambda: foreign.mae(crop=(32, 32, 32)).state_dict(),
        "model_swinvit.pt": lambda: foreign.swinvit_2022(foreign.swin(downsample=PatchMergingMonai09)),
    }
    for name, make in files.items():
        if f"{MADE}{name}" in text:
            folder.mkdir(exist_ok=True)
            torch.save(make(), folder / name)
    for language, content in blocks(text):
        name, _, rest = content.removeprefix(f"# {MADE}").partition("\n")
        if language == "yaml" and content.startswith(f"# {MADE}"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(rest)


class Sandbox:
    """A copy of the repository's folders.

    Args:
        folder: an empty folder for the copy and for what commands write.
        data: synthetic volumes, which stand for DATA.
        bundle: the bundle whose document is tried; None for the others.
    """

    def __init__(self, folder: Path, data: Path, bundle: str | None = None) -> None:
        self.root = folder / "repository"
        self.data = data
        self.bundle = bundle
        self.epochs = 1
        self._files = 0
        left_out = shutil.ignore_patterns("eval", "*.pt", "*.card.json", "__pycache__", "runs")
        for name in ("bundles", "benchmarks", "ci", "custom_components", "docs", "mim3d"):
            shutil.copytree(ROOT / name, self.root / name, ignore=left_out)
        for name in ("pyproject.toml", "requirements.txt", "LICENSE"):
            shutil.copy(ROOT / name, self.root / name)

    def fresh(self) -> Path:
        """A path that does not exist yet."""
        self._files += 1
        return self.root / f"new_{self._files}"

    def publish(self, patch: pytest.MonkeyPatch) -> None:
        """Give weights/ and the registry random weights, of the network and names that docs/weights.md has.

        ``patch`` shows them to this process as well, because `run_module` forks it.
        """
        features = (16, 16, 32, 64, 128, 16)
        entries = {}
        for bundle, classes in {"pretrain_hybridmim": 1, "seg_msd_hippocampus": 3}.items():
            folder = self.root / "weights" / "hippocampus" / bundle
            folder.mkdir(parents=True)
            torch.save(BasicUNet(3, 1, classes, features).state_dict(), folder / "model.pt")
            files = {"model.pt": (folder / "model.pt").read_bytes()}
            entries[f"hippocampus/{bundle}"] = entry(files, bundle, keys={"architecture#features": list(features)})
        content = {
            "base_url": None,
            "aliases": {"hippocampus": "hippocampus/pretrain_hybridmim"},
            "weights": entries,
        }
        registry = self.root / "custom_components" / "published.json"
        registry.write_text(json.dumps(content), encoding="utf-8")
        patch.setattr(published, "REGISTRY", registry)
        patch.setattr(published, "LOCAL", self.root / "weights")

    def unlisted(self) -> Path:
        """A copy of the data without its list."""
        return Path(shutil.copytree(self.data, self.fresh(), ignore=shutil.ignore_patterns("datalist.json")))

    def make_repository(self) -> None:
        """Make the copy a git repository whose newest version can be released, unless it is one."""
        if (self.root / ".git").exists():
            return
        text = f"# Changelog\n\n## {__version__}\n\n- First version.\n"
        (self.root / "CHANGELOG.md").write_text(text, encoding="utf-8")
        shutil.copy(ROOT / ".gitignore", self.root)
        for words in (
            ["init", "--quiet"],
            ["config", "user.name", "a"],
            ["config", "user.email", "a@example.org"],
            ["config", "commit.gpgsign", "false"],
            ["config", "tag.gpgsign", "false"],
            ["remote", "add", "origin", "https://github.com/OWNER/NAME"],
            ["add", "--all"],
            ["commit", "--quiet", "--message", "x"],
        ):
            git(self.root, *words)

    def scans(self) -> Path:
        """A folder with a volume in a format that has to be converted."""
        import SimpleITK as sitk

        folder = self.fresh()
        folder.mkdir()
        volume = np.arange(7 * 6 * 5, dtype=np.int16).reshape(7, 6, 5)
        sitk.WriteImage(sitk.GetImageFromArray(volume), str(folder / "scan.nrrd"))
        return folder

    def _layer(self, files: list[str], keys: dict[str, Any]) -> str:
        """Write a layer with those keys that the configs have."""
        config, path = load(files), self.fresh().with_suffix(".yaml")
        path.write_text(yaml.safe_dump({key: value for key, value in keys.items() if has(config, key)}))
        return str(path)

    def tiny_configs(self, files: list[str]) -> list[str]:
        """A command's configs with two more layers: a tiny view after the view, a tiny network at the end."""
        tasks = [file for file in files if Path(file).name.startswith("task_") or Path(file).name in PLANNED]
        first, *layers = (file for file in files if file not in tasks)
        view = TINY | OWN.get(Path(first).parts[1], {}) | OWN.get(self.bundle or "", {})
        title = load(files)["architecture"]["_target_"].rpartition(".")[2]
        (network,) = (network for network in NETWORKS.values() if network.title == title)
        small = {f"architecture#{key}": value for key, value in network.tiny.items()}
        if title == "SwinUNETR" and Path(first).parts[1].startswith("seg_"):
            small["roi_size"] = [64, 64, 32]  # its last norm needs two cells
        path = self.fresh().with_suffix(".yaml")
        path.write_text(yaml.safe_dump(small))
        return [first, *tasks, self._layer([first, *tasks], view), *layers, str(path)]

    def fill_in(self, word: str, data: Path) -> str:
        """Put paths for the placeholders DATA, OUT and IMAGE.nii.gz; another name in capitals is an error."""
        paths = {"DATA": data, "OUT": self.root / "out"}
        paths["IMAGE.nii.gz"] = sorted((self.data / "imagesUn").iterdir())[0]
        parts = word.split("/")
        for number, part in enumerate(parts):
            if part in paths:
                parts[number] = str(paths[part])
            else:
                assert not re.fullmatch(r"[A-Z_]{3,}(\.\w+)*", part), f"placeholder {part}; use {list(paths)}"
        return "/".join(parts)

    def execute(self, words: list[str], environment: dict[str, str], data: Path | None = None) -> str:
        """Run one command, which must succeed; returns its stdout and stderr together."""
        if words[0] == "mim3d":
            words = ["python", "-m", *words]
        if words[0] == "torchrun":
            words = ["python", "-m", "torch.distributed.run", *words[1:]]
        filled = [self.fill_in(word, data or self.data) for word in words]
        expanded: list[str] = []
        for word in filled:
            expanded += sorted(glob.glob(str(self.root / word))) if "*" in word else [word]
        env = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
        env |= {"OMP_NUM_THREADS": "1", **environment}
        if expanded[:3] == ["python", "-m", "monai.bundle"]:
            status, output = run_module(expanded[2], expanded[3:], self.root, env)
            assert status == 0, f"{shlex.join(words)}\n{output[-8000:]}"
            return output
        program = [sys.executable, *expanded[1:]] if expanded[0] == "python" else expanded
        done = subprocess.run(program, cwd=self.root, env=env, capture_output=True, encoding="utf-8", timeout=600)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stdout + done.stderr

    def run_bundle(self, words: list[str], environment: dict[str, str]) -> None:
        """Run a ``monai.bundle run`` command with tiny configs and few epochs."""
        tiny = list(words)
        files = config_files(words)
        files = [self.fill_in(file, self.data) if file.startswith(MADE) else file for file in files]
        tiny[tiny.index("--config_file") + 1] = str(self.tiny_configs(files))
        if "--epochs" in tiny:  # more epochs than before, as the command resumes a run
            self.epochs += 1
            tiny[tiny.index("--epochs") + 1] = str(self.epochs)
        self.execute(tiny, environment)
