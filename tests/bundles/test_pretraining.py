"""What every pretraining bundle promises, read off its configs; test_pretraining_steps.py trains with them.

test_pretrain_hybridmim.py has what is HybridMIM's own; test_pretraining_runs.py runs the others as a user does.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from packaging.requirements import Requirement

from custom_components.masking import FixedPatchMaskd
from custom_components.transfer import compare_networks
from tests.bundles.pretraining import (
    ALONE,
    BUNDLES,
    LAYERS,
    METHODS,
    NAMES,
    OWN,
    ROOT,
    ROWS,
    TINY,
    content,
    network_of,
    parse,
    pretext_of,
    seg_layer,
    small,
    text,
    trained_of,
)

SEGMENT = sorted(path.name for path in BUNDLES.glob("seg_*"))
#: Layers that give a segmentation bundle's view, and its view in smoke form.
TASKS = {
    "seg_btcv": ([], ["smoke.yaml"]),
    "seg_brats": (["task_brats.yaml"], ["task_brats.yaml", "smoke.yaml"]),
    "seg_msd_liver": (["task_msd_liver.yaml"], ["task_msd_liver.yaml", "smoke.yaml"]),
    "seg_msd_spleen": (["task_msd_spleen.yaml"], ["task_msd_spleen.yaml", "smoke.yaml"]),
    "seg_msd_hippocampus": (["task_msd_hippocampus.yaml"], ["smoke.yaml", "task_msd_hippocampus.yaml"]),
}
SAME_FILES = (
    "evaluate.yaml",
    "resume.yaml",
    "hu_wide.yaml",
    "disk_cache.yaml",
    "unetr_patch8.yaml",
    "logging.conf",
)
TRAIN_ONLY = ("disk_cache.yaml", "evaluate.yaml", "multi_gpu_train.yaml", "resume.yaml")
CONFIGS = [*((bundle, file) for bundle in NAMES for file in ("train.yaml", "inference.yaml")), *LAYERS]
FIT_BOTH = [*ALONE, *((bundle, layer) for bundle, layer in LAYERS if layer not in TRAIN_ONLY)]
bundles = pytest.mark.parametrize("bundle", NAMES)


def missing_keys(config: Any, name: str) -> bool:
    """Whether the base lacks a part of an overriding key's path."""
    part = config
    for step in name.split("#"):
        if not isinstance(part, dict) or step not in part:
            return True
        part = part[step]
    return False


def leaves(value: Any) -> Iterator[Any]:
    """Every scalar and every key of a nested config."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


@pytest.fixture
def _multi_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_every_pretraining_bundle_is_among_these() -> None:
    assert set(NAMES) == set(METHODS)
    assert set(SEGMENT) == set(TASKS)


# --- one text ------------------------------------------------------------------------------------------


@bundles
def test_train_yaml_is_one_text_but_for_title_and_method(bundle: str) -> None:
    def parts(name: str) -> tuple[list[str], str]:
        head, rest = text(name, "train.yaml").split("# --- the method: ", 1)
        return head.splitlines()[1:], rest.split("# --- optimisation -", 1)[1]

    assert parts(bundle) == parts("pretrain_hybridmim")


@bundles
@pytest.mark.parametrize("file", SAME_FILES)
def test_these_files_are_the_same_in_every_pretraining_bundle(bundle: str, file: str) -> None:
    assert text(bundle, file) == text("pretrain_hybridmim", file)


@bundles
def test_ranks_share_the_work_alike_but_for_what_validation_contrasts(bundle: str) -> None:
    own, other = (content(name, "multi_gpu_train.yaml") for name in (bundle, "pretrain_hybridmim"))
    validated = own.pop("rank_validation_items"), other.pop("rank_validation_items")
    assert own == other
    assert (validated[0] == validated[1]) == (bundle != "pretrain_simclr")


@pytest.mark.parametrize("file", [f"task_{name}.yaml" for name in ("msd_liver", "msd_spleen")])
@bundles
def test_these_task_layers_are_the_same_too(bundle: str, file: str) -> None:
    assert text(bundle, file) == text("pretrain_hybridmim", file)


@bundles
def test_licences_are_those_of_the_repository(bundle: str) -> None:
    assert (BUNDLES / bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@bundles
def test_configs_can_be_read_in_one_sitting(bundle: str) -> None:
    for path in (BUNDLES / bundle / "configs").glob("*.yaml"):
        longest = {"train.yaml": 280, "inference.yaml": 155}.get(path.name, 80)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= longest, path


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
    assert set(parser.get_parsed_content("loss").terms) == pretext.terms
    assert set(parser.get_parsed_content("card#trained")) == set(trained_of(bundle, layer))
    assert parser.get_parsed_content("card#method") == METHODS[bundle]
    channels = len(parser.get_parsed_content("channels"))
    assert (pretext.backbone.in_channels, pretext.backbone.out_channels) == (channels, channels)
    stated = {"channels", "orientation", "spacing", "roi_size", "intensity"}
    assert set(parser.get_parsed_content("view")) == stated
    for key in ("train#preprocessing", "validate#preprocessing", "collate", "prepare_batch", "checks"):
        parser.get_parsed_content(key)
    assert parser.get_parsed_content("key_metric").removeprefix("val_") in parser.get_parsed_content("measured")


@pytest.mark.parametrize(("bundle", "layer"), LAYERS)
def test_layer_changes_only_keys_of_train_yaml_or_reads_its_new_ones_itself(bundle: str, layer: str) -> None:
    base, own = content(bundle, "train.yaml"), text(bundle, layer)
    unknown = [key for key in content(bundle, layer) if missing_keys(base, key.lstrip("+"))]
    assert [key for key in unknown if f"@{key}" not in own and key not in ("initialize", "finalize")] == []


@pytest.mark.parametrize(("bundle", "file"), CONFIGS)
def test_config_has_no_absolute_path_no_list_position_and_monais_loader_only(bundle: str, file: str) -> None:
    for value in (value for value in leaves(content(bundle, file)) if isinstance(value, str)):
        assert not re.match(r"/|~|[A-Za-z]:[\\/]", value), value
        assert not re.search(r"(?<!\+ )'/", value), (
            f"{value}: a path in an expression begins at a key of the config"
        )
        assert not re.search(r"(#|::)\d", value), f"{value}: names a place in a list"
    assert "torch.utils.data" not in text(bundle, file), "torch's own repeats random draws across workers"


@pytest.mark.parametrize("bundle", [name for name in NAMES if name != "pretrain_hybridmim"])
@pytest.mark.parametrize("layer", [None, "unetr_patch8.yaml"])
def test_published_widths_are_the_defaults(bundle: str, layer: str | None) -> None:
    parser = parse(bundle, layer)
    vit = parser.get_parsed_content("architecture").keywords
    assert [vit[key] for key in ("hidden_size", "mlp_dim", "num_heads")] == [768, 3072, 12], "ViT-B"
    if bundle == "pretrain_simclr":
        assert parser.get_parsed_content("loss_weights") == {"contrast": 1.0}
        assert parser.get_parsed_content("batch_size") >= 2
    else:
        assert parser.get_parsed_content("loss_weights") == {"reconstruction": 1.0}
        assert parser["mask_ratio"] == 0.75
        assert parser["mask_mode"] == "uniform"
        assert parser.get_parsed_content("loss").reconstruction == "l1"


def test_the_published_decoder_is_a_layer() -> None:
    with torch.device("meta"):
        decoder = parse("pretrain_mae", "deep_decoder.yaml").get_parsed_content("pretext").decoder
    assert len(decoder.blocks) == 8
    assert {block.attn.num_heads for block in decoder.blocks} == {8}
    assert decoder.positions.shape == (1, 6**3, 512)


# --- the view of the image, and the network ---------------------------------------------------------------


@bundles
@pytest.mark.parametrize("segment", SEGMENT)
@pytest.mark.parametrize("smoke", [False, True])
def test_a_task_layer_gives_the_segmentation_bundles_view(bundle: str, segment: str, smoke: bool) -> None:
    seg = parse(segment, *["smoke.yaml"] * smoke)
    pretraining = parse(bundle, *TASKS[segment][smoke])
    assert seg.get_parsed_content("view") == pretraining.get_parsed_content("view")
    assert dict(seg["intensity"]) == dict(pretraining["intensity"])
    foreground = [{k: v for k, v in dict(p["foreground"]).items() if k != "keys"} for p in (seg, pretraining)]
    assert foreground[0] == foreground[1]
    assert "window" not in seg.config or seg["window"] == pretraining["window"]


def stated_network(parser: ConfigParser) -> tuple[str, dict[str, Any]]:
    network = parser.get_parsed_content("architecture")
    skipped = ("in_channels", "out_channels", "img_size", "use_checkpoint")
    return network.func.__name__, {k: v for k, v in network.keywords.items() if k not in skipped}


@pytest.mark.parametrize(("bundle", "layer"), ROWS)
def test_weights_card_states_the_network_that_both_sides_compare_it_with(bundle: str, layer: str | None) -> None:
    for segment in SEGMENT:
        own = parse(bundle, *TASKS[segment][0], layer)
        card = own.get_parsed_content("card#network")
        assert own.get_parsed_content("load_pretrained#architecture") == card
        other = parse(segment, seg_layer(bundle, layer))
        stated = other.get_parsed_content("load_pretrained#architecture")
        narrow = segment == "seg_msd_hippocampus" and card["class"] == "BasicUNet"
        assert compare_networks(card, stated, ["features"] * narrow) == []
        assert card["class"] == stated["class"] == network_of(bundle, layer)
        if not narrow:
            assert stated_network(own) == stated_network(other)


@pytest.mark.parametrize(("bundle", "layer"), FIT_BOTH)
def test_inference_has_every_key_that_it_shares_with_train_yaml_as_it_is_there(
    bundle: str, layer: str | None
) -> None:
    train, inference = parse(bundle, layer), parse(bundle, layer, first="inference.yaml")
    shared = set(train.config) & set(inference.config) - {"imports", "checks", "run"}
    assert {key for key in shared if train[key] != inference[key]} == set()
    view = {"channels", "orientation", "spacing", "roi_size", "intensity", "window", "architecture", "network_def"}
    masked = {"make_mask_sampler", "mask_sampler"} if bundle != "pretrain_simclr" else set()
    own_head = {"make_pretext"} if bundle in ("pretrain_mae", "pretrain_simmim") else set()
    assert view | masked | own_head <= shared
    inference.get_parsed_content("preprocessing")


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


# --- what the zoo asks ---------------------------------------------------------------------------------


def metadata_of(bundle: str) -> dict[str, Any]:
    return json.loads(text(bundle, "metadata.json"))


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
        **{**TINY, **OWN[bundle], **small(network_of(bundle, None)), "output_dir": str(tmp_path)},
    )
    made.initialize()
    assert made.check_properties() == []
    key = "evaluator" if workflow == "inference" else "train#trainer"
    assert made.parser.get_parsed_content(key) is not None


@bundles
def test_metadata_has_what_the_schema_requires(bundle: str) -> None:
    metadata = metadata_of(bundle)
    required = (
        *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
        *("task", "description", "authors", "copyright", "network_data_format"),
    )
    assert [key for key in required if not metadata.get(key)] == []
    assert metadata["schema"] == "https://project-monai.github.io/schema/meta_schema_20240725.json"
    assert re.fullmatch(r"\d\.\d\.\d", metadata["version"])
    assert metadata["version"] in metadata["changelog"]
    packages = metadata["required_packages_version"]
    versions = [metadata[f"{name}_version"] for name in ("monai", "pytorch", "numpy")] + list(packages.values())
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in versions), "versions are pins for pip"


@bundles
def test_metadata_describes_the_configured_network(bundle: str) -> None:
    metadata, parser = metadata_of(bundle), parse(bundle)
    assert metadata["name"] == f"{METHODS[bundle]} pretraining"
    formats = metadata["network_data_format"]
    assert next(iter(formats["inputs"])) == "image"
    assert next(iter(formats["outputs"])) == "pred"
    channels = parser.get_parsed_content("channels")
    for part in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(part)
        assert part["spatial_shape"] == parser.get_parsed_content("roi_size")
        assert part["num_channels"] == len(channels)
        assert list(part["channel_def"].values()) == channels


@bundles
def test_required_packages_are_within_the_tested_ranges_and_one_set_of_pins(bundle: str) -> None:
    metadata, other = metadata_of(bundle), metadata_of("pretrain_hybridmim")
    keys = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version")
    assert [metadata[key] for key in keys] == [other[key] for key in keys]
    pinned = {
        **metadata["required_packages_version"],
        **{
            name: metadata[f"{key}_version"]
            for name, key in (("monai", "monai"), ("torch", "pytorch"), ("numpy", "numpy"))
        },
    }
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ranges = {r.name: r.specifier for r in map(Requirement, (line for line in lines if line and line[0] != "#"))}
    assert [name for name, version in pinned.items() if name not in ranges or version not in ranges[name]] == []


@bundles
def test_bundle_has_the_files_that_the_zoo_asks_for(bundle: str) -> None:
    files = ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt")
    assert [name for name in files if not (BUNDLES / bundle / name).is_file()] == []


@bundles
def test_logging_uses_the_standard_librarys_handlers(bundle: str) -> None:
    logging = configparser.RawConfigParser()
    logging.read(BUNDLES / bundle / "configs" / "logging.conf")
    used = {logging[section]["class"] for section in logging.sections() if section.startswith("handler_")}
    assert used <= {"StreamHandler", "FileHandler"}
