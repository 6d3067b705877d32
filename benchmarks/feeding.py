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
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from measuring import commit, machine
from monai.data.dataset import CacheDataset, Dataset, PersistentDataset
from monai.transforms.croppad.dictionary import RandSpatialCropSamplesd
from scipy.ndimage import gaussian_filter
from step_cli import RESULTS

from custom_components.atomic import write_text
from custom_components.store import cached_dataset
from mim3d.catalog import BUNDLES
from mim3d.segment.config import build_workflow

BUNDLE = BUNDLES / "pretrain_hybridmim"
VARIANTS = {
    "cached": "cache: ram, cache_rate 1.0: every volume in memory",
    "cached and copied": "MONAI's CacheDataset with its default, a copy of the volume for each item",
    "quarter cached": "cache: ram, cache_rate 0.25: the others are read each time",
    "PersistentDataset": "MONAI's PersistentDataset: prepared volumes on disk, read whole",
    "store npy": "cache: store, store_format: npy",
    "store blosc2": "cache: store, store_format: blosc2",
}
SLOW = "quarter cached"
ON_DISK = ("PersistentDataset", "store npy", "store blosc2")
VOLUMES, BATCH, STEP_SAMPLES, REPEATS = 4, 2, 2, 3


def write_phantom(path: Path, seed: int, shape: tuple[int, int, int]) -> None:
    """Write a CT: a table, a body of smooth tissue with bones, air around it, and scanner noise."""
    rng = np.random.default_rng(seed)
    d, h, w = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    body = (d[:, None, None] / 0.85) ** 2 + (h[None, :, None] / 0.62) ** 2 + 0.05 * w[None, None, :] ** 2 < 1
    coarse = gaussian_filter(rng.standard_normal([side // 8 for side in shape], dtype=np.float32), 1.5)
    grown = torch.nn.functional.interpolate(
        torch.from_numpy(coarse / coarse.std())[None, None], shape, mode="trilinear"
    )
    tissue = grown[0, 0].numpy()
    values = np.where(body, 40 + 45 * tissue + 600 * (tissue > 2.2), np.float32(-1000))
    values[:, int(0.9 * shape[1]) : int(0.92 * shape[1])] = 100
    values += 12 * rng.standard_normal(shape, dtype=np.float32)
    image = nib.Nifti1Image(values.round().clip(-1024, 3071).astype(np.int16), np.diag([0.75, 0.75, 2.5, 1]))
    nib.save(image, path)


def parsed(folder: Path, **keys: Any) -> Any:
    """Return the config with these keys, as ``monai.bundle run`` holds it."""
    keys = {
        "dataset_dir": str(folder / "data"),
        "store_dir": str(folder / f"store_{keys.get('store_format')}"),
        **keys,
    }
    fixed = {"holdout": 0, "include_label_like": True, "num_workers": 0, "probe_interval": None}
    files = [BUNDLE / "configs" / "train.yaml"]
    return build_workflow(files, "train", bundle_root=str(BUNDLE), **{**fixed, **keys}).parser


def make_datasets(folder: Path, names: Sequence[str]) -> dict[str, Dataset]:
    """Return the dataset of each variant."""
    parser = parsed(folder)
    items = list(parser.get_parsed_content("rank_items"))
    transform = parser.get_parsed_content("train#preprocessing")
    store = parser.get_parsed_content("store")  # of no use to these variants
    found: dict[str, Dataset] = {
        "cached": cached_dataset("ram", store, items, transform),
        "cached and copied": CacheDataset(items, transform, progress=False),
        "quarter cached": cached_dataset("ram", store, items, transform, cache_rate=0.25),
        "PersistentDataset": PersistentDataset(items, transform, cache_dir=folder / "persistent"),
    }
    for name in names:
        if name.startswith("store"):
            changed = parsed(folder, cache="store", store_format=name.split()[1])
            found[name] = changed.get_parsed_content("train#dataset")
    return {name: found[name] for name in names}


def set_samples(dataset: Any, number: int) -> None:
    """Let a dataset cut so many crops from each volume."""
    for transform in dataset.transform.transforms:
        crop = transform.chain.crop if hasattr(transform, "chain") else transform
        if isinstance(crop, RandSpatialCropSamplesd):
            crop.cropper.num_samples = number


def cpu_and_wall(function: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the processor and of the clock that a call takes."""
    processor, clock = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - processor, time.perf_counter() - clock


def files_of(variant: str, folder: Path) -> list[Path]:
    """Return the files that a variant keeps on disk."""
    place = "persistent" if variant == "PersistentDataset" else f"store_{variant.split()[-1]}"
    return [path for path in (folder / place).rglob("*") if path.is_file()]


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
        medians = {key: 1000 * statistics.median(values) for key, values in seconds[name].items()}
        variants[name] = {"text": VARIANTS[name], "milliseconds": medians}
        if name in ON_DISK:
            size = sum(path.stat().st_size for path in files_of(name, folder) if path.name != "index.json")
            variants[name] |= {"bytes": size / VOLUMES, "build_cpu_seconds": statistics.median(built[name])}
    return {
        "benchmark": "feeding",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": measured,
        "machine": machine(torch.device("cpu")),
        "load": load,
        "shape": shape,
        "rounds": rounds,
        "reading_cpu_seconds": statistics.median(built["reading"]),
        "not_measured": skipped,
        "variants": variants,
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as markdown."""
    columns = [
        "step cpu",
        "cold step cpu",
        "item of 1 cpu",
        "item of 4 cpu",
        "cold item of 1 wall",
        "cold item of 4 wall",
    ]
    lines = [f"| variant | {' | '.join(columns)} | build | MB |", "|---|" + "---:|" * (len(columns) + 2)]
    for name, found in result["variants"].items():
        cells = [f"{found['milliseconds'][c]:.1f}" if c in found["milliseconds"] else "" for c in columns]
        disk = (
            [f"{found['build_cpu_seconds']:.2f}", f"{found['bytes'] / 1e6:.1f}"] if "bytes" in found else ["", ""]
        )
        lines.append(f"| {name} | {' | '.join([*cells, *disk])} |")
    facts, load = result["machine"], result["load"]
    busy = "Other programs ran beside it. " if max(load) > 1.5 else ""
    head = (
        f"{facts['cpu']}, {facts['threads']} thread, torch {facts['torch']}, monai {facts['monai']}; commit"
        f" {result['commit'][:8]}, {result['date'][:10]}; medians of {result['rounds']} interleaved rounds."
        f" {busy}Load {min(load):.1f} to {max(load):.1f}. One reading: {result['reading_cpu_seconds']:.2f} s."
    )
    ratios = [f"- {text}: {value:.3f}" for text, value in claims(result).items()]
    missing = [f"- Not measured: {', '.join(result['not_measured'])}"] if result["not_measured"] else []
    return "\n".join([head, "", *lines, "", *ratios, *missing, ""])


def claims(result: dict[str, Any]) -> dict[str, float]:
    """Return the ratios that documents quote.

    The model: the volumes do not fit into memory, so a step reads from the disk. With cache_rate 0.25, three of
    four volumes are read and prepared again; a store reads only the crops.
    """
    step = {name: found["milliseconds"] for name, found in result["variants"].items()}
    store, npy = step["store npy"], result["variants"]["store npy"]
    return {
        "CPU of a step, cold store / a quarter cached": store["cold step cpu"]
        / step["quarter cached"]["step cpu"],
        "CPU of a step, cold store / everything cached": store["cold step cpu"] / step["cached"]["step cpu"],
        "CPU of a step, cold store / everything cached and copied": store["cold step cpu"]
        / step["cached and copied"]["step cpu"],
        "CPU of a step, warm store / everything cached": store["step cpu"] / step["cached"]["step cpu"],
        "CPU of building the store / one reading": npy["build_cpu_seconds"] / result["reading_cpu_seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: %(default)s)")
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
