"""Classes of a plan, their mapping, and the flips that they allow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from mim3d.plan.labels import Classes, decide_augmentation, decide_labels, structure_diameter
from mim3d.plan.survey import Survey

MakeSurvey = Callable[..., Survey]


def decided(found: Survey) -> dict[str, Any]:
    return {made.key: made.value for made in decide_labels(Classes(found), found.labelled)}


def test_values_18_20_21_become_classes_1_2_3(make_survey: MakeSurvey) -> None:
    names = {0: "background", 18: "liver", 20: "spleen", 21: "colon"}
    found = make_survey(labels=names, values=[{18: 1.0, 21: 1.0}, {20: 1.0}])
    made = decided(found)
    assert made["label_names"] == ["background", "liver", "spleen", "colon"]
    assert made["source_values"] == {"files": [18, 20, 21], "masks": [1, 2, 3]}
    reason = next(m.reason for m in decide_labels(Classes(found), 2) if m.key == "source_values")
    assert "18 → 1, 20 → 2, 21 → 3" in reason
    label = torch.tensor([[[[0, 18, 20, 21]]]])
    for folder, given in (("DATA", label), ("", torch.tensor([[[[0, 1, 2, 3]]]]))):
        parser = ConfigParser({**made, "dataset_dir": folder})
        mapping, allowed = (parser.get_parsed_content(key) for key in ("label_mapping", "label_values"))
        assert mapping({"label": given})["label"].flatten().tolist() == [0, 1, 2, 3]
        assert allowed == given.flatten().tolist()


def test_consecutive_values_are_not_mapped(make_survey: MakeSurvey) -> None:
    assert decided(make_survey(labels={1: "a", 2: "b"}, values=[{1: 1.0, 2: 1.0}])) == {
        "label_names": ["background", "a", "b"]
    }


def test_values_without_a_name_and_names_without_a_value_are_told(make_survey: MakeSurvey) -> None:
    classes = Classes(make_survey(labels={0: "nothing", 1: "a", 3: "c"}, values=[{1: 1.0, 2: 1.0}]))
    assert (classes.background, classes.names) == ("nothing", ["a", "value 2", "c"])
    assert (classes.named, classes.missing) == (False, [3])
    single = Classes(make_survey(values=[{255: 1.0}]))
    assert (single.names, single.named) == (["foreground"], True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{}], "the 1 label maps read hold the background (0) alone"),
        ([{-1: 1.0, 2: 1.0}], "the label maps hold 2 values, from -1 to 2; allowed: 1 to 255 values above 0"),
        ([dict.fromkeys(range(1, 258), 1.0)], "the label maps hold 257 values"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(make_survey: MakeSurvey, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Classes(make_survey(values=values))


@pytest.mark.parametrize(
    ("names", "flips", "plane"),
    [
        (["spleen"], [0.1, 0.1, 0.1], [0, 1]),
        (["left kidney", "right kidney"], [0.0, 0.1, 0.1], None),
        (["kidney_left"], [0.0, 0.1, 0.1], None),
        (["Anterior", "Posterior"], [0.1, 0.0, 0.1], None),
        (["upper lobe"], [0.1, 0.1, 0.0], [0, 1]),
        (["plbright"], [0.1, 0.1, 0.1], [0, 1]),  # a side is a whole word
    ],
)
def test_no_flip_swaps_two_sides_and_no_rotation_stretches(
    make_survey: MakeSurvey, names: list[str], flips: list[float], plane: list[int] | None
) -> None:
    labels = dict(enumerate(names, 1))
    classes = Classes(make_survey(labels=labels, values=[dict.fromkeys(labels, 1.0)]))
    made = decide_augmentation(classes, (96, 96, 64), (1.0, 1.0, 2.0))
    assert [decision.value for decision in made] == [flips, plane]


def test_classes_without_a_name_are_not_flipped(make_survey: MakeSurvey) -> None:
    classes = Classes(make_survey(values=[{1: 1.0, 2: 1.0}]))
    made = decide_augmentation(classes, (96, 96, 96), (1.0, 1.0, 1.0))
    assert [decision.value for decision in made] == [[0.0, 0.0, 0.0], None]


def test_the_diameter_is_that_of_a_ball_of_the_median_volume(make_survey: MakeSurvey) -> None:
    ball = 4 / 3 * 3.14159265 * 10**3
    assert structure_diameter(make_survey(values=[{1: ball, 2: 1.0}, {1: 9 * ball}])) == pytest.approx(20.0)
    assert structure_diameter(make_survey()) is None
