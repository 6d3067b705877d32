"""The command line: ``python -m custom_components <command>``.

Each command imports what it needs when it runs, so that ``--help`` is quick and one command's missing
dependency does not stop another.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fire


def phantoms(
    out: str,
    kind: str = "abdomen_ct",
    cases: int | None = None,
    seed: int = 0,
    size: str = "small",
    training: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    unlabelled: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a seeded set of phantom volumes as NIfTI, with datalist.json and a page of pictures.

    Args:
        out: folder to write; absent or empty, or with --overwrite one that holds phantoms only.
        kind: abdomen_ct, liver_ct, spleen_ct, brain_mri or hippocampus_mri.
        cases: number of all cases (default: the sum of the sections, or 16).
        seed: same seed, same volumes.
        size: tiny, small or full: about 5, 3 or 1.3 mm for CT.
        training: labelled cases to train on (default, as below: a share of cases).
        validation: labelled cases to choose the model by.
        test: labelled cases for the end.
        unlabelled: cases without a label file.
        overwrite: replace an earlier set of phantoms in the folder.
    """
    from mim3d.phantoms import write_phantoms

    datalist = write_phantoms(
        str(out), kind, cases, seed, size, training, validation, test, unlabelled, overwrite=overwrite
    )
    print(f"data list: {datalist}")
    print(f"pictures:  {datalist.with_name('phantoms.png')}")


def datalist(
    dataset_dir: str,
    out: str | None = None,
    training: float | int | None = None,
    validation: float | int = 0.2,
    test: float | int = 0,
    seed: int = 0,
    unlabelled: str = "training+rest",
    subject_pattern: str | None = None,
    overwrite: bool = False,
) -> None:
    """Split a folder of volumes by subject and write its datalist.json.

    Args:
        dataset_dir: a decathlon task, BraTS cases, images beside labels, or any folder of NIfTI files.
        out: the file to write (default: datalist.json in the folder).
        training: share (0.8) or number (24) of the labelled subjects to train on; default: all that remain.
        validation: the same for validation.
        test: the same for the end.
        seed: of the split.
        unlabelled: "training+rest" or "rest": which images pretraining sees; never validation or test.
        subject_pattern: regular expression whose first group is the subject in a case's name.
        overwrite: replace a list that differs.
    """
    from mim3d.datasets.prepare import prepare_datalist

    path = prepare_datalist(
        str(dataset_dir),
        out=out,
        training=training,
        validation=validation,
        test=test,
        seed=seed,
        unlabelled=unlabelled,
        subject_pattern=subject_pattern,
        overwrite=overwrite,
    )
    print(f"data list: {path}")


def stack(
    dataset_dir: str | None = None,
    out: str | None = None,
    images: str | Sequence[str] | None = None,
    labels: bool = False,
    label_source: str | None = None,
    overwrite: bool = False,
) -> None:
    """Make one 4D file per case out of one file per sequence, as MONAI Label and its viewers want it.

    Args:
        dataset_dir: a folder of BraTS cases; each becomes OUT/<case>.nii.gz, channels FLAIR, T1, T1ce, T2.
        out: the folder to write to; with --images the file.
        images: instead of a folder, one case's files in the order of the channels: "[flair.nii.gz,t1.nii.gz]".
        labels: write labels too, to OUT/labels/final/<case>.nii.gz, with the values that seg_brats writes; images
            that are 4D already (MSD Task01) are then copied.
        label_source: whose values the label files hold: brats2020, brats2021, brats2023 or msd_task01.
        overwrite: replace files that exist.
    """
    from custom_components.data.brats import LABEL_SOURCES
    from mim3d.datasets.stack import stack_folder, stack_images

    if out is None:
        raise ValueError("out is missing: the folder to write to, or with --images the file")
    if (dataset_dir is None) == (images is None):
        raise ValueError("give a folder of cases, or --images with the files of one case")
    if images is not None and labels:
        raise ValueError("--labels goes with a folder of cases, not with --images")
    if labels != (label_source is not None):
        raise ValueError(f"--labels and --label_source go together; allowed sources: {', '.join(LABEL_SOURCES)}")
    if images is not None:
        files = images.strip().strip("[]()").split(",") if isinstance(images, str) else images
        files = [str(file).strip().strip("'\"") for file in files]
        print(f"image: {stack_images(files, str(out), overwrite)}")
        channels = [Path(file).name for file in files]
    else:
        written, channels = stack_folder(str(dataset_dir), str(out), label_source, overwrite)
        print(f"images: {len(written)} in {out}")
    print("channels: " + ", ".join(f"{number} {name}" for number, name in enumerate(channels)))


#: Command name -> function. Add a command here; a ValueError or OSError that it raises ends as one line.
COMMANDS: dict[str, Callable[..., Any]] = {"datalist": datalist, "phantoms": phantoms, "stack": stack}


def check_flags(argv: list[str]) -> None:
    """Raise ValueError for an unknown command or ``--flag``.

    Fire runs a command first and complains about what it could not use afterwards; a misspelled flag must end
    before anything is written.
    """
    if not argv or argv[0].startswith("-"):
        return
    if argv[0] not in COMMANDS:
        raise ValueError(f"unknown command {argv[0]!r}; allowed: {', '.join(COMMANDS)}")
    parameters = inspect.signature(COMMANDS[argv[0]]).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [*parameters, "help"]
    for word in argv[1:]:
        if word == "--":
            return
        name = word[2:].split("=")[0].replace("-", "_")
        if not word.startswith("--") or name in known or name.removeprefix("no") in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean --{near[0]}? " if near else ""
        raise ValueError(f"unknown flag --{name}; {hint}allowed: {', '.join('--' + k for k in known)}")


def main(argv: list[str] | None = None) -> None:
    """Run one command.

    Raises:
        SystemExit: with one line when the command's input is wrong.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        check_flags(words)
        fire.Fire(COMMANDS, command=words, name="custom_components")
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    main()
