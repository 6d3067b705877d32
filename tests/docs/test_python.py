"""The Python that README.md and docs/handover.md show runs, with small networks, and does what the text says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from custom_components.backbones import PatchMergingMonai09, adapt
from custom_components.transfer import TransferReport
from mim3d.catalog import ROOT
from mim3d.verify.readme_commands import blocks
from tests.transfer import foreign_files as foreign

#: Arguments in the documents -> arguments of small networks.
SMALL = {
    "features=(64, 64, 128, 256, 512, 64)": "features=(4, 4, 8, 8, 16, 4)",
    "feature_size=48": "feature_size=12, depths=(2, 1, 1, 1), window_size=4",
}
BLOCKS = [
    (document, content)
    for document in ("README.md", "docs/handover.md")
    for language, content in blocks((ROOT / document).read_text(encoding="utf-8"))
    if language == "python"
]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
    """The networks whose weights are in the files that the documents name."""
    monkeypatch.chdir(tmp_path)
    unet, swin = BasicUNet(features=(4, 4, 8, 8, 16, 4)), foreign.swin(1, downsample=PatchMergingMonai09)
    torch.save(unet.state_dict(), "model.pt")
    torch.save(foreign.swinvit_2022(swin), "model_swinvit.pt")
    return {"BasicUNet": unet, "SwinUNETR": swin}


@pytest.mark.parametrize(
    ("document", "content"), BLOCKS, ids=[f"{name}:{n}" for n, (name, _) in enumerate(BLOCKS)]
)
def test_the_block_loads_the_whole_encoder(document: str, content: str, sources: dict[str, nn.Module]) -> None:
    assert any(text in content for text in SMALL)
    for text, small in SMALL.items():
        content = content.replace(text, small)
    names: dict[str, Any] = {}
    exec(content, names)
    network = names["network"]
    source = sources[type(network).__name__].state_dict()
    encoder = [key for key in source if key.startswith(adapt(network).encoder_prefixes)]
    assert len(encoder) > 10
    assert all(torch.equal(network.state_dict()[key], source[key]) for key in encoder)


def test_the_three_lines_print_what_was_loaded(sources, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[0][1].replace(*next(iter(SMALL.items()))), names)
    assert isinstance(names["report"], TransferReport)
    assert capsys.readouterr().out.splitlines() == [
        names["report"].summary(),
        "  left as initialised, on purpose: final_conv.weight, final_conv.bias",
    ]
