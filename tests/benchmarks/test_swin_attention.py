from __future__ import annotations

import pytest
import torch
from monai.networks.nets import SwinUNETR


@pytest.mark.slow
@pytest.mark.parametrize("one_call", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_changes_leave_outputs_and_gradients_as_they_are(load_script, one_call, batch):
    """Crops that are no cubes, with shifted windows in every stage, and sides that windows must pad."""
    swin_attention = load_script("swin_attention")
    torch.manual_seed(0)
    network = SwinUNETR(2, 3, feature_size=12, depths=(2, 2, 2, 2), window_size=(3, 2, 3)).double()
    image = torch.randn(batch, 2, 64, 32, 32, dtype=torch.float64)
    found = []
    # The second of the changed passes uses the masks that the first has made.
    for changes in ((False, False), (True, one_call), (True, one_call)):
        network.zero_grad()
        with swin_attention.changed(*changes):
            output = network(image)
            output.square().mean().backward()
        found.append([output, *(p.grad for p in network.parameters() if p.grad is not None)])
    for changed in found[1:]:
        torch.testing.assert_close(changed, found[0], rtol=1e-9, atol=1e-12)


def test_monais_classes_are_as_before_afterwards(load_script):
    from monai.networks.nets import swin_unetr

    swin_attention = load_script("swin_attention")
    before = swin_unetr.compute_mask, swin_unetr.WindowAttention.forward
    with swin_attention.changed(True, True):
        assert swin_unetr.compute_mask is not before[0]
        assert swin_unetr.WindowAttention.forward is not before[1]
    assert (swin_unetr.compute_mask, swin_unetr.WindowAttention.forward) == before
