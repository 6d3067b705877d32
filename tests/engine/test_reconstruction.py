"""Whole volumes are reconstructed window by window, each as the method would see it in pretraining."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator

from custom_components.engine import MaskedWindowInferer, prepare_reconstruction_batch
from custom_components.pretext import MAE, DenseMAE, SimMIM

SIZE = (64, 32, 32)
BUILD = {
    "MAE": lambda make: MAE(make("UNETR", 2), 16, decoder_width=24, decoder_heads=2),
    "SimMIM normalised": lambda make: SimMIM(make("SwinUNETR", 2), 16, normalize_targets=True),
    "DenseMAE": lambda make: DenseMAE(make("BasicUNet", 2), (16, 8, 32)),
}


@pytest.mark.parametrize("method", BUILD)
def test_each_window_is_what_the_pretext_network_returns_for_it(method, make_network):
    pretext = BUILD[method](make_network).eval()
    torch.manual_seed(0)
    patch = pretext.patch_size
    image, mask = (
        torch.randn(1, 2, 128, 32, 64),
        torch.rand(1, 1, 128 // patch[0], 32 // patch[1], 64 // patch[2]) > 0.4,
    )
    valid = torch.ones(1, 1, 128, 32, 64, dtype=torch.bool)
    valid[:, :, 100:, :, 20:] = False
    with torch.no_grad():
        found = MaskedWindowInferer(SIZE)(image, pretext, mask, valid)
        for d in (0, 64):
            for w in (0, 32):
                cut = (slice(None), slice(None), slice(d, d + 64), slice(None), slice(w, w + 32))
                cells = (*cut[:2], slice(d // patch[0], (d + 64) // patch[0]), cut[3])
                cells = (*cells, slice(w // patch[2], (w + 32) // patch[2]))
                outputs = pretext(image[cut], mask[cells], valid[cut])
                expected = outputs.get("rescaled_reconstruction", outputs["reconstruction"])
                torch.testing.assert_close(found[cut], expected)


def test_an_evaluator_hands_the_mask_to_the_inferer_and_keeps_the_images_metadata(make_network):
    pretext = BUILD["DenseMAE"](make_network).eval()
    image = MetaTensor(
        torch.randn(2, *SIZE), torch.diag(torch.tensor([2.0, 1, 1, 1])), {"filename_or_obj": "a.nii"}
    )
    sample = {
        "image": image,
        "mask": torch.rand(1, 4, 4, 1) > 0.5,
        "valid": torch.ones(1, *SIZE, dtype=torch.bool),
    }
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset([sample])),
        network=pretext,
        prepare_batch=prepare_reconstruction_batch,
        inferer=MaskedWindowInferer(SIZE),
    )
    evaluator.run()
    pred = evaluator.state.output[0]["pred"]
    with torch.no_grad():
        expected = pretext(image.as_tensor()[None], sample["mask"][None])["reconstruction"][0]
    torch.testing.assert_close(pred.as_tensor(), expected)
    assert torch.equal(pred.affine.float(), image.affine.float())
    assert pred.meta["filename_or_obj"] == "a.nii"


def test_a_volume_that_windows_do_not_fill_raises(make_network):
    pretext, image = BUILD["DenseMAE"](make_network), torch.zeros(1, 2, 96, 32, 32)
    with pytest.raises(ValueError, match="not a multiple"):
        MaskedWindowInferer(SIZE)(image, pretext, torch.zeros(1, 1, 6, 4, 1).bool(), image[:, :1].bool())
