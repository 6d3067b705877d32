"""Resume on two ranks: two epochs and two resumed ones leave what four epochs leave, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.phantoms import write_phantoms
from tests.bundles.commands import launch, scalars
from tests.bundles.pretraining import OWN, small

pytestmark = pytest.mark.slow
SMALL = {"roi_size": [32, 32, 32], "num_samples": 1, **small("BasicUNet")}
#: Of each bundle: the phantoms, the module that is compared on both ranks, and keys that make a run small.
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pretrain_hybridmim": (
        "abdomen_ct",
        "@pretext",
        {"spacing": [8.0, 8.0, 8.0], "ema_decay": 0.5, **OWN["pretrain_hybridmim"]},
    ),
    "seg_msd_hippocampus": ("hippocampus_mri", "@network", {"spacing": [3.0, 3.0, 3.0]}),
}


@pytest.mark.parametrize("bundle", RUNS)
def test_two_epochs_and_two_resumed_equal_four_on_two_ranks(
    bundle: str, tmp_path: Path, load: Callable[[Path], dict[str, Any]], same: Callable[[Any, Any], bool]
) -> None:
    phantoms, module, own = RUNS[bundle]
    data = tmp_path / "data"
    write_phantoms(data, phantoms, size="tiny", training=4, validation=2, test=0, unlabelled=4, progress=False)
    keep = tmp_path / "keep.yaml"  # what each rank ends with
    keep.write_text(f"+run:\n- \"$torch.save({module}.state_dict(), @ckpt_dir + '/rank%d.pt' % @rank)\"\n")

    def train(name: str, epochs: int, **keys: Any) -> None:
        folder = tmp_path / name
        places = {"dataset_dir": data, "ckpt_dir": folder, "output_dir": folder}
        # The schedule of four epochs in all: two epochs alone would decay sooner.
        length = {"epochs": epochs, "val_interval": 1, "batch_size": 1, "total_steps": 8}
        files = ["train.yaml", "smoke.yaml", "multi_gpu_train.yaml", str(keep)]
        done = launch(bundle, files, ranks=2, **{**SMALL, **own, **places, **length, **keys})
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    train("halves", 2)
    assert load(tmp_path / "halves" / "resume.pt")["trainer"]["iteration"] == 4
    train("halves", 4, resume=True)
    train("whole", 4)
    ends = [load(tmp_path / name / f"rank{rank}.pt") for name in ("halves", "whole") for rank in (0, 1)]
    assert all(same(ends[0], end) for end in ends[1:])
    halves, whole = (load(tmp_path / name / "resume.pt") for name in ("halves", "whole"))
    assert halves["trainer"]["epoch"] == 4
    assert [key for key in whole if not same(halves[key], whole[key])] == []
    assert same(*(load(tmp_path / name / "model.pt") for name in ("halves", "whole")))
    logged = [scalars(tmp_path / name) for name in ("halves", "whole")]
    assert logged[0] == logged[1]
    assert 8 in map(len, logged[1].values()), "the loss of each step"
