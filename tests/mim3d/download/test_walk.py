"""From an empty folder to a fine-tuned network, with the files of a release and nothing of this repository.

The release is the real one, with the published weights, and comes from a server on this machine. Each command runs
in a process that cannot import the repository, however it is installed. The commands are those of the downloaded
README; docs/weights.md promises that they work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components import __version__
from custom_components.published import find_published
from custom_components.transfer import file_sha256
from mim3d.catalog import BUNDLES, ROOT
from mim3d.phantoms import write_phantoms
from mim3d.release.build import write_release
from mim3d.verify.readme_commands import commands
from tests.loopback import Server, serve

SEGMENTS, PRETRAINS = "seg_msd_hippocampus", "pretrain_hybridmim"
#: Runs ``python -m MODULE ARGUMENTS`` after it has hidden this repository: the folder on the path, and the finder
#: of an editable installation.
ALONE = """
import importlib.util, os, runpy, sys
root, module = sys.argv[1:3]
sys.argv = sys.argv[2:]
sys.path[:] = ["", *(p for p in sys.path[1:] if os.path.realpath(p or ".") != root)]
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in getattr(each, "__module__", repr(each))]
assert importlib.util.find_spec("mim3d") is None, "mim3d can be imported"
own = importlib.util.find_spec("custom_components")
assert own is None or os.path.realpath(own.origin).startswith(os.getcwd()), own.origin
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
#: Prints whether monai.bundle.load gives the network the weights of models/model.pt.
LOAD = f"""
import monai.bundle, torch
state = monai.bundle.load("{SEGMENTS}", bundle_dir=".", source="github", device="cpu").state_dict()
wanted = torch.load("{SEGMENTS}/models/model.pt", weights_only=True)
equal = [torch.equal(state[key], wanted[key]) for key in wanted]
print("same weights:", state.keys() == wanted.keys() and all(equal))
"""
SHORT = ["--epochs", "1", "--val_interval", "1", "--num_workers", "0", "--batch_size", "2"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the files of a release of two bundles."""
    folder = tmp_path_factory.mktemp("release")
    with serve() as server:
        write_release(folder, [BUNDLES / PRETRAINS, BUNDLES / SEGMENTS], __version__, server.url, "notes")
        server.contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        yield server


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., str]:
    """``alone(folder, module, *arguments)``: run a module in a folder, as a user without the repository does."""
    launcher = tmp_path / "alone.py"
    launcher.write_text(ALONE, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MIM3D_WEIGHTS_URL")}
    env |= {"TORCH_HOME": str(tmp_path / "torch"), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}

    def run(folder: Path, module: str, *arguments: object) -> str:
        words = [sys.executable, str(launcher), str(ROOT), module, *map(str, arguments)]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=600)
        assert done.returncode == 0, f"{words[3:]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


def documented(bundle: Path, places: dict[str, str], has: str) -> list[str]:
    """Return the arguments of the one command in a bundle's README that has a text, with places filled in.

    The command that resumes a training is left out.
    """
    every = commands((bundle / "docs" / "README.md").read_text(encoding="utf-8"))
    (found,) = (words for words in every if has in " ".join(words) and "--resume" not in words)
    words = found[found.index("monai.bundle") + 1 :]
    return ["/".join(places.get(part, part) for part in word.split("/")) for word in words]


def with_value(words: list[str], flag: str, value: str) -> list[str]:
    """Return a command with another value of one flag."""
    at = words.index(flag) + 1
    return [*words[:at], value, *words[at + 1 :]]


@pytest.mark.slow
def test_from_an_empty_folder_to_a_fine_tuned_network(
    release: Server, alone: Callable[..., str], tmp_path: Path
) -> None:
    data, user, out = tmp_path / "data", tmp_path / "user", tmp_path / "out"
    write_phantoms(data, "hippocampus_mri", training=2, validation=1, test=1, size="tiny", progress=False)
    image = sorted((data / "imagesTr").iterdir())[0]
    user.mkdir()
    for name in (SEGMENTS, PRETRAINS):
        url = f"{release.url}/hippocampus.{name}_v{__version__}.zip"
        alone(user, "monai.bundle", "download", "--name", name, "--url", url, "--bundle_dir", ".")
    bundle = user / SEGMENTS
    places = {"DATA": str(data), "IMAGE.nii.gz": str(image), "OUT": str(out)}

    alone(bundle, "monai.bundle", *documented(bundle, places, "configs/inference.yaml"))
    (mask,) = (out / "monai").glob("*.nii.gz")
    assert nib.load(mask).shape == nib.load(image).shape
    assert set(np.unique(np.asarray(nib.load(mask).dataobj))) <= {0, 1, 2}
    (user / "load_it.py").write_text(LOAD, encoding="utf-8")
    assert "same weights: True" in alone(user, "load_it")

    scores = tmp_path / "scores"
    evaluate = documented(bundle, places, "configs/evaluate.yaml")
    alone(bundle, "monai.bundle", *evaluate, "--evaluate_section", "test", "--output_dir", scores)
    summary = json.loads((scores / "summary.json").read_text(encoding="utf-8"))
    assert summary["weights"]["sha256"] == find_published(f"hippocampus/{SEGMENTS}").files[0].sha256

    # the commands pretrain first; here the weights are downloaded, once as a file in a zip and once by name
    tune = documented(bundle, places, "--pretrained")
    digest = find_published("hippocampus").files[0].sha256
    for start in (f"../{PRETRAINS}/models/model.pt", "hippocampus"):
        folder = tmp_path / Path(start).stem
        words = with_value(with_value(tune, "--pretrained", start), "--ckpt_dir", str(folder))
        alone(bundle, "monai.bundle", *words, *SHORT)
        card = json.loads((folder / "model.card.json").read_text(encoding="utf-8"))
        assert (card["method"], card["pretrained_sha256"]) == ("fine-tuned", digest)
        assert file_sha256(folder / "model.pt") == card["sha256"]
        loaded = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))
        assert loaded["matched"]
    assert "hippocampus.pretrain_hybridmim.model.pt" in release.asked
    sums = [line.split("  ") for line in (bundle / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
    assert [name for stated, name in sums if file_sha256(bundle / name) != stated] == []
