"""Rendering: what is committed is what the sources say, and a file edited by hand is found."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import yaml
from jinja2 import FileSystemLoader
from monai.bundle import ConfigParser
from packaging.requirements import Requirement

from mim3d import render, templates
from mim3d.catalog import METHODS, NETWORKS, ROOT, TASKS, Method, Task
from mim3d.templates import environment, outputs, render_all, render_bundle

ITEMS: list[Task | Method] = [*TASKS.values(), *METHODS.values()]
by_bundle = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.bundle.name)


@pytest.fixture(scope="module")
def rendered() -> dict[Path, str]:
    return render_all()


@pytest.fixture
def tree(tmp_path: Path) -> dict[Path, str]:
    """Two rendered files below tmp_path/bundles, not written yet."""
    configs = tmp_path / "bundles" / "seg_a" / "configs"
    return {configs / "train.yaml": "epochs: 3\n", configs / "logging.conf": "[loggers]\n"}


# --- the committed files ------------------------------------------------------------------------------------


def test_committed_files_are_those_of_their_sources(rendered: dict[Path, str]) -> None:
    assert "".join(render.differences(rendered)) == ""


def test_first_line_names_sources_that_exist(rendered: dict[Path, str]) -> None:
    for path, text in rendered.items():
        if path.suffix != ".json":
            named = re.findall(r"bundles/[\w./]+\w", text.partition("\n")[0])
            assert named, path
            assert all((ROOT / name).is_file() for name in named), path


def test_no_statement_of_a_template_is_left(rendered: dict[Path, str]) -> None:
    assert [path for path, text in rendered.items() if re.search(r"<<|>>|<%|%>|^\s*#>", text, re.MULTILINE)] == []


def test_no_config_states_a_key_twice(rendered: dict[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    for path in rendered:
        if path.suffix == ".yaml":
            assert ConfigParser.load_config_file(path)


@by_bundle
def test_layers_are_those_of_the_catalog(item: Task | Method) -> None:
    found = {output.name for output in outputs(item)}
    layers = NETWORKS.keys() if isinstance(item, Task) else item.layers.keys()
    networks = {f"configs/{name}.yaml" for name in layers if name != templates.default_network(item)}
    assert networks <= found
    views = {f"configs/{task.view_layer}" for task in TASKS.values() if task.view_layer}
    assert views & found == (views if isinstance(item, Method) else set())


@by_bundle
def test_no_layer_can_lose_the_check_of_monais_version(item: Task | Method) -> None:
    """A layer that replaced ``initialize`` or ``imports`` would lose what the other files put there."""
    for path in (item.bundle / "configs").glob("*.yaml"):
        keys = yaml.safe_load(path.read_text(encoding="utf-8")).keys()
        if path.name in ("train.yaml", "inference.yaml"):
            assert yaml.safe_load(path.read_text(encoding="utf-8"))["initialize"][0] == "@check_monai"
        else:
            assert not {"initialize", "imports", "check_monai"} & keys, path


@by_bundle
@pytest.mark.parametrize(("found", "ends"), [("1.5.2", True), ("1.6.0", True), ("oldest", False), ("1.7", False)])
def test_an_older_monai_than_requirements_allow_ends_a_run(
    item: Task | Method, monkeypatch: pytest.MonkeyPatch, found: str, ends: bool
) -> None:
    monkeypatch.setattr("monai.__version__", templates.oldest_monai() if found == "oldest" else found)
    for name in ("train.yaml", "inference.yaml"):
        parser = ConfigParser()
        parser.read_config(item.bundle / "configs" / name)
        parser = ConfigParser({key: parser[key] for key in ("imports", "check_monai")})
        parser.get_parsed_content("imports")
        if ends:
            with pytest.raises(SystemExit, match=f"MONAI {found} found; the oldest allowed is 1.6.1"):
                parser.get_parsed_content("check_monai")
        else:
            parser.get_parsed_content("check_monai")


def test_pins_of_the_metadata_are_the_requirements_and_lie_in_their_ranges(rendered: dict[Path, str]) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ranges = {r.name: r.specifier for r in map(Requirement, (line for line in lines if line and line[0] != "#"))}
    for item in ITEMS:
        content = yaml.safe_load(rendered[item.bundle / "configs" / "metadata.json"])
        pins = {name: content[f"{key}_version"] for name, key in (("monai", "monai"), ("torch", "pytorch"))}
        pins |= {"numpy": content["numpy_version"], **content["required_packages_version"]}
        assert [name for name, pin in pins.items() if pin not in ranges[name]] == []
        assert ranges.keys() - pins.keys() == (set() if isinstance(item, Task) else {"scikit-image"})


# --- writing and comparing ------------------------------------------------------------------------------------


def test_write_touches_only_what_changed_and_removes_left_overs(tree: dict[Path, str], tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    train, conf = tree
    assert render.write(tree, bundles) == [train, conf]
    before = conf.stat().st_mtime_ns
    old, own = train.with_name("old.yaml"), train.with_name("own.yaml")
    old.write_text(f"# {templates.MARK}bundles/seg_a/task.yaml.\nepochs: 1\n")
    own.write_text("# a layer written by hand\n")
    assert render.write({**tree, train: "epochs: 4\n"}, bundles) == [train, old]
    assert train.read_text() == "epochs: 4\n"
    assert conf.stat().st_mtime_ns == before
    assert sorted(path.name for path in train.parent.iterdir()) == ["logging.conf", "own.yaml", "train.yaml"]


def test_differences_show_what_was_edited_missing_or_left_over(tree: dict[Path, str], tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    train, conf = tree
    render.write(tree, bundles)
    assert render.differences(tree, bundles) == []
    train.write_text("epochs: 5\n")
    conf.unlink()
    train.with_name("old.yaml").write_text(f"# {templates.MARK}x.\n")
    edited, missing, left = render.differences(tree, bundles)
    assert edited.startswith("--- bundles/seg_a/configs/train.yaml (found)\n+++ bundles/seg_a")
    assert "-epochs: 5\n+epochs: 3\n" in edited
    assert "+[loggers]\n" in missing
    assert f"-# {templates.MARK}x.\n" in left


def test_check_ends_with_the_diff_and_one_line(
    rendered: dict[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {**rendered, TASKS["btcv"].bundle / "configs" / "smoke.yaml": "other\n"}
    monkeypatch.setattr(templates, "render_all", lambda: changed)
    with pytest.raises(SystemExit, match=r"^error: 1 files differ from their sources"):
        render.run(argparse.Namespace(check=True))
    assert "+other\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("#> extends layout\n#> block loss\n", r"seg_btcv/task\.yaml, line \d: "),
        ("epochs: <<epoch>>\n", r"bundles/seg_btcv/configs/ensemble\.yaml: 'epoch' is undefined"),
    ],
)
def test_a_mistake_in_a_source_names_the_file(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "seg_btcv").mkdir()
    (tmp_path / "seg_btcv" / "task.yaml").write_text(source)
    engine = environment().overlay(loader=FileSystemLoader(tmp_path))
    with pytest.raises(ValueError, match=message):
        render_bundle(engine, TASKS["btcv"])


def test_blocks_of_an_inserted_file_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "fragment.yaml").write_text("a: 1\n#> set b = 3\n#> block loss\nloss: l1\n#> endblock\n")
    (tmp_path / "layout.yaml").write_text('#> insert "fragment.yaml"\nb: <<b>>\n')
    (tmp_path / "task.yaml").write_text('#> extends "layout.yaml"\n#> block loss\nloss: mse\n#> endblock\n')
    engine = environment().overlay(loader=FileSystemLoader(tmp_path))
    assert engine.get_template("layout.yaml").render() == "a: 1\nloss: l1\nb: 3\n"
    assert engine.get_template("task.yaml").render() == "a: 1\nloss: mse\nb: 3\n"


def test_a_mistake_in_an_inserted_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "seg_btcv").mkdir()
    (tmp_path / "seg_btcv" / "task.yaml").write_text('epochs: 3\n#> insert "fragment.yaml"\n')
    (tmp_path / "fragment.yaml").write_text("a: 1\n#> endif\n")
    engine = environment().overlay(loader=FileSystemLoader(tmp_path))
    with pytest.raises(ValueError, match=r"fragment\.yaml, line 2: "):
        render_bundle(engine, TASKS["btcv"])
