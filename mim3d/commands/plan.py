"""``mim3d plan``: read a folder of volumes and write how to train on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import UsageError, add_data, add_datalist, add_split, given_split, number
from mim3d.catalog import METHODS, NETWORKS

DESCRIPTION = """\
Read a folder of volumes and write config layers for pretraining and segmentation into --out.

Reads every header, and the voxels of some volumes. Decides on modality, channels, spacing, intensity, network,
crop and batch, masks, classes and the length of the trainings. plan.md and the comments in the layers give the
reason of each decision and the key that changes it. Prints the commands that train.

A folder without a data list is split by subject. --validation, --test, --seed and --subject_pattern say how, as in
mim3d datalist; they are refused where a list exists."""
EXAMPLE = """\
examples:
  mim3d plan DATA --out OUT/plan --gpu_memory 40
  mim3d plan DATA --out OUT/plan --small
  mim3d plan DATA --out OUT/plan --validation 0.1 --test 0.2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add_data(parser, "the folder of volumes; mim3d datalist --help says which layouts it may have")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the layers, plan.md and its picture")
    add("--method", choices=list(METHODS), default="hybridmim", help="pretraining method (default: %(default)s)")
    add("--network", choices=list(NETWORKS), help="network of both trainings (default: that of the method)")
    add(
        "--gpu_memory",
        type=number(above=0),
        default=24.0,
        metavar="GB",
        help="memory of the GPU that crop and batch must fit into (default: %(default)g)",
    )
    add(
        "--small",
        action="store_true",
        help="plan for a CPU: narrow network, coarse spacing, small crops, few steps",
    )
    add(
        "--volumes",
        type=number(whole=True, at_least=1),
        default=16,
        metavar="N",
        help="labelled and as many unlabelled volumes to read the voxels of (default: %(default)s)",
    )
    add_datalist(parser, "datalist.json in the folder, or else one is written")
    add_split(parser)
    add("--overwrite", action="store_true", help="replace an earlier plan in the folder")


def run(arguments: argparse.Namespace) -> None:
    """Write the plan; print decisions, warnings, files and commands.

    Raises:
        UsageError: if the method does not pretrain the network.
        ValueError: for a folder that cannot be planned for.
    """
    method = METHODS[arguments.method]
    if arguments.network and arguments.network not in method.layers:
        raise UsageError(
            f"--method {method.name} does not go with --network {arguments.network}; it goes with:"
            f" {', '.join(method.layers)}"
        )
    from mim3d.plan.decide import Options
    from mim3d.plan.document import shown_value
    from mim3d.plan.make_plan import make_plan

    given = vars(arguments)
    options = Options(method, arguments.network, arguments.gpu_memory, arguments.small)
    others = {key: given[key] for key in ("dataset_dir", "out", "volumes", "datalist", "overwrite")}
    plan = make_plan(options=options, split=given_split(arguments), **others)
    for made in plan.decisions:
        if made.shown:
            print(f"{'/'.join(made.layers):17} {made.key}: {shown_value(made.value)}")
    for warning in plan.warnings:
        print(f"warning: {warning}")
    print(f"wrote {', '.join(str(path) for path in plan.files)}")
    for about, command in plan.commands:
        print(f"\n# {about}\n{command}")
    if not arguments.small:
        print("\nFor a CPU, plan with --small.")
