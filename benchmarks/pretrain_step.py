"""Time and peak memory of one HybridMIM pretraining step, by part; variants take turns in one process.

A step is forward, all five loss terms, backward and AdamW, on noise of the default crop size; see README.md.

    python benchmarks/pretrain_step.py --network basic_unet
    python benchmarks/pretrain_step.py --show benchmarks/results/pretrain_step_*.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import step_report
import torch
from released_step import SIZE, ReleasedStep, make_loss
from step_bench import StepBench, describe, noise, stack_masks
from step_bench import measure as measure_rounds
from step_cli import run, settle, sides, step_parser
from step_report import cross, time_ratio
from step_variants import (
    DEFAULTS,
    FEATURES,
    PAIRS,
    RELEASED_CODE,
    SWIN,
    VARIANTS,
    Variant,
    make_network,
    padded_upcat,
    whole_second_pass,
)
from swin_attention import changed
from torch import Tensor

from custom_components.backbones.convolutional import BasicUNetBackbone
from custom_components.losses import CombinedLoss
from custom_components.masking import draw_two_level, patch_grid, patches_per_region
from custom_components.pretext import HybridMIM

WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
PATCH, REGION, MASK_RATIO, REGION_RATIO = 16, 32, 0.4, 0.75  # as in paper.yaml of pretrain_hybridmim


class Bench(StepBench):
    """HybridMIM's networks, one per memory layout and compilation."""

    name, variants, pairs = "pretrain_step", VARIANTS, PAIRS
    inside, rest = ("encoder", "second view", "decoder"), "heads and losses"

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        chosen = {name: VARIANTS[name] for name in args.variants}
        ours = {name: variant for name, variant in chosen.items() if not variant.released_code}
        for kind in sorted({(v.channels_last, v.compile) for v in ours.values()}):
            group = {n: v for n, v in ours.items() if (v.channels_last, v.compile) == kind}
            self._build(group, *kind)
        self.losses |= {name: CombinedLoss(self._weights(variant)) for name, variant in ours.items()}
        for name in args.variants:
            if name not in ours:
                self._build_released(name)
        self.batch = self._make_batch()

    @staticmethod
    def _weights(variant: Variant) -> dict[str, float]:
        return {name: w for name, w in WEIGHTS.items() if variant.contrast or name != "contrast"}

    def _build(self, group: dict[str, Variant], channels_last: bool, compiled: bool) -> None:
        """Build variants of one kind, which share network and optimizer."""
        torch.manual_seed(0)
        network = make_network(self.args).to(self.device)
        if channels_last:
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stub
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
            again = (
                partial(whole_second_pass, backbone) if variant.whole_second_pass else backbone.encode_second_view
            )
            if not compiled:  # reading a clock would cut the graph into pieces
                backbone.encode_second_view = self.clock.wrap("second view", again)  # type: ignore[method-assign]
                backbone.encode = self.clock.wrap("encoder", backbone.encode)  # type: ignore[method-assign]
                backbone.decode = self.clock.wrap("decoder", backbone.decode)  # type: ignore[method-assign]
            if variant.upcat_pads and isinstance(backbone, BasicUNetBackbone):
                backbone.run_upcat = partial(padded_upcat, network)  # type: ignore[method-assign]
            self.pretexts[name] = pretext.train()
            if compiled:
                pretext.compile()
        self.share_optimizer(list(group))

    def _build_released(self, name: str) -> None:
        """Build a variant from the clone of the released code."""
        torch.manual_seed(0)
        # Its decoder ends as wide as its encoder begins, so it takes five widths.
        features = (self.args.features or FEATURES["basic_unet"])[:5]
        step = ReleasedStep(self.args.released, features, VARIANTS[name].window, self.clock).to(self.device)
        self.pretexts[name], self.optimizers[name] = step.train(), step.make_optimizer()
        self.losses[name] = make_loss(self.args.released, WEIGHTS)

    def _make_batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size, rng = self.args.size, np.random.RandomState(0)
        image = noise(self.args.batch, size)
        grid, per_region = patch_grid(size, PATCH), patches_per_region(REGION, PATCH)
        full = np.ones(grid, dtype=bool)
        masks = [draw_two_level(full, MASK_RATIO, REGION_RATIO, per_region, rng) for _ in range(self.args.batch)]
        valid = torch.ones_like(image, dtype=torch.bool)
        ids = torch.arange(self.args.batch)
        return tuple(t.to(self.device) for t in (image, stack_masks(masks), valid, ids))  # type: ignore[return-value]

    def inputs(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: D102
        image, mask, valid, ids = self.batch
        if VARIANTS[name].channels_last:
            image = image.contiguous(memory_format=torch.channels_last_3d)
        return image, mask, valid, ids

    def step(self, name: str, turn: int) -> dict[str, float]:  # noqa: D102
        with changed(VARIANTS[name].kept_masks, VARIANTS[name].one_call_attention):
            return super().step(name, turn)

    def text(self, name: str) -> str:  # noqa: D102
        return VARIANTS[name].text

    def summary(self, runs: dict[str, list[dict[str, float]]], peak: dict[str, float]) -> dict[str, Any]:
        """Return what every benchmark states, and the share of the second view."""
        result = super().summary(runs, peak)
        second = {}
        for name in (name for name in ("window", "window-nograd", "released") if name in runs):
            second[name] = {"second pass, forward": result["variants"][name]["share"]["second view"]}
            if (bare := time_ratio(runs, "window-nocontrast", name)) is not None:
                second[name]["with its backward"] = round(1 - bare, 3)
        return result | {"second_view_share_of_step": second}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds and return the result, which is written after each round."""
    bench = Bench(args)
    arguments = {"window": args.window, "features": args.features or FEATURES[args.network]}
    if args.network == "swin_unetr":
        arguments["checkpoint"] = args.checkpoint
    return measure_rounds(
        bench, describe(bench, arguments, bench.pretexts[args.variants[0]].get_submodule("network"))
    )


def table(result: dict[str, Any]) -> str:
    """Return the result as a markdown section."""
    a = result["arguments"]
    features, size, window = "-".join(map(str, a["features"])), cross(a["size"]), cross(a["window"])
    facts = []
    for name, shares in result["second_view_share_of_step"].items():
        text = "; ".join(f"{what} {100 * share:.1f} %" for what, share in shares.items())
        facts.append(f"Share of the step, {name}: {text}")
    return step_report.table(result, f"{a['network']} {features}, crop {size}, window {window}", facts)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong value ends the program with one line."""
    parser = step_parser(__doc__, Bench.name, list(FEATURES), list(VARIANTS))
    add = parser.add_argument
    add("--features", type=int, nargs="+", help="6 widths of BasicUNet, or 1 feature size (default: the paper's)")
    add("--checkpoint", action="store_true", help="SwinUNETR with use_checkpoint, as swin_unetr.yaml has it")
    add("--window", type=int, nargs="+", default=[64], help="voxels of the decoded window, one number or three")
    add("--released", type=Path, help="a clone of the released HybridMIM code, for the variants released-code*")
    args = parser.parse_args(argv)
    own = SWIN if args.network == "swin_unetr" else []
    settle(parser, args, {device: [*names, *own] for device, names in DEFAULTS.items()})
    if args.network != "swin_unetr" and (wrong := [name for name in args.variants if name in SWIN]):
        parser.error(f"--variants {' '.join(wrong)}: of SwinUNETR alone; found --network {args.network}")
    if args.features and len(args.features) != len(FEATURES[args.network]):
        parser.error(f"--features: {args.network} takes {len(FEATURES[args.network])}, found {args.features}")
    for key in ("size", "window"):
        setattr(args, key, sides(parser, key, getattr(args, key), REGION))
    if any(w > s for w, s in zip(args.window, args.size, strict=True)):
        parser.error(f"--window {args.window} is larger than --size {args.size}")
    check_released(parser, args)
    return args


def check_released(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse the variants of the released code where they cannot run."""
    chosen = [name for name in args.variants if name in RELEASED_CODE]
    if chosen and (args.network != "basic_unet" or set(args.size) != {SIZE}):
        parser.error(
            f"--variants {' '.join(chosen)}: the released code takes --network basic_unet and --size {SIZE}"
        )
    if chosen and not (args.released and (args.released / "Pretrain" / "pretrain_models").is_dir()):
        parser.error(f"--released {args.released} is no clone of the released code (github.com/ge-xing/HybridMIM)")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write a result, or show result files."""
    run(parse(argv), measure, table)


if __name__ == "__main__":
    main()
