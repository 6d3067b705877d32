"""Reading weights files: layouts, damage, and each file once."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from custom_components.transfer import (
    cards,
    check_pretrained,
    file_sha256,
    load_pretrained,
    read_card,
    read_weights,
    write_card,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"   \n ", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not a torch file"),
        (b"\n  <html>", "is a web page, not a torch file"),
        (b"not a torch file at all", "cannot be read as tensors"),
    ],
)
def test_files_that_are_no_weights_raise_and_are_named(target, tmp_path, content, message, unchanged):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights file .*model.pt {message}") as error:
        load_pretrained(target, path)
    assert "\n" not in str(error.value)
    assert unchanged()


def test_a_folder_a_pickle_and_a_whole_module_raise_and_say_what_they_are(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; name the file in it"):
        read_weights(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": Path("x")}))
    with pytest.raises(ValueError, match=r"\(it holds Python objects: a pickle\); save a state_dict instead$"):
        read_weights(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match=r"\(it holds Python objects: torch.nn.modules.linear.Linear\); save a"):
        read_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_loaded(weights, target, value, unchanged):
    state = torch.load(weights, weights_only=True)
    names = list(state)
    for name in names[3:5]:
        state[name].view(-1)[-1] = value
    torch.save(state, weights)
    with pytest.raises(ValueError, match=rf"model.pt holds NaN or infinity, first in {names[3]};"):
        load_pretrained(target, weights)
    assert unchanged()


def test_every_flipped_byte_of_a_tensor_is_found(weights, target, unchanged):
    whole = weights.read_bytes()
    with zipfile.ZipFile(weights) as archive:
        records = [info for info in archive.infolist() if "/data/" in info.filename]
        starts = [archive.open(info)._orig_compress_start for info in records]
    for info, start in zip(records[:3], starts[:3], strict=True):
        for place in (0, info.file_size // 2, info.file_size - 1):
            damaged = bytearray(whole)
            damaged[start + place] ^= 1
            weights.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"model.pt is damaged \(checksum of {info.filename}\)"):
                load_pretrained(target, weights)
    assert unchanged()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_raises_and_is_named(weights, target, share):
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"model.pt cannot be read as tensors \(truncated"):
        load_pretrained(target, weights)


def test_a_check_and_the_loading_read_and_hash_the_file_once(weights, target, monkeypatch):
    write_card(weights, {})
    reads, opened, load, builtin = [], [], torch.load, open
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: reads.append(args) or load(*args, **kwargs))
    monkeypatch.setattr(cards, "open", lambda *args: opened.append(args) or builtin(*args), raising=False)
    check_pretrained(target, weights)
    report = load_pretrained(target, weights)
    assert file_sha256(weights) == read_card(weights)["sha256"]
    assert (len(reads), len(opened)) == (1, 1)
    assert report.encoder_share == 1.0
    torch.save({key: value + 1 for key, value in target.state_dict().items()}, weights)
    assert not torch.equal(read_weights(weights)["conv_0.conv_0.conv.bias"], target.conv_0.conv_0.conv.bias)


def test_a_missing_file_raises_and_is_named(target, tmp_path):
    with pytest.raises(ValueError, match="model.pt does not exist"):
        load_pretrained(target, tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"a": torch.ones(1), "b": "text"}, torch.ones(2)])
def test_content_that_is_no_dictionary_of_tensors_raises(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds no dictionary of tensors"):
        read_weights(tmp_path / "model.pt")


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"a": Harmful()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        read_weights(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("wrapper", ["network", "state_dict", "model", "net", "pretext"])
def test_a_nested_checkpoint_is_unwrapped(source, target, tmp_path, wrapper):
    content = {wrapper: {f"module.{key}": value for key, value in source.state_dict().items()}, "epoch": 3}
    torch.save(content, tmp_path / "checkpoint.pt")
    report = load_pretrained(target, tmp_path / "checkpoint.pt")
    assert len(report.matched) == len(target.state_dict()) - 2
    assert report.unexpected == []


def test_prefixes_are_taken_off_at_the_start_of_keys_only(tmp_path):
    torch.save({"module.a.module.b": torch.ones(1), "c.network.d": torch.ones(1)}, tmp_path / "model.pt")
    assert set(read_weights(tmp_path / "model.pt")) == {"a.module.b", "c.network.d"}
