import torch

from custom_components.heads import PatchHead


def test_each_cell_reconstructs_the_voxels_under_it_in_c_order():
    torch.manual_seed(0)
    head = PatchHead(5, channels=2, patch_size=(2, 3, 2))
    tokens = torch.rand(2, 8, 5)
    reconstruction = head(tokens, (2, 1, 4))
    assert reconstruction.shape == (2, 2, 4, 3, 8)
    for number, (d, w) in enumerate((d, w) for d in range(2) for w in range(4)):
        cut = reconstruction[:, :, 2 * d : 2 * d + 2, :, 2 * w : 2 * w + 2]
        torch.testing.assert_close(cut.flatten(1), head.linear(tokens[:, number]))
