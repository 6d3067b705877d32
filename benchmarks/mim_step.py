"""Time and peak memory of one pretraining step of MAE, by mask ratio, and of SimMIM; they take turns.

A step is forward, L1 on masked voxels, backward and AdamW, on noise of the default crop size; see README.md.

    python benchmarks/mim_step.py --network unetr
    python benchmarks/mim_step.py --show benchmarks/results/mim_step_*.json --table benchmarks/results/mim_step.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import step_report
import torch
from monai.networks.nets.unetr import UNETR
from step_bench import StepBench, describe, noise, stack_masks
from step_bench import measure as measure_rounds
from step_cli import run, settle, sides, step_parser
from step_report import cross, peak_ratios
from torch import Tensor, nn

from custom_components.backbones import UNETRPatch8
from custom_components.losses import CombinedLoss
from custom_components.masking import draw_uniform, patch_grid
from custom_components.pretext.mae import MAE
from custom_components.pretext.simmim import SimMIM

NETWORKS = {"unetr": (UNETR, 16), "unetr_patch8": (UNETRPatch8, 8)}  # class, voxels per side of a token
LIGHT, DEEP, LINEAR = "light", "deep", "linear"


@dataclass(frozen=True)
class Variant:
    """The mask ratio, and what reconstructs: MAE's light or deep decoder, or SimMIM's linear layer."""

    ratio: float
    decoder: str
    bf16: bool = False


RATIOS = (0.25, 0.5, 0.75, 0.9)
FP32 = {
    **{f"mae-{ratio}": Variant(ratio, LIGHT) for ratio in RATIOS},
    "mae-0.75-deep": Variant(0.75, DEEP),
    "simmim-0.75": Variant(0.75, LINEAR),
}
VARIANTS = FP32 | {f"{name}-bf16": replace(variant, bf16=True) for name, variant in FP32.items()}
DEFAULTS = dict.fromkeys(("cpu", "cuda"), list(FP32))
PAIRS = {
    **{f"MAE {ratio} / SimMIM 0.75": (f"mae-{ratio}", "simmim-0.75") for ratio in RATIOS},
    **{f"MAE {ratio} / MAE 0.25": (f"mae-{ratio}", "mae-0.25") for ratio in RATIOS[1:]},
    "MAE 0.75, deep / light decoder": ("mae-0.75-deep", "mae-0.75"),
    "MAE 0.75 with deep decoder / SimMIM 0.75": ("mae-0.75-deep", "simmim-0.75"),
    **{f"bfloat16 / fp32, {name}": (f"{name}-bf16", name) for name in FP32},
}


class Bench(StepBench):
    """One network, which all variants train, with one pretext network around it per decoder."""

    name, variants, pairs = "mim_step", VARIANTS, PAIRS
    inside, rest = ("encoder",), "decoder and head"

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        torch.manual_seed(0)
        self.network = self._make_network().to(self.device)
        decoders = dict.fromkeys(VARIANTS[name].decoder for name in args.variants)
        by_decoder = {decoder: self._build(decoder) for decoder in decoders}
        self.pretexts = {name: by_decoder[VARIANTS[name].decoder] for name in args.variants}
        self.share_optimizer(args.variants)
        self.losses = dict.fromkeys(args.variants, CombinedLoss({"reconstruction": 1.0}, "l1"))
        self.image = noise(args.batch, args.size).to(self.device)
        self.valid = torch.ones_like(self.image, dtype=torch.bool)
        self.ids = torch.arange(args.batch, device=self.device)
        self.masks = {ratio: self._draw(ratio) for ratio in {VARIANTS[name].ratio for name in args.variants}}

    def _make_network(self) -> nn.Module:
        a = self.args
        make = NETWORKS[a.network][0]
        return make(1, 1, a.size, hidden_size=a.hidden, mlp_dim=a.mlp, num_heads=a.heads)

    def _build(self, decoder: str) -> nn.Module:
        """Return MAE or SimMIM around the network, its encoder timed."""
        if decoder == LINEAR:
            pretext: MAE | SimMIM = SimMIM(self.network, self.args.patch)
            encode = "encode"
        else:
            depth, width, heads = self._decoder_size(decoder)
            pretext = MAE(self.network, self.args.patch, width, depth, heads)
            encode = "encode_visible"
        timed = self.clock.wrap("encoder", getattr(pretext.backbone, encode))
        setattr(pretext.backbone, encode, timed)
        return pretext.to(self.device).train()

    def _decoder_size(self, decoder: str) -> tuple[int, int, int]:
        """Depth, width and heads; the light decoder is one block like the encoder's."""
        depth, width, heads = self.args.deep if decoder == DEEP else (1, self.args.hidden, self.args.heads)
        return depth, width, heads

    def _draw(self, ratio: float) -> Tensor:
        """Return uniform masks of the batch, the same for all variants of this ratio."""
        full, rng = np.ones(patch_grid(self.args.size, self.args.patch), dtype=bool), np.random.RandomState(0)
        masks = stack_masks([draw_uniform(full, ratio, rng) for _ in range(self.args.batch)])
        return masks.to(self.device)

    def inputs(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: D102
        return self.image, self.masks[VARIANTS[name].ratio], self.valid, self.ids

    def text(self, name: str) -> str:  # noqa: D102
        variant = VARIANTS[name]
        tokens = (self.args.patch // NETWORKS[self.args.network][1]) ** 3
        mask = self.masks[variant.ratio][0]
        masked, every = int(mask.sum()) * tokens, mask.numel() * tokens
        if variant.decoder == LINEAR:
            what = f"SimMIM, all {every} tokens encoded, {masked} of them mask tokens; one linear layer"
        else:
            depth, width, heads = self._decoder_size(variant.decoder)
            what = f"MAE, {every - masked} of {every} tokens encoded; decoder of {depth} × {width}, {heads} heads"
        trained = sum(p.numel() for p in self.pretexts[name].parameters() if p.requires_grad)
        return f"{what}; {trained / 1e6:.1f} M trained parameters" + ", bfloat16 autocast" * variant.bf16

    def summary(self, runs: dict[str, list[dict[str, float]]], peak: dict[str, float]) -> dict[str, Any]:
        """Return what every benchmark states, and the ratios of peak memory."""
        return super().summary(runs, peak) | {"peak_ratios": peak_ratios(peak, self.pairs)}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds and return the result, which is written after each round."""
    bench = Bench(args)
    arguments = {key: getattr(args, key) for key in ("hidden", "mlp", "heads", "deep")}
    arguments["unit"] = args.patch  # the key that older result files use
    return measure_rounds(bench, describe(bench, arguments, bench.network))


def table(result: dict[str, Any]) -> str:
    """Return the result as a markdown section."""
    a = result["arguments"]
    network = f"{a['network']}, hidden {a['hidden']}, MLP {a['mlp']}, {a['heads']} heads"
    return step_report.table(result, f"{network}, crop {cross(a['size'])}, patch {a['unit']}")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong value ends the program with one line."""
    parser = step_parser(__doc__, Bench.name, list(NETWORKS), list(VARIANTS))
    add = partial(parser.add_argument, type=int)
    add("--hidden", default=768, help="features of a token (default: ViT-B's 768)")
    add("--mlp", default=3072, help="features inside a block's MLP")
    add("--heads", default=12, help="attention heads; --hidden is a multiple of it")
    add("--patch", default=16, help="voxels per side of a masked patch, a multiple of the token (16; patch8: 8)")
    add("--deep", nargs=3, default=[8, 512, 8], metavar=("DEPTH", "WIDTH", "HEADS"), help="deep decoder")
    args = parser.parse_args(argv)
    settle(parser, args, DEFAULTS)
    if args.patch < 1 or args.patch % NETWORKS[args.network][1]:
        parser.error(f"--patch {args.patch} is not a multiple of {args.network}'s token")
    args.size = sides(parser, "size", args.size, args.patch)
    if min(args.hidden, args.heads, args.mlp) < 1 or args.hidden % args.heads:
        given = f"--hidden {args.hidden}, --heads {args.heads}, --mlp {args.mlp}"
        parser.error(f"{given}: numbers from 1, --hidden a multiple of --heads")
    if min(args.deep) < 1 or args.deep[1] % args.deep[2]:
        parser.error(f"--deep {args.deep}: numbers from 1, WIDTH a multiple of HEADS")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write a result, or show result files."""
    run(parse(argv), measure, table)


if __name__ == "__main__":
    main()
