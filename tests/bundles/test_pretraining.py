"""What every pretraining bundle promises, read off its configs; test_pretraining_steps.py trains with them.

test_pretrain_hybridmim.py has what is HybridMIM's own; test_pretraining_runs.py runs the others as a user does.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from scipy.ndimage import zoom

from custom_components.losses import supported_terms
from custom_components.masking import FixedPatchMaskd
from custom_components.transfer import compare_networks
from tests.bundles.pretraining import (
    ALONE,
    BUNDLES,
    LAYERS,
    METHODS,
    NAMES,
    OWN,
    ROWS,
    TINY,
    VIEWS,
    network_of,
    parse,
    pretext_of,
    seg_layer,
    small,
    trained_of,
)

TRAIN_ONLY = ("evaluate.yaml", "multi_gpu_train.yaml")
FIT_BOTH = [*ALONE, *((bundle, layer) for bundle, layer in LAYERS if layer not in TRAIN_ONLY)]
bundles = pytest.mark.parametrize("bundle", NAMES)


@pytest.fixture
def _multi_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_every_pretraining_bundle_is_in_the_catalog() -> None:
    assert set(NAMES) == set(METHODS)


# --- every layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bundle", "layer"), [*ALONE, *LAYERS])
@pytest.mark.usefixtures("_multi_process")
def test_layer_resolves_to_its_network_and_a_pretext_around_it(bundle: str, layer: str | None) -> None:
    parser = parse(bundle, layer)
    name = network_of(bundle, layer)
    # Shapes alone, which is quick; MONAI's SwinUNETR reads a number of a tensor while it is built.
    with nullcontext() if name == "SwinUNETR" else torch.device("meta"):
        network, pretext = (parser.get_parsed_content(key) for key in ("network_def", "pretext"))
    assert type(network).__name__ == name
    assert type(pretext).__name__ == pretext_of(bundle, layer)
    assert pretext.network is network
    assert set(parser.get_parsed_content("loss").terms) <= set(supported_terms(pretext.outputs))
    assert set(parser.get_parsed_content("card#trained")) == set(trained_of(bundle, layer))
    assert parser.get_parsed_content("card#method") == METHODS[bundle]
    channels = len(parser.get_parsed_content("channels"))
    assert (pretext.backbone.in_channels, pretext.backbone.out_channels) == (channels, channels)
    stated = {"channels", "orientation", "spacing", "roi_size", "intensity"}
    assert set(parser.get_parsed_content("view")) == stated
    for key in ("train#preprocessing", "validate#preprocessing", "collate", "prepare_batch", "checks"):
        parser.get_parsed_content(key)
    assert parser.get_parsed_content("key_metric").removeprefix("val_") in parser.get_parsed_content(
        "validation_metrics"
    )


@pytest.mark.parametrize(("bundle", "layer"), FIT_BOTH)
def test_inference_takes_the_layer_too(bundle: str, layer: str | None) -> None:
    train, inference = parse(bundle, layer), parse(bundle, layer, first="inference.yaml")
    for key in ("channels", "spacing", "roi_size"):
        assert inference.get_parsed_content(key) == train.get_parsed_content(key), key
    assert dict(inference["architecture"]) == dict(train["architecture"])
    inference.get_parsed_content("preprocessing")


@pytest.mark.parametrize("bundle", ["pretrain_mae", "pretrain_simmim", "pretrain_simclr"])
@pytest.mark.parametrize("layer", [None, "unetr_patch8.yaml"])
def test_published_widths_are_the_defaults(bundle: str, layer: str | None) -> None:
    parser = parse(bundle, layer)
    vit = parser.get_parsed_content("architecture").keywords
    assert [vit[key] for key in ("hidden_size", "mlp_dim", "num_heads")] == [768, 3072, 12], "ViT-B"
    if bundle == "pretrain_simclr":
        assert parser.get_parsed_content("loss_weights") == {"contrast": 1.0}
        assert parser.get_parsed_content("batch_size") >= 2
    else:
        assert parser.get_parsed_content("terms") == ["reconstruction"]
        assert parser["mask_ratio"] == 0.75
        assert parser["mask_mode"] == "uniform"
        assert parser.get_parsed_content("loss").options["reconstruction"] == "l1"


def test_the_published_decoder_is_a_layer() -> None:
    with torch.device("meta"):
        decoder = parse("pretrain_mae", "deep_decoder.yaml").get_parsed_content("pretext").decoder
    assert len(decoder.blocks) == 8
    assert {block.attn.num_heads for block in decoder.blocks} == {8}
    assert decoder.positions.shape == (1, 6**3, 512)


# --- the view of the image, and the network ---------------------------------------------------------------


@bundles
@pytest.mark.parametrize("segment", VIEWS)
@pytest.mark.parametrize("smoke", [False, True])
def test_a_task_layer_gives_the_segmentation_bundles_view(bundle: str, segment: str, smoke: bool) -> None:
    seg = parse(segment, *["smoke.yaml"] * smoke)
    pretraining = parse(bundle, *VIEWS[segment][smoke])
    assert seg.get_parsed_content("view") == pretraining.get_parsed_content("view")
    assert dict(seg["intensity"]) == dict(pretraining["intensity"])
    foreground = [{k: v for k, v in dict(p["foreground"]).items() if k != "keys"} for p in (seg, pretraining)]
    assert foreground[0] == foreground[1]


def stated_network(parser: ConfigParser) -> tuple[str, dict[str, Any]]:
    network = parser.get_parsed_content("architecture")
    skipped = ("in_channels", "out_channels", "img_size", "use_checkpoint")
    return network.func.__name__, {k: v for k, v in network.keywords.items() if k not in skipped}


@pytest.mark.parametrize(("bundle", "layer"), ROWS)
def test_weights_card_states_the_network_that_both_sides_compare_it_with(bundle: str, layer: str | None) -> None:
    for segment, (view, _) in VIEWS.items():
        own = parse(bundle, *view, layer)
        card = own.get_parsed_content("card#network")
        assert own.get_parsed_content("load_pretrained#architecture") == card
        other = parse(segment, seg_layer(bundle, layer))
        stated = other.get_parsed_content("load_pretrained#architecture")
        narrow = segment == "seg_msd_hippocampus" and card["class"] == "BasicUNet"
        assert compare_networks(card, stated, ["features"] * narrow) == []
        assert card["class"] == stated["class"] == network_of(bundle, layer)
        if not narrow:
            assert stated_network(own) == stated_network(other)


@pytest.mark.parametrize("bundle", [name for name in NAMES if name != "pretrain_simclr"])
def test_one_mask_sampler_draws_in_training_validation_and_inference(bundle: str) -> None:
    train, inference = parse(bundle), parse(bundle, first="inference.yaml")
    sampler = train.get_parsed_content("mask_sampler")
    fixed = train.get_parsed_content("validate#preprocessing").transforms[-1]
    assert train.get_parsed_content("collate").masks.sampler is fixed.sampler is sampler
    shown = [t for t in inference.get_parsed_content("preprocessing").transforms if isinstance(t, FixedPatchMaskd)]
    assert [t.sampler for t in shown] == [inference.get_parsed_content("mask_sampler")]
    assert (shown[0].seed, fixed.seed) == (0, 0)
    assert vars(shown[0].sampler)["ratios"] == sampler.ratios


def test_the_probe_reads_labels_as_the_segmentation_bundle_does(tmp_path: Path) -> None:
    rng = np.random.RandomState(0)
    label = zoom(rng.rand(8, 7, 6) > 0.6, 6, order=0).astype(np.uint8)
    image = np.where(label, 80, -90).astype(np.int16)
    affine = np.array([[0, 2.1, 0, 5], [-1.3, 0, 0, 9], [0, 0, 3.0, -4], [0, 0, 0, 1.0]])  # not RAS
    for name, voxels in (("image", image), ("label", label)):
        nib.save(nib.Nifti1Image(voxels, affine), tmp_path / f"{name}.nii.gz")
    item = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
    probe = parse("pretrain_hybridmim").get_parsed_content("validate#probe")
    data = probe.transform({**item, "volume_id": 0})
    expected = parse("seg_btcv").get_parsed_content("validate#preprocessing")(item)
    assert data["image"].shape == expected["image"].shape
    same = (data["label"] == expected["label"])[data["valid"] > 0.5].float().mean()
    assert same > 0.99, "all but voxels on a border between two classes"
    assert data["label"].unique().tolist() == [0, 1]


# --- what the zoo asks ---------------------------------------------------------------------------------


@bundles
@pytest.mark.parametrize(("workflow", "first"), [("train", "train.yaml"), ("inference", "inference.yaml")])
def test_config_builds_without_data_and_has_the_zoos_ids(
    bundle: str, workflow: str, first: str, tmp_path: Path
) -> None:
    configs = BUNDLES / bundle / "configs"
    made = ConfigWorkflow(
        config_file=str(configs / first),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=workflow,
        bundle_root=str(BUNDLES / bundle),
        **{**TINY, **OWN.get(bundle, {}), **small(network_of(bundle, None)), "output_dir": str(tmp_path)},
    )
    made.initialize()
    assert made.check_properties() == []
    key = "evaluator" if workflow == "inference" else "train#trainer"
    assert made.parser.get_parsed_content(key) is not None
