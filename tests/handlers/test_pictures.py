"""Pictures of image, mask and reconstruction."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from custom_components.engine import (
    PretrainEvaluator,
    SaveReconstructionPaneld,
    prepare_view_batch,
    reconstruction_panel,
)
from custom_components.handlers import ReconstructionPictures
from custom_components.losses import CombinedLoss
from custom_components.pretext import HybridMIM, SimCLR


def images_of(figure):
    """The array under each axis, rows of the panel first."""
    return [axis.images[0].get_array() for axis in figure.axes]


def test_panel_shows_the_central_planes_and_combines_image_and_reconstruction():
    image = torch.rand(2, 8, 6, 4)
    reconstruction = 5 + torch.rand(2, 8, 6, 4)
    mask = torch.zeros(1, 8, 6, 4, dtype=torch.bool)
    mask[:, 4:, :3] = True
    shown = images_of(reconstruction_panel(image, mask, reconstruction, channel=1))
    assert len(shown) == 12
    for axis, plane in enumerate((4, 3, 2)):
        picture, masked, reconstructed, combined = shown[4 * axis : 4 * axis + 4]
        cut = [np.rot90(np.take(t[-1].numpy(), plane, axis=axis)) for t in (image, reconstruction, mask)]
        np.testing.assert_array_equal(picture, cut[0])
        np.testing.assert_array_equal(reconstructed, cut[1])
        np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.masked_invalid(masked)), cut[2])
        np.testing.assert_array_equal(combined, np.where(cut[2], cut[1], cut[0]))


def test_panel_of_a_constant_image_is_drawn():
    shown = images_of(
        reconstruction_panel(torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, 4).bool(), torch.zeros(1, 4, 4, 4))
    )
    assert len(shown) == 12


@pytest.fixture
def evaluator(make_network, make_samples):
    def evaluator(handler, terms=("reconstruction",), **kwargs):
        return PretrainEvaluator(
            device="cpu",
            val_data_loader=DataLoader(Dataset(make_samples(2)), batch_size=2),
            network=HybridMIM(make_network("BasicUNet"), 16, 16, terms=terms),
            loss_function=CombinedLoss(dict.fromkeys(terms, 1.0)),
            val_handlers=[handler],
            **kwargs,
        )

    return evaluator


def test_a_validation_writes_one_png_and_an_event_file(evaluator, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    handler = ReconstructionPictures(str(tmp_path / "logs"), str(tmp_path / "pictures"))
    engine = evaluator(handler, amp=True)  # bfloat16, which numpy does not know
    for epoch in (1, 2):
        engine.run(global_epoch=epoch)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["reconstruction.png"]
    picture = matplotlib.image.imread(tmp_path / "pictures" / "reconstruction.png")
    assert picture.shape[0] > 300
    assert picture[..., :3].std() > 0.05
    events = EventAccumulator(str(tmp_path / "logs"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Images("reconstruction")] == [1, 2]


class Normalised(torch.nn.Module):
    """A pretext network with normalised targets, whose rescaled outputs are in the image's unit."""

    patch_size = (16, 16, 16)

    def forward(self, image, mask, valid):
        normal = {name: torch.zeros_like(image) for name in ("reconstruction", "reconstruction_target")}
        rescaled = {"rescaled_reconstruction": image + 7, "rescaled_target": image}
        return {**normal, **rescaled, "reconstruction_mask": valid}


@pytest.mark.parametrize("normalised", [True, False])
def test_what_is_drawn_is_in_the_images_unit(evaluator, make_samples, monkeypatch, normalised):
    drawn = []
    monkeypatch.setattr(
        "custom_components.handlers.pictures.reconstruction_panel", lambda *args: drawn.append(args)
    )
    engine = evaluator(ReconstructionPictures())
    if normalised:
        engine.network = Normalised()
    engine.run()
    ((image, masked, reconstruction, channel),) = drawn
    sample = make_samples(2)[0]  # the first of the batch
    assert torch.equal(image, sample["image"])
    assert torch.equal(masked[:, ::16, ::16, ::16], sample["mask"])
    assert channel == 0
    wanted = sample["image"] + 7 if normalised else engine.state.last_outputs["reconstruction"][0]
    assert torch.equal(reconstruction, wanted)


def test_two_views_are_no_picture(make_network, make_samples, tmp_path):
    samples = [{**s, "image_2": s["image"].flip(1), "valid_2": s["valid"]} for s in make_samples(2)]
    PretrainEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(samples), batch_size=2),
        network=SimCLR(make_network("BasicUNet"), 16, 8),
        loss_function=CombinedLoss({"contrast": 1.0}),
        prepare_batch=prepare_view_batch,
        val_handlers=[ReconstructionPictures(str(tmp_path / "logs"), str(tmp_path / "pictures"))],
    ).run()
    assert not list(tmp_path.iterdir())


def test_without_reconstruction_or_folders_nothing_is_written(evaluator, tmp_path):
    evaluator(ReconstructionPictures(None, str(tmp_path)), terms=("count",)).run()
    evaluator(ReconstructionPictures()).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["case_7.nii.gz", "case_7.nii"])
def test_a_panel_per_volume_bears_the_volumes_name(tmp_path, name):
    image = MetaTensor(torch.rand(1, 8, 8, 8), meta={"filename_or_obj": f"folder/{name}"})
    data = {"original": image, "masked_voxels": image > 0.5, "pred": torch.rand(1, 8, 8, 8)}
    assert SaveReconstructionPaneld(str(tmp_path))(data) is data
    assert matplotlib.image.imread(tmp_path / "case_7" / "case_7_panel.png").shape[0] > 300
