import importlib.util
import json
from pathlib import Path

import pytest


def load_recapture():
    path = Path(__file__).with_name("recapture_golden.py")
    spec = importlib.util.spec_from_file_location("recapture_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_losses_are_what_they_were():
    """A difference that is meant: run recapture_golden.py and say in the commit why the numbers moved."""
    recapture = load_recapture()
    expected, found = json.loads(recapture.GOLDEN.read_text()), recapture.measure()
    assert found.keys() == expected.keys()
    for case, values in expected.items():
        assert found[case] == pytest.approx(values, rel=1e-6), case
