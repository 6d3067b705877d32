"""The quick start's command line. It needs Python alone: ``quickstart.sh`` asks it before it installs anything."""

from __future__ import annotations

import argparse
import sys

from mim3d.catalog import METHODS, NARROW, ROOT, Choice, choose


def parse(words: list[str] | None = None) -> tuple[argparse.Namespace, Choice]:
    """Read the command line.

    Args:
        words: what stands behind the script's name; None: those of this process.

    Returns:
        The arguments, and the method with its network.

    Raises:
        SystemExit: where there is something wrong with them, or only help was asked for.
    """
    parser = argparse.ArgumentParser(
        prog="quickstart",
        description="The main job, small: data, pretraining, fine-tuning against scratch, evaluation, report.",
    )
    parser.add_argument("--data", choices=("phantoms", "hippocampus"), default="phantoms")
    parser.add_argument("--method", choices=tuple(METHODS), default="hybridmim", help="of pretraining")
    parser.add_argument("--backbone", choices=tuple(NARROW), help="the network; default: the method's own")
    parser.add_argument("--dataset_dir", help="your data: decathlon layout, or images beside labels")
    parser.add_argument("--out", default=str(ROOT / "runs" / "quickstart"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spacing", type=float, nargs=3, default=[4.0, 4.0, 4.0], help="mm, for your own data")
    parser.add_argument("--budget", type=float, default=1.0, help="multiplies the training steps")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args(words)
    if not arguments.budget > 0:
        parser.error(f"--budget is {arguments.budget}; allowed: numbers above 0")
    return arguments, choose(arguments.method, arguments.backbone)


if __name__ == "__main__":
    parse(sys.argv[1:])
