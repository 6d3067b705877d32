"""Time and peak memory of one HybridMIM pretraining step, split by part; variants interleaved in one process.

A step is forward, all five losses, backward and AdamW, on noise of the default crop; see README.md beside.

    python benchmarks/pretrain_step.py --network basic_unet
    python benchmarks/pretrain_step.py --show benchmarks/results/pretrain_step_*.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import PeakMemory, Stopwatch, commit, huge_pages, machine, write_json, write_text
from monai.utils.misc import ensure_tuple_rep
from step_report import summarise, table
from step_variants import DEFAULTS, FEATURES, VARIANTS, Variant, compile_stages, make_network, whole_second_pass
from torch import Tensor

from custom_components.losses import CombinedLoss
from custom_components.masking import draw_two_level, patch_grid, patches_per_region
from custom_components.pretext import HybridMIM

RESULTS = Path(__file__).resolve().parent / "results"
WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
PATCH, REGION, MASK_RATIO, REGION_RATIO = 16, 32, 0.4, 0.75  # the defaults of pretrain_hybridmim


class Bench:
    """Networks, one per memory layout and compilation; optimizers; the batch; the step."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        self.clock = Stopwatch(self.device)
        chosen = {name: VARIANTS[name] for name in args.variants}
        self.pretexts: dict[str, HybridMIM] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        for kind in sorted({(v.channels_last, v.compile) for v in chosen.values()}):
            group = {n: v for n, v in chosen.items() if (v.channels_last, v.compile) == kind}
            self._build(group, *kind)
        self.losses = {name: CombinedLoss(self._weights(variant)) for name, variant in chosen.items()}
        self.batch = self._make_batch()
        self.failed: dict[str, str] = {}

    @staticmethod
    def _weights(variant: Variant) -> dict[str, float]:
        return {name: w for name, w in WEIGHTS.items() if variant.contrast or name != "contrast"}

    def _build(self, group: dict[str, Variant], channels_last: bool, compiled: bool) -> None:
        """Variants of one kind share network and optimizer: weights and AdamW's moments exist once."""
        torch.manual_seed(0)
        network = make_network(self.args).to(self.device)
        if channels_last:
            network = network.to(memory_format=torch.channels_last_3d)
        if compiled:
            compile_stages(network)
        for name, variant in group.items():
            pretext = HybridMIM(
                network,
                PATCH,
                REGION,
                terms=tuple(self._weights(variant)),
                window_size=self.args.window if variant.window else None,
                second_view_grad=variant.second_view_grad,
            ).to(self.device)
            backbone = pretext.backbone
            again = partial(whole_second_pass, backbone) if variant.whole_second_pass else backbone.encode_again
            backbone.encode_again = self.clock.wrap("second view", again)  # type: ignore[method-assign]
            backbone.encode = self.clock.wrap("encoder", backbone.encode)  # type: ignore[method-assign]
            backbone.decode = self.clock.wrap("decoder", backbone.decode)  # type: ignore[method-assign]
            self.pretexts[name] = pretext.train()
        # A set: the variants' pretext networks share the network's parameters. AdamW skips those that have no
        # gradient in a step, here the heads of the other variants.
        parameters = dict.fromkeys(p for name in group for p in self.pretexts[name].parameters())
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-3, fused=True)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # so that the moments exist before memory is measured
        optimizer.zero_grad(set_to_none=True)
        self.optimizers |= dict.fromkeys(group, optimizer)

    def _make_batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size, rng = self.args.size, np.random.RandomState(0)
        image = torch.rand(self.args.batch, 1, *size, generator=torch.Generator().manual_seed(0))
        grid, per_region = patch_grid(size, PATCH), patches_per_region(REGION, PATCH)
        full = np.ones(grid, dtype=bool)
        masks = [draw_two_level(full, MASK_RATIO, REGION_RATIO, per_region, rng) for _ in range(self.args.batch)]
        mask = torch.from_numpy(np.stack(masks))[:, None]
        valid = torch.ones_like(image, dtype=torch.bool)
        ids = torch.arange(self.args.batch)
        return tuple(t.to(self.device) for t in (image, mask, valid, ids))  # type: ignore[return-value]

    def watched_step(self, name: str, turn: int) -> tuple[dict[str, float], float]:
        """Take one step; return what `step` does, and its peak memory in MiB."""
        with PeakMemory(self.device) as memory:
            run = self.step(name, turn)
        return run, memory.mib

    def step(self, name: str, turn: int) -> dict[str, float]:
        """Take one step; return seconds by part, in all and of processor time, and the loss."""
        torch.manual_seed(turn)  # the same windows for all variants of a round
        image, mask, valid, ids = self.batch
        clock, variant, optimizer = self.clock, VARIANTS[name], self.optimizers[name]
        if variant.channels_last:
            image = image.contiguous(memory_format=torch.channels_last_3d)
        processor = time.process_time()
        start = clock.mark()
        with torch.autocast(self.device.type, torch.bfloat16) if variant.bf16 else nullcontext():
            outputs = self.pretexts[name](image, mask, valid)
        loss = self.losses[name](outputs, ids)["loss"]
        clock.add("forward", start)
        clock.wrap("backward", loss.backward)()
        clock.wrap("optimizer", optimizer.step)()
        clock.add("step", start)
        seconds = clock.read()
        processor = time.process_time() - processor
        optimizer.zero_grad(set_to_none=True)
        inside = sum(seconds.get(part, 0.0) for part in ("encoder", "second view", "decoder"))
        seconds["heads and losses"] = seconds.pop("forward") - inside
        return {**seconds, "processor": processor, "loss": loss.item()}


def describe(args: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    """Return what a result says beside its numbers; no paths."""
    kept = {key: getattr(args, key) for key in ("network", "size", "window", "batch", "repeats")}
    kept |= {"device": bench.device.type, "features": args.features or FEATURES[args.network]}
    if args.network == "swin_unetr":
        kept["checkpoint"] = args.checkpoint
    return {
        "benchmark": "pretrain_step",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(bench.device),
        "arguments": kept,
        "parameters": sum(p.numel() for p in bench.pretexts[args.variants[0]].network.parameters()),
        "not_measured": [name for name in VARIANTS if name not in args.variants],
        "failed": {},
    }


def warm_up(bench: Bench, names: Sequence[str]) -> dict[str, float]:
    """Take one uncounted step of each variant; return peak memory, or drop and report those that cannot run."""
    peak = {}
    for name in names:
        try:
            peak[name] = bench.watched_step(name, 0)[1]
            report(f"warm-up {name}: done")
        except Exception as error:  # of any kind: a compiler that is missing, memory, an operator without bf16
            bench.failed[name] = (str(error).splitlines() or [type(error).__name__])[0][:200]
            bench.clock.marks.clear()
            bench.optimizers[name].zero_grad(set_to_none=True)
            report(f"warm-up {name}: FAILED, left out: {bench.failed[name]}")
    return peak


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds, writing the result so far after each; return the result.

    Raises:
        SystemExit: when no variant can run.
    """
    bench = Bench(args)
    result = describe(args, bench)
    cuda, peak = bench.device.type == "cuda", warm_up(bench, args.variants)
    if not (names := list(peak)):
        raise SystemExit(f"no variant can run; the first failed with: {next(iter(bench.failed.values()))}")
    if cuda:  # cuDNN's first search for algorithms takes more memory than a step
        peak = dict.fromkeys(names, 0.0)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(1, args.repeats + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if cuda:
                run, mib = bench.watched_step(name, turn)
                peak[name] = max(peak[name], mib)
            else:  # giving back the heap and sampling would cost time
                run = bench.step(name, turn)
            runs[name].append(run)
            report(f"round {turn}/{args.repeats} {name}: {run['step']:.2f} s, loss {run['loss']:.3f}")
        texts = {name: VARIANTS[name].text for name in names}
        result |= {"failed": bench.failed, "rounds": turn, **summarise(runs, texts, peak, args.batch)}
        write_json(args.out, result)
    return result


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong value ends in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--network", choices=list(FEATURES), default="basic_unet")
    add("--features", type=int, nargs="+", help="6 widths of BasicUNet, or 1 feature size (default: the paper's)")
    add("--checkpoint", action="store_true", help="SwinUNETR with use_checkpoint, as swin_unetr.yaml has it")
    add("--variants", nargs="+", choices=list(VARIANTS), metavar="NAME", help=f"out of {', '.join(VARIANTS)}")
    add("--size", type=int, nargs="+", default=[96], help="voxels of the crop, one number or three")
    add("--window", type=int, nargs="+", default=[64], help="voxels of the decoded window, one number or three")
    add("--batch", type=int, default=1, help="at 1 the contrast is computed but has no negatives")
    add("--repeats", type=int, default=3, help="rounds after the warm-up")
    add("--threads", type=int, help="of torch (default: torch's own choice)")
    add("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    add(
        "--out",
        type=Path,
        help="result file (default: results/pretrain_step_<device>_<network>[_batchN][_hugepages].json)",
    )
    add("--table", type=Path, help="also write the table, as markdown")
    add("--show", type=Path, nargs="+", help="measure nothing; print the tables of these result files")
    args = parser.parse_args(argv)
    if args.batch < 1 or args.repeats < 1:
        parser.error(f"--batch {args.batch} and --repeats {args.repeats} must be at least 1")
    if args.features and len(args.features) != len(FEATURES[args.network]):
        parser.error(f"--features: {args.network} takes {len(FEATURES[args.network])}, found {args.features}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    for key in ("size", "window"):
        sides = getattr(args, key)
        if len(sides) not in (1, 3) or any(s <= 0 or s % REGION for s in sides):
            parser.error(f"--{key} takes one number or three, multiples of {REGION}, found {sides}")
        setattr(args, key, ensure_tuple_rep(sides[0], 3) if len(sides) == 1 else tuple(sides))
    if any(w > s for w, s in zip(args.window, args.size, strict=True)):
        parser.error(f"--window {args.window} is larger than --size {args.size}")
    args.variants = list(dict.fromkeys(args.variants or DEFAULTS[args.device]))
    suffix = f"_batch{args.batch}" * (args.batch > 1) + "_hugepages" * (args.device == "cpu" and huge_pages())
    args.out = args.out or RESULTS / f"pretrain_step_{args.device}_{args.network}{suffix}.json"
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write, or show what was written."""
    args = parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    results = [json.loads(p.read_text()) for p in args.show] if args.show else [measure(args)]
    text = "\n".join(table(result) for result in results)
    print(text)
    if args.table:
        write_text(args.table, text)


if __name__ == "__main__":
    main()
