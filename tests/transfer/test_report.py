"""The printed report names what was not loaded."""

from __future__ import annotations

from custom_components.transfer import TransferReport


def test_the_printed_report_has_a_line_for_each_list_that_needs_a_look() -> None:
    report = TransferReport(path="model.pt", matched=["a"], expected_missing=["out.weight"], encoder_share=1.0)
    assert str(report).splitlines() == [report.summary(), "  left as initialised, on purpose: out.weight"]
    report.unexpected = [f"head.{number}" for number in range(5)]
    report.view_differences = ["spacing: pretrained with 1, this config has 2"]
    assert str(report).splitlines()[2:] == [
        "  not used, only in the file: head.0, head.1, head.2 and 2 more",
        "  differs: spacing: pretrained with 1, this config has 2",
    ]


def test_the_layout_is_named_if_the_file_is_foreign() -> None:
    assert TransferReport(path="model.pt").summary().startswith("pretrained weights model.pt: 0 matched")
    foreign = TransferReport(path="model.pt", layout="monai_mae")
    assert foreign.summary().startswith("pretrained weights model.pt (monai_mae): 0 matched")
    assert foreign.to_dict()["layout"] == "monai_mae"
