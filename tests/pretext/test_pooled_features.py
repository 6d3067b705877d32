from __future__ import annotations

import torch

from custom_components.pretext import PooledFeatures

SIZE = (64, 32, 32)


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
