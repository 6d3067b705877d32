"""The mim3d command: every command's help, wrong command lines, and how errors end."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from mim3d import cli
from mim3d.arguments import Parser, number, share_or_count

ROOT = Path(__file__).resolve().parents[2]


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit status and the one line on stderr of a command that is refused."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return int(stopped.value.code or 0), message.strip()


@pytest.mark.parametrize("name", [None, *cli.COMMANDS])
def test_help_imports_nothing_heavy(name: str | None) -> None:
    words = [name, "--help"] if name else []
    code = f"""if True:
        import sys
        from mim3d.cli import main
        try:
            main({words})
        except SystemExit as end:
            assert end.code == 0
        print(*{{"torch", "monai", "numpy", "nibabel", "yaml"}} & set(sys.modules), file=sys.stderr)"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stderr.strip() == ""
    assert ("example" if name else "quickstart") in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_argument_is_explained(name: str) -> None:
    parser = cli.parser_of(name)
    assert [action.dest for action in parser._actions if not action.help] == []
    assert parser.description


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["phantom"], 2, "unknown command 'phantom'; did you mean phantoms? allowed: quickstart, segment,"),
        (["phantoms", "--out", "OUT", "--case", "3"], 2, "unknown flag --case; did you mean --cases? allowed:"),
        (["stack", "DATA", "--oust", "OUT"], 2, "unknown flag --oust; did you mean --out? allowed:"),
        (["phantoms"], 2, "the following arguments are required: --out"),
        (
            ["phantoms", "--out", "OUT", "--cases", "-1"],
            2,
            "--cases: the value is -1.0; allowed: a whole number at",
        ),
        (
            ["phantoms", "--out", "OUT", "--cases", "many"],
            2,
            "--cases: the value is 'many'; allowed: a whole number",
        ),
        (["phantoms", "--out", "OUT", "--kind", "knee"], 2, "invalid choice: 'knee' (choose from 'abdomen_ct',"),
        (["phantoms", "--out", "OUT", "--size", "huge"], 2, "invalid choice: 'huge' (choose from"),
        (
            ["datalist", "OUT", "--validation", "1.5"],
            2,
            "--validation: the value is 1.5; allowed: a number at least 0 ",
        ),
        (["datalist", "OUT", "MORE"], 2, "unrecognized arguments: MORE"),
        (["stack", "--out", "OUT"], 2, "give a folder of cases, or --images"),
        (["stack", "DATA", "--images", "a.nii", "--out", "OUT"], 2, "give a folder of cases, or --images"),
        (["stack", "--images", "a.nii", "b.nii", "--out", "OUT", "--labels"], 2, "--labels goes with a folder"),
        (["stack", "DATA", "--out", "OUT", "--labels"], 2, "--labels and --label_source go together; allowed"),
        (["stack", "DATA", "--out", "OUT", "--label_source", "brats2021"], 2, "--labels and --label_source go"),
        (
            ["quickstart", "--method", "mae", "--backbone", "swin_unetr"],
            2,
            "--method mae does not go with --backbone",
        ),
        (["quickstart", "--budget", "0"], 2, "--budget: the value is 0.0; allowed: a number above 0"),
        (["package", "--weights", "none.pt", "--out", "OUT"], 2, "--weights none.pt is for one bundle"),
        (["verify", "--schema", "none.json"], 2, "--schema none.json does not exist"),
        # refused by what the command calls, not by the parser
        (["phantoms", "--out", "OUT", "--cases", "0"], 1, "no cases"),
        (["phantoms", "--out", "OUT", "--cases", "3", "--training", "4"], 1, "cases is 3"),
        (["stack", "/no/such", "--out", "OUT"], 1, "/no/such does not exist"),
        (["stack", "--images", "a.nii", "b.nii", "--out", "OUT.nii"], 1, "a.nii does not exist"),
        (["package", "seg_nothing", "--out", "OUT"], 1, "'seg_nothing' is not a bundle"),
        (["verify", "--only", "nothing"], 1, "unknown check 'nothing'"),
        (["label", "seg_nothing"], 1, "'seg_nothing' is not a segmentation bundle; allowed: seg_btcv"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_writes_nothing(
    words: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found_status, found = ended(capsys, *words)
    assert found_status == status
    assert found.startswith("error: ")
    assert message in found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("two\nlines"), 1, "error: two lines"),
        (FileNotFoundError(2, "No such file", "a.nii"), 1, "error: [Errno 2] No such file: 'a.nii'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_command_that_fails_ends_in_one_line(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: argparse.Namespace) -> None:
        raise error

    monkeypatch.setattr("mim3d.commands.phantoms.run", fail)
    assert ended(capsys, "phantoms", "--out", "OUT") == (status, line)


def test_flags_may_be_written_with_dashes() -> None:
    parser = cli.parser_of("datalist")
    found = parser.parse(["DATA", "--subject-pattern=(a-b)", "--unlabelled", "rest"])
    assert (found.subject_pattern, found.unlabelled) == ("(a-b)", "rest")
    assert Parser().parse([]) == argparse.Namespace()


def test_a_share_has_a_dot_and_a_number_of_cases_has_none() -> None:
    assert [(type(share_or_count(text)), share_or_count(text)) for text in ("0.5", "1", "1.0")] == [
        (float, 0.5),
        (int, 1),
        (float, 1.0),
    ]
    assert number(whole=True)("3") == 3
    for text in ("-1", "2e9x", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            share_or_count(text)
