import pytest
import torch

from custom_components.heads import ContrastHead


@pytest.mark.parametrize("batch", [1, 3])
def test_a_crop_of_any_shape_becomes_one_row(batch):
    assert ContrastHead(6)(torch.randn(batch, 6, 2, 1, 3)).shape == (batch, 384)
    assert ContrastHead(6, out_features=16)(torch.randn(batch, 6, 1, 1, 1)).shape == (batch, 16)


def test_every_cell_counts_alike():
    torch.manual_seed(0)
    head, bottleneck = ContrastHead(6, 4), torch.randn(2, 6, 2, 3, 2, requires_grad=True)
    torch.testing.assert_close(head(bottleneck), head(bottleneck.flip(2).transpose(3, 4)))
    head(bottleneck).sum().backward()
    assert (bottleneck.grad == bottleneck.grad[:, :, :1, :1, :1]).all()
    assert bottleneck.grad.abs().sum() > 0


def test_padded_cells_do_not_count():
    torch.manual_seed(0)
    head, bottleneck = ContrastHead(6, 4), torch.randn(2, 6, 2, 3, 2)
    valid = torch.ones(2, 1, 2, 3, 2, dtype=torch.bool)
    valid[0, :, 1] = False
    spoiled = torch.where(valid, bottleneck, torch.full_like(bottleneck, 1e3))
    torch.testing.assert_close(head(bottleneck, valid), head(spoiled, valid))
    torch.testing.assert_close(head(bottleneck, valid)[:1], head(bottleneck[:1, :, :1]))
    torch.testing.assert_close(head(bottleneck, torch.ones_like(valid)), head(bottleneck))
