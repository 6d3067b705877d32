"""The commands that train with a plan, as a user types them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from mim3d.catalog import ROOT, Method
from mim3d.plan.bundle_keys import SEG


def training_commands(method: Method, folder: Path, out: Path, segmented: bool) -> list[tuple[str, str]]:
    """Return what each command does, and the command, in the order in which they are run.

    Args:
        method: the pretraining method.
        folder: the data.
        out: folder of the plan; results go into folders in it.
        segmented: whether there is a segmentation.
    """
    pretrained = out / "pretrain" / "model.pt"
    commands = [("Pretrain", _run(method.bundle, ["train.yaml"], folder, out, "pretrain"))]
    if not segmented:
        return commands
    tuned = ["--pretrained", str(pretrained)]
    scored = ["train.yaml", "evaluate.yaml"]
    weights = ["--weights", str(out / "segment" / "model.pt")]
    segment = ["mim3d", "segment", SEG.name, "IMAGE.nii.gz", "--out", str(out / "masks")]
    return [
        *commands,
        (
            "Fine-tune; without `--pretrained`, train from scratch",
            _run(SEG, ["train.yaml"], folder, out, "segment", tuned),
        ),
        ("Score the validation cases", _run(SEG, scored, folder, out, "segment")),
        ("Segment a scan", shlex.join([*segment, "--layer", str(out / "segment.yaml"), *weights])),
    ]


def _run(
    bundle: Path, configs: Sequence[str], folder: Path, out: Path, layer: str, more: Sequence[str] = ()
) -> str:
    first, *others = (_shown(bundle / "configs" / name) for name in configs)
    listed = "[" + ",".join(f"'{file}'" for file in (first, str(out / f"{layer}.yaml"), *others)) + "]"
    folders = ["--dataset_dir", str(folder), "--ckpt_dir", str(out / layer), "--output_dir", str(out / layer)]
    start = f"python -m monai.bundle run --config_file {_quoted(listed)}"
    return f"{start} \\\n  --bundle_root {shlex.quote(_shown(bundle))} {shlex.join([*folders, *more])}"


def _quoted(text: str) -> str:
    return shlex.quote(text) if any(sign in text for sign in '"$`\\!') else f'"{text}"'


def _shown(path: Path) -> str:
    """Return a path of the repository: relative where the current folder is in it."""
    inside = Path.cwd().is_relative_to(ROOT)
    return os.path.relpath(path) if inside else str(path)
