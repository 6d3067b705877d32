"""What the dense probe needs before a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks import Probe
from custom_components.data import DataList


@pytest.fixture
def check(tmp_path: Path, write_nifti: Callable[..., Path]) -> Callable[..., Any]:
    """``check(interval, val_interval, key_metric, labelled=True)``: the check's line for two cases."""

    def run(
        interval: Any = 5, val_interval: int = 5, key_metric: str = "val_loss", labelled: bool = True
    ) -> str | None:
        listed: dict[str, list[dict[str, str]]] = {}
        for k, section in enumerate(("training", "validation")):
            image, label = f"{section}.nii.gz", f"{section}_seg.nii.gz"
            write_nifti(tmp_path / image, (6, 5, 4))
            if not (tmp_path / label).exists():
                write_nifti(tmp_path / label, (6, 5, 4), label_classes=3, seed=k)
            listed[section] = [{"image": image, **({"label": label} if labelled else {})}]
        (tmp_path / "datalist.json").write_text(json.dumps(listed))
        return Probe(DataList(tmp_path, require_label=False), interval, val_interval, 8, key_metric)()

    return run


def test_cases_and_values_are_printed(check) -> None:
    assert check() == "fitted on 1 labelled cases, scored on 1, label values 0 to 2"
    assert check(10, 5) == check(5, 5, "val_probe_dice") == check()
    assert check(None) is None


def test_without_labels_the_probe_is_off_unless_it_selects_the_weights(check, tmp_path: Path) -> None:
    found = "0 labelled training and 0 labelled validation cases"
    assert check(labelled=False) == f"off, because the list has {found}"
    with pytest.raises(ValueError, match=f"key_metric is 'val_probe_dice' and .* has {found}; allowed"):
        check(5, 5, "val_probe_dice", labelled=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((7, 5), "probe_interval is 7; allowed: null, or a multiple of val_interval (5)"),
        ((10, 5, "val_probe_dice"), "probe_interval is 10; allowed: val_interval (5), because every validation"),
        ((0, 5), "probe_interval is 0; allowed: null or a whole number at least 1"),
        (("5", 5), "probe_interval is '5'; allowed: null or a whole number at least 1"),
    ],
)
def test_an_interval_that_does_not_fit_is_named(check, given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as error:
        check(*given)
    assert message in str(error.value)


def test_a_label_that_is_no_label_map_is_named_with_the_way_out(check, tmp_path: Path, write_nifti) -> None:
    label = tmp_path / "validation_seg.nii.gz"
    way_out = "; correct the file, or set probe_interval to null"
    write_nifti(label, (6, 5, 3), label_classes=2)
    with pytest.raises(ValueError, match=r"validation_seg.nii.gz has shape \(6, 5, 3\).*" + way_out):
        check()
    for value in (0.5, np.inf):
        nib.save(nib.Nifti1Image(np.full((6, 5, 4), value, np.float32), np.eye(4)), label)
        with pytest.raises(ValueError, match=f"holds the value {value}; allowed: whole numbers" + way_out):
            check()
