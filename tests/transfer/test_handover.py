"""Plain MONAI networks, their subclasses and wrapped ones get the encoder that was pretrained here."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, SegResNet, SwinUNETR
from torch import nn

from custom_components.backbones import adapt
from custom_components.pretext import HybridMIM
from custom_components.transfer import load_pretrained
from mim3d.catalog import NETWORKS as CATALOG

#: As a reader of MONAI's documentation builds them, for five classes and crops of 64 x 32 x 32 voxels.
PLAIN = {
    "BasicUNet": lambda: BasicUNet(
        spatial_dims=3, in_channels=1, out_channels=5, features=CATALOG["basic_unet"].tiny["features"]
    ),
    "SegResNet": lambda: SegResNet(init_filters=8, in_channels=1, out_channels=5, blocks_down=(1, 1, 2, 1)),
    "SwinUNETR": lambda: SwinUNETR(in_channels=1, out_channels=5, **CATALOG["swin_unetr"].tiny),
    "UNETR": lambda: UNETR(1, 5, (64, 32, 32), feature_size=6, hidden_size=24, mlp_dim=48, num_heads=2),
}


def encoder_outputs(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each leaf module of the encoder returns in a forward pass, by its name."""
    outputs, hooks = {}, []
    for name, module in network.named_modules():
        if name.startswith(adapt(network, subclasses=True).encoder_prefixes) and not list(module.children()):
            keep = lambda module, args, output, name=name: outputs.update({name: output})  # noqa: E731
            hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        network.eval()(image)
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.fixture(params=list(PLAIN))
def name(request):
    return request.param


@pytest.fixture
def pretrained(make_network, name, tmp_path):
    """A network that a pretext class holds, and its model.pt and pretext.pt."""
    source = make_network(name, 1, 1, seed=1)
    pretext = HybridMIM(source)
    with torch.no_grad():
        for parameter in pretext.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    torch.save(source.state_dict(), tmp_path / "model.pt")
    torch.save(pretext.state_dict(), tmp_path / "pretext.pt")
    return source


@pytest.mark.parametrize("file", ["model.pt", "pretext.pt"])
def test_every_encoder_module_of_plain_monai_returns_what_ours_returns(pretrained, name, tmp_path, file):
    torch.manual_seed(2)
    network, image = PLAIN[name](), torch.randn(1, 1, 64, 32, 32)
    before = encoder_outputs(network, image)
    with pytest.raises(RuntimeError, match="size mismatch"):  # PyTorch's own way
        network.load_state_dict(pretrained.state_dict(), strict=False)
    network = PLAIN[name]()
    report = load_pretrained(network, tmp_path / file)
    ours, plain = encoder_outputs(pretrained, image), encoder_outputs(network, image)
    assert len(plain) > 8
    assert plain.keys() == ours.keys() == before.keys()
    assert all(torch.equal(plain[key], ours[key]) for key in ours)
    assert any(not torch.equal(plain[key], before[key]) for key in ours)
    assert report.encoder_share == 1.0
    assert report.layout == "plain"
    assert network(image).shape == (1, 5, 64, 32, 32)


def test_a_subclass_gets_the_tensors_of_its_base(pretrained, name, tmp_path):
    class Mine(type(PLAIN[name]())):  # type: ignore[misc]
        def forward(self, x):
            return 2 * super().forward(x)

    network = PLAIN[name]()
    network.__class__ = Mine
    with pytest.raises(ValueError, match="no backbone adapter for Mine"):
        adapt(network)
    report = load_pretrained(network, tmp_path / "model.pt")
    assert report.encoder_share == 1.0
    for key in report.matched:
        assert torch.equal(network.state_dict()[key], pretrained.state_dict()[key])


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda network: torch.compile(network, backend="eager")])
def test_the_network_within_a_wrapper_gets_the_tensors(make_network, tmp_path, wrap):
    source, network = make_network("BasicUNet", 1, 1, seed=1), make_network("BasicUNet", 1, 5, seed=2)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    report = load_pretrained(nn.DataParallel(wrap(network)), tmp_path / "model.pt")
    assert len(report.matched) == len(network.state_dict()) - 2
    assert all(torch.equal(network.state_dict()[key], source.state_dict()[key]) for key in report.matched)


def test_another_network_is_refused_with_the_known_ones(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="no backbone adapter for Linear; known networks: BasicUNet, SegResNet"):
        load_pretrained(nn.Linear(1, 1), tmp_path / "model.pt")


def test_a_deeper_encoder_does_not_fit_a_shallower_one(make_network, tmp_path):
    source = SegResNet(init_filters=8, blocks_down=(1, 1, 2, 2))
    torch.save(source.state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"found, 100% needed \(down_layers.3.2.norm1.weight: only in the file"):
        load_pretrained(make_network("SegResNet", 1, 5), tmp_path / "model.pt")


def test_norms_that_older_monai_built_into_transformer_blocks_are_no_surplus(make_network, tmp_path):
    state = make_network("UNETR", seed=1).state_dict()
    state["vit.blocks.0.cross_attn.out_proj.weight"] = torch.zeros(24, 24)
    torch.save(state, tmp_path / "model.pt")
    report = load_pretrained(make_network("UNETR", 1, 3), tmp_path / "model.pt")
    assert report.encoder_share == 1.0
    assert report.unexpected == ["vit.blocks.0.cross_attn.out_proj.weight"]
