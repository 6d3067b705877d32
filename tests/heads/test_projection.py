import pytest
import torch

from custom_components.heads import ProjectionHead


@pytest.mark.parametrize("batch", [1, 3])
def test_a_pooled_crop_becomes_one_row(batch):
    assert ProjectionHead(6)(torch.randn(batch, 6)).shape == (batch, 128)
    assert ProjectionHead(6, 5, 4)(torch.randn(batch, 6)).shape == (batch, 4)


def test_it_is_two_linear_layers_with_a_relu_between():
    torch.manual_seed(0)
    head, features = ProjectionHead(6, 5, 4), torch.randn(3, 6)
    first, second = (weight for weight in head.parameters() if weight.ndim == 2)
    (bias_1, bias_2), expected = (bias for bias in head.parameters() if bias.ndim == 1), []
    assert first.shape == (5, 6)
    assert second.shape == (4, 5)
    for row in features:
        hidden = [max(0.0, float(w @ row + b)) for w, b in zip(first, bias_1, strict=True)]
        expected.append([float(w @ torch.tensor(hidden) + b) for w, b in zip(second, bias_2, strict=True)])
    torch.testing.assert_close(head(features), torch.tensor(expected))


def test_crops_are_projected_apart():
    torch.manual_seed(0)
    head, features = ProjectionHead(6, 5, 4), torch.randn(3, 6)
    changed = features.clone()
    changed[1] += 1
    assert (head(features) != head(changed)).any(dim=1).tolist() == [False, True, False]
