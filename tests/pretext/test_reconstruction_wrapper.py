from __future__ import annotations

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from custom_components.masking import mask_to_voxels
from custom_components.pretext import MAE, DenseMAE, PooledFeatures, ReconstructionWrapper, SimMIM

SIZE = (64, 32, 32)


@pytest.mark.parametrize(
    "build",
    [
        lambda make: MAE(make("UNETR", 2), 16, decoder_width=24, decoder_heads=2),
        lambda make: SimMIM(make("SwinUNETR", 2), 16, normalize_targets=True),
        lambda make: DenseMAE(make("BasicUNet", 2), 16),
    ],
    ids=["MAE", "SimMIM normalised", "DenseMAE"],
)
def test_painting_windows_side_by_side_equals_the_pretext_network_on_each(build, make_network):
    pretext = build(make_network).eval()
    torch.manual_seed(0)
    image, mask = torch.randn(1, 2, 128, 32, 32), torch.rand(1, 1, 8, 2, 2) > 0.4
    valid = torch.ones(1, 1, 128, 32, 32, dtype=torch.bool)
    valid[:, :, 100:, :, 20:] = False
    hidden = mask_to_voxels(mask, 16) & valid
    stacked = torch.cat([image, hidden.float(), valid.float()], dim=1)
    with torch.no_grad():
        found = SlidingWindowInferer(SIZE, overlap=0.0)(stacked, ReconstructionWrapper(pretext))
        for part in (slice(0, 64), slice(64, 128)):
            patches = slice(part.start // 16, part.stop // 16)
            outputs = pretext(image[:, :, part], mask[:, :, patches], valid[:, :, part])
            expected = outputs.get("painting", outputs["reconstruction"])
            torch.testing.assert_close(found[:, :, part], expected, rtol=1e-4, atol=1e-5)


def test_pooled_features_are_the_mean_over_valid_cells(make_network, network_name):
    features = PooledFeatures(make_network(network_name)).eval()
    image, valid = torch.randn(2, 1, *SIZE), torch.ones(2, 1, *SIZE)
    valid[0, :, 32:] = 0
    with torch.no_grad():
        found = features(torch.cat([image, valid], dim=1))
        cells = features.backbone.encode(image).bottleneck
    half = 32 // features.backbone.stride
    torch.testing.assert_close(found[0], cells[0, :, :half].mean(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], cells[1].mean(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)
