"""What no tensor of a weights file shows, though the network's features depend on it."""

from __future__ import annotations

from monai.networks.nets.swin_unetr import PatchMergingV2

from custom_components.backbones import Backbone

MERGING = (
    "the file does not show which patch merging trained it; MONAI before 1.5 and some projects have another one. "
    "For such a file, set pretrained_format (in Python: layout) to plain_monai09, suprem or voco"
)


def unshown(backbone: Backbone, layout: str) -> list[str]:
    """Return one line for each thing that a file without a card leaves open.

    Args:
        backbone: adapter of the network.
        layout: name of the file's layout; all but ``plain`` say which patch merging trained them.
    """
    merging = any(isinstance(module, PatchMergingV2) for module in backbone.net.modules())
    lines = [MERGING] if layout == "plain" and merging else []
    if backbone.position_keys:
        heads = backbone.net.get_submodule("vit.blocks.0.attn").num_heads
        lines.append(f"the file does not show its number of attention heads; this network has {heads}")
    return lines
