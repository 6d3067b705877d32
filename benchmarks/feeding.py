"""How long a CPU takes to feed pretraining, for each kind of cache; variants take turns in one process.

It writes synthetic CT (512 x 512 x 150 voxels) to a temporary folder, prepares it with the shipped config of
pretrain_hybridmim, and measures items, steps of 2 volumes x 2 crops, building and size; see README.md.

    python benchmarks/feeding.py
    python benchmarks/feeding.py --show benchmarks/results/feeding_cpu.json
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from feeding_data import VARIANTS, files_of, make_datasets, parsed, set_samples, write_phantom
from feeding_report import table
from measuring import commit, cpu_and_wall, machine
from monai.data.dataset import Dataset, PersistentDataset
from monai.transforms.croppad.dictionary import RandSpatialCropSamplesd
from step_cli import RESULTS

from custom_components.atomic import write_text
from custom_components.store import cached_dataset

SLOW = "quarter cached"
ON_DISK = ("PersistentDataset", "store npy", "store blosc2")
VOLUMES, BATCH, STEP_SAMPLES, REPEATS = 4, 2, 2, 3


def drop_from_page_cache(paths: Iterable[Path]) -> None:
    """Ask the system to forget what it holds of files, so that the next reading comes from the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def measure_variant(
    variant: str, dataset: Dataset, collate: Any, folder: Path, seconds: dict[str, list[float]]
) -> None:
    """Measure one round of a variant: each volume with 1 and 4 crops, and steps; warm, and cold on disk."""

    def add(name: str, function: Callable[[], object], count: int) -> None:
        for kind, value in zip(("cpu", "wall"), cpu_and_wall(function), strict=True):
            seconds.setdefault(f"{name} {kind}", []).append(value / count)

    def items() -> None:
        for index in range(VOLUMES):
            dataset[index]

    def steps() -> None:
        for first in range(0, VOLUMES, BATCH):
            collate([dataset[first + k] for k in range(BATCH)])

    for name, samples, function, count in (
        ("item of 1", 1, items, VOLUMES),
        ("item of 4", 4, items, VOLUMES),
        ("step", STEP_SAMPLES, steps, VOLUMES // BATCH),
    ):
        set_samples(dataset, samples)
        if variant == SLOW:  # it reads files again, which takes seconds, whatever the number of crops is
            if name == "step":
                add(name, function, count)
            continue
        if variant in ON_DISK:
            drop_from_page_cache(files_of(variant, folder))
            add(f"cold {name}", function, count)
        function()
        add(name, lambda function=function: [function() for _ in range(REPEATS)], count * REPEATS)  # type: ignore[misc]


def build(folder: Path, names: Sequence[str]) -> dict[str, list[float]]:
    """Read every volume as today, and fill what variants keep on disk, volume by volume; return CPU seconds."""
    parser = parsed(folder)
    transform, items = parser.get_parsed_content("train#preprocessing"), parser.get_parsed_content("rank_items")
    end = next(k for k, one in enumerate(transform.transforms) if isinstance(one, RandSpatialCropSamplesd))
    stores = {name: parsed(folder, store_format=name.split()[1]) for name in names if name.startswith("store")}
    seconds: dict[str, list[float]] = {}
    for item in items:
        work: dict[str, Callable[[], object]] = {
            "reading": lambda item=item: transform(dict(item), end=end),  # type: ignore[misc]
            "PersistentDataset": lambda item=item: PersistentDataset(  # type: ignore[misc]
                [item], transform, cache_dir=folder / "persistent"
            )[0],
        }
        for name, config in stores.items():
            store, chain = (config.get_parsed_content(key) for key in ("store", "train#preprocessing"))
            work[name] = partial(cached_dataset, "store", store, [item], chain)
        for name, function in work.items():
            seconds.setdefault(name, []).append(cpu_and_wall(function)[0])
    return seconds


def measure(rounds: int, shape: tuple[int, int, int], folder: Path) -> dict[str, Any]:
    """Write the phantoms, build everything, and measure the variants in turn."""
    measured = commit()  # now, because the repository may change meanwhile
    (folder / "data").mkdir()
    for number in range(VOLUMES):
        write_phantom(folder / "data" / f"case_{number}.nii.gz", number, shape)
    skipped = [] if importlib.util.find_spec("blosc2") else ["store blosc2"]
    names = [name for name in VARIANTS if name not in skipped]
    load = [os.getloadavg()[0]]
    built = build(folder, names)
    collate = parsed(folder).get_parsed_content("collate")
    datasets = make_datasets(folder, names)
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            measure_variant(name, datasets[name], collate, folder, seconds[name])
        load.append(os.getloadavg()[0])
    variants: dict[str, dict[str, Any]] = {}
    for name in names:
        milliseconds = {key: [1000 * value for value in values] for key, values in seconds[name].items()}
        variants[name] = {"text": VARIANTS[name], "rounds": milliseconds}
        if name in ON_DISK:
            size = sum(path.stat().st_size for path in files_of(name, folder) if path.name != "index.json")
            variants[name] |= {"bytes": size / VOLUMES, "build_cpu_seconds": built[name]}
    return {
        "benchmark": "feeding",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": measured,
        "machine": machine(torch.device("cpu")),
        "load": load,
        "shape": shape,
        "rounds": rounds,
        "reading_cpu_seconds": built["reading"],
        "not_measured": skipped,
        "variants": variants,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 150], help="voxels of a volume")
    parser.add_argument("--out", type=Path, default=RESULTS / "feeding_cpu.json", help="result file")
    parser.add_argument("--show", type=Path, help="measure nothing; print the table of this result file")
    args = parser.parse_args()
    if args.show:
        print(table(json.loads(args.show.read_text(encoding="utf-8"))))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(args.rounds, tuple(args.shape), Path(folder))
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    write_text(args.out.with_suffix(".md"), table(result))
    print(table(result))


if __name__ == "__main__":
    main()
