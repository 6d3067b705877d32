"""pretrain_hybridmim's configs, resolved and run one step in this process.

test_pretrain_hybridmim_runs.py runs them as a user does.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism

from custom_components.transfer import compare_networks

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "pretrain_hybridmim"
SEGMENT = ROOT / "bundles" / "seg_btcv"
LAYERS = sorted(
    file.name for file in (BUNDLE / "configs").glob("*.yaml") if file.name not in ("train.yaml", "inference.yaml")
)
NETWORKS = {"swin_unetr.yaml": "SwinUNETR", "segresnet.yaml": "SegResNet", "unetr.yaml": "UNETR"}
TASKS = [name for name in LAYERS if name.startswith("task_")]
VIEW = ("channels", "orientation", "spacing", "window", "roi_size", "intensity")
#: A network and a view so small that a step takes a tenth of a second.
TINY: dict[str, Any] = {
    "device": torch.device("cpu"),
    "spacing": [1.0, 1.0, 1.0],
    "roi_size": [32, 32, 32],
    "patch_size": [8, 8, 8],
    "region_size": [16, 16, 16],
    "window_size": [16, 32, 32],
    "architecture#features": [4, 4, 8, 8, 16, 4],
    "contrast_features": 8,
    "num_samples": 1,
    "num_workers": 0,
    "epochs": 1,
    "warmup_share": 0.0,
    "holdout": 1,
}


def parse(*layers: str, bundle: Path = BUNDLE, first: str = "train.yaml", **changes: Any) -> ConfigParser:
    """A bundle's merged configs, as ``monai.bundle run`` would hold them."""
    parser = ConfigParser()
    parser.read_config([str(bundle / "configs" / name) for name in (first, *layers)])
    parser["bundle_root"] = str(bundle)
    for key, value in changes.items():
        parser[key] = value
    return parser


def layer(name: str) -> dict[str, Any]:
    return yaml.safe_load((BUNDLE / "configs" / name).read_text(encoding="utf-8"))


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


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory, write_nifti: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    for number in range(3):
        write_nifti(folder / f"case_{number}.nii.gz", (40, 36, 24), seed=number)
    return folder


@pytest.fixture
def _multi_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")


# --- every layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, *LAYERS])
@pytest.mark.usefixtures("_multi_process")
def test_layer_resolves_to_its_network_and_a_pretext_around_it(name: str | None) -> None:
    parser = parse(*([name] if name else []))
    network = parser.get_parsed_content("network_def")
    assert type(network).__name__ == NETWORKS.get(name or "", "BasicUNet")
    pretext = parser.get_parsed_content("pretext")
    assert pretext.network is network
    assert set(parser.get_parsed_content("loss").terms) == pretext.terms
    channels = len(parser.get_parsed_content("channels"))
    assert (pretext.backbone.in_channels, pretext.backbone.out_channels) == (channels, channels)
    assert set(parser.get_parsed_content("view")) == {
        "channels",
        "orientation",
        "spacing",
        "roi_size",
        "intensity",
    }


def test_published_widths_are_the_defaults() -> None:
    unet = parse().get_parsed_content("architecture").keywords
    assert list(unet["features"]) == [64, 64, 128, 256, 512, 64]
    assert parse("swin_unetr.yaml").get_parsed_content("architecture").keywords["feature_size"] == 48
    parser = parse()
    expected = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
    assert parser.get_parsed_content("loss_weights") == expected
    assert parser.get_parsed_content("batch_size") >= 2


def missing_keys(config: Any, name: str, value: Any) -> list[str]:
    """Parts of an overriding key's path that the base lacks."""
    part = config
    for step in name.split("#"):
        if not isinstance(part, dict) or step not in part:
            return [name]
        part = part[step]
    return []


@pytest.mark.parametrize("name", LAYERS)
def test_layer_changes_only_keys_of_train_yaml_or_reads_its_new_ones_itself(name: str) -> None:
    base, text = layer("train.yaml"), (BUNDLE / "configs" / name).read_text(encoding="utf-8")
    unknown = [key for key, value in layer(name).items() if missing_keys(base, key.lstrip("+"), value)]
    assert [key for key in unknown if f"@{key}" not in text and key not in ("initialize", "finalize")] == []


@pytest.mark.parametrize("name", ["train.yaml", "inference.yaml", *LAYERS])
def test_config_has_no_absolute_path_and_no_list_position(name: str) -> None:
    for text in (value for value in leaves(layer(name)) if isinstance(value, str)):
        assert not re.match(r"/|~|[A-Za-z]:[\\/]", text), text
        assert not re.search(r"(?<!\+ )'/", text), f"{text}: a path in an expression begins at a key of the config"
        assert not re.search(r"(#|::)\d", text), f"{text}: names a place in a list"


@pytest.mark.parametrize("name", ["train.yaml", "inference.yaml", *LAYERS])
def test_config_loads_batches_with_monais_loader_only(name: str) -> None:
    """torch's own repeats random draws across workers."""
    assert "torch.utils.data" not in (BUNDLE / "configs" / name).read_text(encoding="utf-8")


# --- the view of the image -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "smoke.yaml", "swin_unetr.yaml", "segresnet.yaml", "unetr.yaml"])
def test_weights_card_states_the_network_that_both_bundles_compare_it_with(name: str | None) -> None:
    layers = [name] if name else []
    card = parse(*layers).get_parsed_content("card#network")
    for bundle in (BUNDLE, SEGMENT):
        stated = parse(*layers, bundle=bundle).get_parsed_content("load_pretrained#architecture")
        assert stated["class"] == card["class"]
        assert compare_networks(card, stated) == []


@pytest.mark.parametrize(
    "name", [None, "smoke.yaml", "swin_unetr.yaml", "segresnet.yaml", "unetr.yaml", "hu_wide.yaml", *TASKS]
)
def test_inference_sees_the_image_and_the_network_as_training_does(name: str | None) -> None:
    layers = [name] if name else []
    train, inference = parse(*layers), parse(*layers, first="inference.yaml")
    masks = ("patch_size", "region_size", "mask_mode", "mask_ratio", "region_ratio", "fill")
    for key in (*VIEW, *masks, "architecture"):
        assert train.get(key) == inference.get(key), key


# --- loss parts ----------------------------------------------------------------------------------------


def test_terms_are_the_parts_of_positive_weight() -> None:
    weights = {"reconstruction": 1.0, "count": 0.0, "position": 0.5, "consistency": 0, "contrast": 0.0}
    parser = parse(loss_weights=weights)
    assert parser.get_parsed_content("terms") == ["reconstruction", "position"]


HEADS = {"count": ("count_head",), "position": ("position_head",), "contrast": ("contrast_head",)}


@pytest.mark.parametrize("off", ["count", "position", "contrast"])
def test_part_of_weight_zero_has_no_head(off: str) -> None:
    parser = parse(**TINY, **{f"loss_weights#{off}": 0.0, "loss_weights#consistency": 0.0})
    pretext = parser.get_parsed_content("pretext")
    built = {name for name, _ in pretext.named_children()}
    assert {head for part, heads in HEADS.items() if part != off for head in heads} <= built
    assert not set(HEADS[off]) & built
    assert not [key for key in pretext.state_dict() if key.startswith(HEADS[off])]


def test_consistency_keeps_both_region_heads() -> None:
    pretext = parse(**TINY, **{"loss_weights#count": 0.0, "loss_weights#position": 0.0}).get_parsed_content(
        "pretext"
    )
    assert hasattr(pretext, "count_head")
    assert hasattr(pretext, "position_head")


# --- one step with every option ------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "uniform": {"mask_mode": "uniform"},
    "mean fill": {"fill": "mean"},
    "noise fill": {"fill": "noise"},
    "learned fill": {"fill": "learned"},
    "no window": {"window_size": None},
    "sigmoid and l1": {"output_activation": "sigmoid", "reconstruction_loss": "l1"},
    "first stage dropped": {"dropout": 0.3, "dropout_stages": ["conv_0"]},
    "no gradient in view 2": {"second_view_grad": False, "temperature": 0.1},
    "everything masked": {"mask_ratio": 1.0, "region_ratio": 1.0},
    "background": {"background_below": 0.2},
    "accumulation": {"accumulation_steps": 2, "grad_clip": None},
    "non-cubic patches": {"patch_size": [8, 8, 16], "region_size": [16, 16, 32]},
    "reconstruction only": {
        f"loss_weights#{part}": 0.0 for part in ("count", "position", "consistency", "contrast")
    },
    "no reconstruction": {"loss_weights#reconstruction": 0.0},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_trains_a_step(option: str, volumes: Path, tmp_path: Path) -> None:
    set_determinism(seed=0)
    changes = {
        **TINY,
        "dataset_dir": str(volumes),
        "output_dir": str(tmp_path),
        "ckpt_dir": str(tmp_path),
        **OPTIONS[option],
    }
    parser = parse(**changes, val_interval=2)
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    network = parser.get_parsed_content("pretext")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    trainer.run()
    terms = parser.get_parsed_content("terms")
    negatives = {"negatives"} if "contrast" in terms else set()
    assert set(trainer.state.output) == {"loss", *terms, *negatives}
    assert trainer.state.output["loss"] > 0
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("network.conv_0") for key in changed)
    assert ("token" in changed) == (option == "learned fill")
    assert any(key.startswith("network.final_conv") for key in changed) == ("reconstruction" in terms)


BACKBONES: dict[str, dict[str, Any]] = {
    "swin_unetr.yaml": {
        "architecture": {
            "_target_": "SwinUNETR",
            "_mode_": "callable",
            "in_channels": 1,
            "out_channels": 1,
            "feature_size": 12,
            "use_checkpoint": True,
        },
        "patch_size": [16, 16, 16],
        "region_size": [32, 32, 32],
        "roi_size": [64, 64, 32],
        "window_size": [32, 64, 32],
        "learning_rate": 1e-3,
    },
    "segresnet.yaml": {"architecture#init_filters": 8},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_trains_a_step(name: str, volumes: Path, tmp_path: Path) -> None:
    tiny = {key: value for key, value in TINY.items() if not key.startswith("architecture")}
    folders = {"dataset_dir": str(volumes), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path)}
    parser = parse(name, **{**tiny, **folders, "val_interval": 2, **BACKBONES[name]})
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    assert type(parser.get_parsed_content("network_def")).__name__ == NETWORKS[name]
    assert set(trainer.state.output) == {
        "loss",
        "reconstruction",
        "count",
        "position",
        "consistency",
        "contrast",
        "negatives",
    }


def test_four_channels_need_only_their_names(write_nifti: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(3):
        write_nifti(tmp_path / f"case_{number}.nii.gz", (40, 36, 24, 4), seed=number, spacing=(1.0, 1.0, 1.0))
    changes = {**TINY, "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out"), "val_interval": 2}
    parser = parse(**changes, channels=["T1", "T1c", "T2", "FLAIR"])
    parser["train#handlers"] = [h for h in parser["train#handlers"] if "TensorBoard" not in h["_target_"]]
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    assert parser.get_parsed_content("network_def").final_conv.weight.shape[0] == 4
    assert trainer.state.output["loss"] > 0


# --- what the zoo asks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("workflow", "name"), [("train", "train.yaml"), ("inference", "inference.yaml")])
def test_ids_are_those_of_the_zoo(workflow: str, name: str, volumes: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {}
    if workflow == "train":
        changes = {**TINY, "dataset_dir": str(volumes), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path)}
    made = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / name),
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=workflow,
        bundle_root=str(BUNDLE),
        **changes,
    )
    made.initialize()
    assert made.check_properties() == []


def test_inference_builds_without_data() -> None:
    parser = parse(first="inference.yaml")
    assert len(parser.get_parsed_content("dataset")) == 0
    assert parser.get_parsed_content("evaluator") is not None


def test_metadata_has_what_the_schema_requires() -> None:
    metadata = json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))
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


def test_metadata_describes_the_configured_network() -> None:
    metadata = json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))
    parser = parse()
    formats = metadata["network_data_format"]
    assert next(iter(formats["inputs"])) == "image"
    assert next(iter(formats["outputs"])) == "pred"
    channels = parser.get_parsed_content("channels")
    for part in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(part)
        assert part["spatial_shape"] == parser.get_parsed_content("roi_size")
        assert part["num_channels"] == len(channels)
        assert list(part["channel_def"].values()) == channels


def test_required_packages_are_within_the_tested_ranges() -> None:
    from packaging.requirements import Requirement

    metadata = json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))
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


def test_bundle_has_the_files_that_the_zoo_asks_for() -> None:
    files = ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt")
    assert [name for name in files if not (BUNDLE / name).is_file()] == []


def test_logging_uses_the_standard_librarys_handlers() -> None:
    logging = configparser.RawConfigParser()
    logging.read(BUNDLE / "configs" / "logging.conf")
    used = {logging[section]["class"] for section in logging.sections() if section.startswith("handler_")}
    assert used <= {"StreamHandler", "FileHandler"}


# --- volumes on disk -----------------------------------------------------------------------------------


def test_disk_cache_is_reused_and_not_mistaken_for_another_view(volumes: Path, tmp_path: Path) -> None:
    def prepared(**changes: Any) -> set[str]:
        keys = {**TINY, "dataset_dir": str(volumes), "cache_dir": str(tmp_path / "cache"), **changes}
        dataset = parse("disk_cache.yaml", **keys).get_parsed_content("train#dataset")
        for sample in dataset:
            assert sample[0]["image"].shape == (1, 32, 32, 32)
        return {file.name for file in (tmp_path / "cache").glob("*.pt")}

    first = prepared()
    assert len(first) == 2
    assert prepared() == first
    assert len(prepared(spacing=[2.0, 2.0, 2.0])) == 4
