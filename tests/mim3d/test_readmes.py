"""READMEs of bundles: what is written into both forms, and that a packed one needs nothing of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from mim3d.catalog import DEFAULT_VIEW, METHODS, NETWORKS, SEGMENTED, TASKS, Network
from mim3d.readmes import PAGE, Commands, number, percent
from mim3d.templates import environment, packed_readme
from mim3d.verify.readme_commands import commands, flags

BUNDLES = [group.bundle for group in (*METHODS.values(), *TASKS.values())]
#: What stands in a packed README before the sections that all bundles share.
SHARED = "\nThe sections below hold for all "
bundles = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)


@bundles
def test_a_packed_readme_names_nothing_that_only_the_repository_has(bundle: Path) -> None:
    text = packed_readme(bundle).decode()
    assert re.findall(r"mim3d|ci/|(?<![\w./-])bundles/|docs/\w+\.md|pip install -e|Rendered by", text) == []
    assert text.count("--bundle_root . ") >= 4


@bundles
def test_a_readme_has_about_sixty_lines(bundle: Path) -> None:
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert 55 <= len(text.splitlines()) <= 64


@bundles
def test_both_readmes_have_the_same_commands_but_for_paths(bundle: Path) -> None:
    here = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    packed = packed_readme(bundle).decode().partition(SHARED)[0]
    runs = [re.findall(r"monai\.bundle run.*\\\n.*", text) for text in (here, packed)]
    paths = [(f"bundles/{bundle.name}/", ""), (f"bundles/{bundle.name} ", ". "), ("bundles/", "../")]
    for old, new in paths:
        runs[0] = [run.replace(old, new) for run in runs[0]]
    assert runs[0] == runs[1]
    assert len(runs[0]) >= 3


def anchors(text: str) -> set[str]:
    """The headings of a document, as a link names them."""
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


@bundles
def test_the_links_of_both_readmes_lead_to_a_heading(bundle: Path) -> None:
    here = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    packed = packed_readme(bundle).decode()
    links = [re.findall(r"\]\(([^)]*)\)", text) for text in (here, packed)]
    assert links[0] == [f"../../../docs/training.md{link}" for link in links[1]]
    assert len(links[1]) >= 6
    page = anchors(PAGE.read_text(encoding="utf-8"))
    assert {link.removeprefix("#") for link in links[1]} <= page & anchors(packed)


@bundles
def test_a_packed_readme_ends_with_the_sections_that_concern_its_bundle(bundle: Path) -> None:
    packed = packed_readme(bundle).decode()
    here = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    added = anchors(packed) - anchors(here)
    assert {"commands", "networks", "layers", "several-gpus-and-resuming"} <= added
    assert {"reading-files", "memory", "fine-tuning", "files-of-a-run", "crop-sizes"} <= added
    assert ("scores" in added) == bundle.name.startswith("seg_")
    assert ("does-it-learn" in added) == ("views" in added) == bundle.name.startswith("pretrain_")
    assert ("masks" in added) == (bundle.name in {"pretrain_hybridmim", "pretrain_mae", "pretrain_simmim"})


@bundles
def test_no_command_of_a_package_with_weights_trains_into_their_folder(bundle: Path) -> None:
    """A training refuses a folder with weights, and with ``overwrite`` it would replace the published ones."""
    text = packed_readme(bundle, weights=True).decode()
    runs = [" ".join(words) for words in commands(text) if "monai.bundle" in words]
    trained = [run for run in runs if "train.yaml" in run and "evaluate.yaml" not in run]
    assert len(trained) >= 2
    assert [run for run in trained if "--ckpt_dir OUT/" not in run] == []
    made = {flags(run.split()).get("ckpt_dir") for run in trained}
    starts = {flags(run.split()).get("pretrained") for run in trained} - {None}
    assert {start.removesuffix("/model.pt") for start in starts} <= made


def test_a_bundle_without_a_source_keeps_its_readme(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("# Model overview\n")
    assert packed_readme(tmp_path) == b"# Model overview\n"


def test_paths_are_those_seen_from_where_the_commands_run() -> None:
    assert Commands("a", packed=False).path("b") == "bundles/b/"
    assert Commands("a", packed=True).path("b") == "../b/"
    assert Commands("a", packed=True).path("a") == ""
    run = Commands("a", packed=True).run("a", ["train.yaml", "unetr.yaml"], "--epochs 1", ranks=2)
    assert run == (
        "torchrun --standalone --nproc_per_node=2 -m monai.bundle run "
        "--config_file \"['configs/train.yaml','configs/unetr.yaml']\" \\\n  --bundle_root . --epochs 1"
    )


def test_numbers_are_written_short() -> None:
    assert [number(value) for value in (3e-4, 1e-5, 0.05, 1.5e-4, 2.0)] == ["3e-4", "1e-5", "0.05", "1.5e-4", "2"]
    assert [percent(share) for share in (0.005, 0.1, 0.75)] == ["0.5 %", "10 %", "75 %"]


def parameters(bundle: Path, *layers: str) -> str:
    """The number of parameters of a bundle's network, in millions."""
    files = [str(bundle / "configs" / name) for name in ("train.yaml", *layers)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    device = "cpu" if "swin_unetr.yaml" in layers else "meta"  # SwinUNETR reads values while it is built
    with torch.device(device):
        network = parser.get_parsed_content("architecture")()
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f} M"


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_catalog_states_the_size_of_a_network(network) -> None:
    layers = [] if network.name == SEGMENTED else [f"{network.name}.yaml"]
    assert parameters(TASKS[DEFAULT_VIEW].bundle, *layers) == network.parameters


@bundles
def test_the_readme_states_the_size_of_the_default_network(bundle: Path) -> None:
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^The default network is .*\({parameters(bundle)} parameters\)\.", text, re.MULTILINE)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_page_says_which_bundles_have_a_network(network: Network) -> None:
    (row,) = re.findall(rf"^\| `{network.name}\.yaml` \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    size, default, layer = row.strip("| ").split(" | ")[2:]
    assert size == network.parameters
    for bundle in BUNDLES:
        name = "`seg_*`" if bundle.name.startswith("seg_") else f"`{bundle.name}`"
        own = ConfigParser.load_config_file(bundle / "configs" / "train.yaml")["architecture"]["_target_"]
        assert (name in default) == (own.rpartition(".")[2] == network.title)
        assert (name in layer) == (bundle / "configs" / f"{network.name}.yaml").is_file()


def test_a_mistake_in_a_source_is_one_line(tmp_path: Path) -> None:
    from jinja2 import DictLoader

    from mim3d.readmes import render_readme

    engine = environment()
    engine.loader = DictLoader({"seg_btcv/readme.md": "<< nothing >>"})
    train = "orientation: RAS\nspacing: [1, 1, 1]\nview: {intensity: none}\n"
    with pytest.raises(
        ValueError, match=r"^bundles/seg_btcv/readme\.md cannot be rendered: 'nothing' is undefined$"
    ):
        render_readme(engine, TASKS["btcv"].bundle, train)
