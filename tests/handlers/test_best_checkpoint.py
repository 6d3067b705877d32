"""The best weights: flat, with a card, replaced only by better ones."""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.faults import Fault
from custom_components.handlers import BestCheckpoint
from custom_components.pretext import HybridMIM
from custom_components.transfer import file_sha256, load_pretrained, read_card


def evaluate(handler, values, name="val_loss"):
    """One validation per value; returns the epochs after which a file was written."""
    written: list[int] = []
    path = handler.save_dir / next(iter(handler.files))
    for epoch, value in enumerate(values, start=1):
        engine = Engine(lambda engine, batch: None)

        def measure(engine, value=value, epoch=epoch):
            engine.state.metrics[name] = value
            engine.state.epoch = epoch

        engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
        handler.attach(engine)
        before = path.read_bytes() if path.exists() else None
        for module in handler.files.values():
            with torch.no_grad():
                next(module.parameters()).add_(1)
        engine.run([0], max_epochs=1)
        if path.exists() and path.read_bytes() != before:
            written.append(epoch)
    return written


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("min", [3.0, 2.0, 2.0, 5.0, 1.0], [1, 2, 5]),
        ("max", [3.0, 2.0, 3.0, 5.0, 1.0], [1, 4]),
        ("min", [float("nan"), 2.0, float("nan"), 1.0], [2, 4]),
        ("max", [float("nan"), 0.0], [2]),
        ("max", [float("inf"), 0.5, float("inf")], [2]),
        ("min", [float("-inf"), 0.5], [2]),
    ],
)
def test_only_better_values_replace_the_file(tmp_path, mode, values, expected):
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_loss", mode)
    assert evaluate(handler, values) == expected
    assert handler.best_epoch == expected[-1]
    assert handler.best == values[expected[-1] - 1]


def test_files_are_flat_tensors_with_cards_whose_sha_is_theirs(make_network, tmp_path):
    network = make_network("BasicUNet")
    pretext = HybridMIM(network, contrast_features=8)
    card = {"method": "HybridMIM", "view": {"spacing": [1.5, 1.5, 2.0]}}
    handler = BestCheckpoint(
        str(tmp_path / "models"), {"model.pt": network, "pretext.pt": pretext}, "val_loss", "min", card
    )
    evaluate(handler, [0.25])
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "model.card.json",
        "model.pt",
        "pretext.card.json",
        "pretext.pt",
    ]
    for name, module in handler.files.items():
        path = tmp_path / "models" / name
        state = torch.load(path, weights_only=True)
        assert list(state) == list(module.state_dict())
        assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
        found = read_card(path)
        assert found["sha256"] == file_sha256(path)
        assert found["method"] == "HybridMIM"
        assert found["view"] == card["view"]
        assert found["metric"] == {"val_loss": 0.25}
        assert found["epoch"] == 1
    report = load_pretrained(make_network("BasicUNet", 1, 14, seed=3), tmp_path / "models" / "model.pt")
    assert report.encoder_share == 1.0


def test_the_best_value_survives_a_resume(tmp_path):
    files = {"model.pt": torch.nn.Linear(2, 2)}
    first = BestCheckpoint(str(tmp_path), files, "val_dice", "max")
    evaluate(first, [0.5, 0.7], name="val_dice")
    second = BestCheckpoint(str(tmp_path), files, "val_dice", "max")
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert evaluate(second, [0.6, 0.7, 0.8], name="val_dice") == [3]


@pytest.mark.parametrize(("metric", "mode"), [("val_loss", "min"), ("val_dice", "min")])
def test_the_best_of_another_metric_is_forgotten_with_a_warning(tmp_path, caplog, metric, mode):
    files = {"model.pt": torch.nn.Linear(2, 2)}
    first = BestCheckpoint(str(tmp_path), files, "val_dice", "max")
    evaluate(first, [0.1], name="val_dice")
    second = BestCheckpoint(str(tmp_path), files, metric, mode)
    second.load_state_dict(first.state_dict())
    assert f"the best val_dice (max) so far is 0.1, but this run uses {metric} ({mode})" in caplog.text
    assert (second.best, second.best_epoch) == (None, 0)
    assert evaluate(second, [5.0], name=metric) == [1]


def test_a_state_without_its_metric_is_taken_to_be_of_this_one(tmp_path, caplog):
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_dice")
    handler.load_state_dict({"best": 0.5, "best_epoch": 3})
    assert (handler.best, handler.best_epoch) == (0.5, 3)
    assert not caplog.records


def test_rank_one_remembers_and_does_not_write(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_loss", "min")
    assert evaluate(handler, [1.0]) == []
    assert handler.best == 1.0
    assert not list(tmp_path.iterdir())


def test_a_metric_that_is_not_measured_raises_and_names_those_that_are(tmp_path):
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_acc", "max")
    with pytest.raises(Fault, match=r"key_metric is 'val_acc'; the evaluator measures \['val_accuracy'\]"):
        evaluate(handler, [1.0], name="val_accuracy")


def test_an_unknown_mode_or_no_files_raises(tmp_path):
    with pytest.raises(ValueError, match="mode is 'best'; allowed: 'max', 'min'"):
        BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_loss", "best")
    with pytest.raises(ValueError, match="files is empty"):
        BestCheckpoint(str(tmp_path), {}, "val_loss")


def test_an_interrupted_save_leaves_the_old_weights(tmp_path, monkeypatch):
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_loss", "min")
    evaluate(handler, [1.0])
    before = (tmp_path / "model.pt").read_bytes()

    def broken(content, target):
        target.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        evaluate(handler, [0.5])
    assert (tmp_path / "model.pt").read_bytes() == before
    assert read_card(tmp_path / "model.pt")["metric"] == {"val_loss": 1.0}


@pytest.mark.parametrize("full_at", ["model.pt", "model.card.json", "pretext.pt", "pretext.card.json"])
def test_a_full_disk_changes_none_of_the_files_and_is_one_line(tmp_path, fill_disk, full_at):
    files = {"model.pt": torch.nn.Linear(2, 2), "pretext.pt": torch.nn.Linear(3, 3)}
    handler = BestCheckpoint(str(tmp_path), files, "val_loss", "min")
    evaluate(handler, [1.0])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fill_disk(full_at)
    with pytest.raises(
        Fault,
        match=rf"{full_at} cannot be written: No space left on device \(.* free in .*\); model.pt, .* unchanged",
    ):
        evaluate(handler, [0.5])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert read_card(tmp_path / "pretext.pt")["metric"] == {"val_loss": 1.0}
    assert handler.best == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    handler = BestCheckpoint(str(tmp_path), {"model.pt": torch.nn.Linear(2, 2)}, "val_loss", "min")
    with torch.no_grad():
        handler.files["model.pt"].bias[1] = value
    with pytest.raises(Fault, match=r"model.pt is not written: after epoch 1 bias holds NaN or infinity"):
        evaluate(handler, [1.0])
    assert list(tmp_path.iterdir()) == []
