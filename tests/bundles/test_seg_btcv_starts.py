"""Where a training of seg_btcv starts: from pretrained weights, also on two ranks, or from a resume point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet

from tests.bundles.btcv import CONFIGS, command, pretrained_file, run, smoke, words, workflow


def test_fine_tuning_starts_from_every_tensor_but_the_last_layer(btcv_data: Path, tmp_path: Path) -> None:
    path = pretrained_file(tmp_path)
    made = workflow(["train.yaml", "smoke.yaml"], **smoke(btcv_data, tmp_path, pretrained=str(path)))
    made.initialize()
    optimizer = made.parser.get_parsed_content("optimizer")
    network = made.parser.get_parsed_content("network_def")
    given, found = torch.load(path, weights_only=True), network.state_dict()
    fresh = {
        key for key in found if given[key].shape != found[key].shape or not torch.equal(given[key], found[key])
    }
    assert fresh == {"final_conv.weight", "final_conv.bias"}
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == set(
        map(id, network.parameters())
    )
    report = json.loads((tmp_path / "models" / "transfer.json").read_text())
    assert report["encoder_share"] == 1.0


#: Fine-tuning whose resume point, after 2 of 4 epochs, lies in another phase in turn.
PHASES: dict[str, dict[str, Any]] = {
    "from scratch": {},
    "encoder at a tenth": {},
    "frozen encoder": {"encoder_lr_factor": 0.0},
    "earlier layers slower": {"layer_decay": 0.5},
    "the decoder is trained first": {"decoder_warmup": 0.7, "warmup_share": 0.2},
    "the second warm-up": {"decoder_warmup": 0.3, "warmup_share": 0.5},
    "encoder alone transferred": {"transfer": "encoder", "decoder_warmup": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_two_and_two_epochs_equal_four(phase: str, btcv_data: Path, tmp_path: Path) -> None:
    keys = PHASES[phase] | ({} if phase == "from scratch" else {"pretrained": str(pretrained_file(tmp_path))})
    states = []
    for name, parts in (("whole", [(4, False)]), ("parts", [(2, False), (4, True)])):
        for epochs, resume in parts:
            # The schedule of four epochs in both: two alone would decay sooner.
            override = smoke(
                btcv_data, tmp_path / name, epochs=epochs, val_interval=1, total_steps=8, resume=resume
            )
            made = run(["train.yaml", "smoke.yaml"], **override, **keys)
        states.append((made.parser.get_parsed_content("network_def").state_dict(), made.trainer.state.iteration))
    (whole, steps), (parts_state, parts_steps) = states
    assert steps == parts_steps == 8
    for key, value in whole.items():
        assert torch.equal(value, parts_state[key]), key
    if phase != "from scratch":
        given = torch.load(keys["pretrained"], weights_only=True)
        key = "down_1.convs.conv_0.conv.weight"
        assert torch.equal(whole[key], given[key]) is (phase == "frozen encoder")


@pytest.mark.slow
def test_two_ranks_train_one_network_from_pretrained_weights(btcv_data: Path, tmp_path: Path) -> None:
    override = smoke(btcv_data, tmp_path, epochs=1, val_interval=1, pretrained=str(pretrained_file(tmp_path)))
    keep = tmp_path / "keep.yaml"  # what each rank ends with
    keep.write_text(f"+finalize:\n- \"$torch.save(@network_def.state_dict(), '{tmp_path}/rank%d.pt' % @rank)\"\n")
    files = [*(str(CONFIGS / name) for name in ("train.yaml", "smoke.yaml", "multi_gpu_train.yaml")), str(keep)]
    done = command(*words(files, override), processes=2)
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    BasicUNet(3, 1, 3, features=(16, 16, 32, 64, 128, 16)).load_state_dict(state, strict=True)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    given = torch.load(tmp_path / "pretrained.pt", weights_only=True)
    assert all(torch.equal(first[key], second[key]) for key in state)
    assert not any(
        torch.equal(first[key], given[key]) for key in state if key.startswith("down_4") and "weight" in key
    )
