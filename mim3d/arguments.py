"""What the command lines share: a parser whose errors are one line, and types of arguments.

Standard library only, as :mod:`mim3d.cli` explains.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from custom_components.number_checks import check_number


class UsageError(ValueError):
    """A wrong command line: the command ends with exit status 2 before it writes anything."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError` and names the nearest flag for an unknown one.

    Args:
        **settings: those of ``argparse.ArgumentParser``; description and epilog keep their line breaks.
    """

    #: Whether flags that are not the command's own are keys of a config; ``parse`` returns them as ``keys``.
    takes_keys = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    @property
    def flags(self) -> list[str]:
        """Every ``--flag`` of the command, in the order of the help."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UsageError` with argparse's message."""
        raise UsageError(message)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse a command line; flags may be written with ``-`` in place of ``_``.

        Unknown flags are looked for first, so that a misspelled required flag is named as misspelled and not as
        missing.

        Raises:
            UsageError: for an unknown flag and everything else that is wrong.
        """
        end = words.index("--") if "--" in words else len(words)
        if self.takes_keys:
            own, keys = self._split_keys(words[:end])
            return self.parse_args([*own, *words[end:]], argparse.Namespace(keys=keys))
        return self.parse_args([*map(self._known_flag, words[:end]), *words[end:]])

    def _split_keys(self, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Return the command's own words, and the keys with their values; a key without a value is True."""
        own: list[str] = []
        keys: dict[str, str] = {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            name = name.replace("-", "_").lstrip("_")
            if not word.startswith("--") or f"--{name}" in self.flags:
                own.append(self._known_flag(word))
                continue
            if not equals:
                value = rest.pop(0) if rest and not rest[0].startswith("--") else "True"
            keys[name] = value
        return own, keys

    def _known_flag(self, word: str) -> str:
        """Return a word with its flag as the parser spells it; other words stay."""
        if not word.startswith("--"):
            return word
        name, equals, value = word.partition("=")
        name = "--" + name[2:].replace("-", "_")
        if name not in self.flags:
            near = difflib.get_close_matches(name, self.flags, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"unknown flag {name}; {hint}allowed: {', '.join(self.flags)}")
        return name + equals + value


def add_bundles(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``BUNDLE ...``: names of bundles, none for the default."""
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help=help)


def add_layers(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--layer NAME.yaml ...``, which may be given several times; the default is no layer."""
    parser.add_argument("--layer", nargs="+", action="extend", default=[], metavar="NAME.yaml", help=help)


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Add ``INPUT ...``: what `mim3d.segment.cases.find_cases` looks for volumes in; ``input`` in the result."""
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a folder, a NIfTI file, a datalist.json, or the files of one case in the order of its channels",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights FILE`` and ``--layer``, see `mim3d.segment.weights.with_published`."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights, or the name of published ones, which brings their layers and keys (default: "
        "models/model.pt in the bundle's folder)",
    )
    add_layers(parser, "layers that the weights were trained with: names in the bundle's configs, or paths")


def add_data(parser: argparse.ArgumentParser, help: str = "the folder of volumes") -> None:
    """Add ``DATA``, the folder of volumes; ``dataset_dir`` in the result."""
    parser.add_argument("dataset_dir", metavar="DATA", help=help)


def add_datalist(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--datalist FILE``; ``default`` says in the help which list is read without it."""
    parser.add_argument("--datalist", metavar="FILE", help=f"a data list (default: {default})")


def add_workers(parser: argparse.ArgumentParser, default: int, help: str) -> None:
    """Add ``--workers N``; ``help`` says what is done N at a time."""
    count = number(whole=True, at_least=1)
    parser.add_argument(
        "--workers", type=count, default=default, metavar="N", help=f"{help} (default: %(default)s)"
    )


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how subjects are split; what is not given is None, see :func:`given_split`."""
    size: dict[str, Any] = {"type": share_or_count, "metavar": "SIZE"}
    add = parser.add_argument
    add(
        "--validation",
        **size,
        help="share (0.2) or number (24) of the labelled subjects that choose the best weights (default: 0.2)",
    )
    add("--test", **size, help="the same, for the final evaluation (default: 0)")
    add("--seed", type=number(whole=True, at_least=0), metavar="N", help="seed of the split (default: 0)")
    add(
        "--subject_pattern",
        metavar="REGEX",
        help="regular expression whose first group is the subject in a case's path (default: names decide; volumes"
        " of one sub-01, or that differ only in session, date or sequence, are of one subject)",
    )


def given_split(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of :func:`add_split` that were given, by the names that ``prepare_datalist`` takes."""
    values = {name: getattr(arguments, name) for name in ("validation", "test", "seed", "subject_pattern")}
    return {name: value for name, value in values.items() if value is not None}


def number(whole: bool = False, **bounds: Any) -> Callable[[str], Any]:
    """Return an argument type: a number within bounds.

    Args:
        whole: an int; otherwise a float.
        **bounds: ``above``, ``at_least``, ``below`` and ``at_most`` of ``check_number``.
    """

    def parse(text: str) -> Any:
        try:
            value: Any = float(text)
        except ValueError:
            value = text
        try:
            check_number(value, "the value", whole=whole, **bounds)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return int(value) if whole else value

    return parse


def share_or_count(text: str) -> int | float:
    """Read a share (0.2, with a dot) or a number of subjects (24).

    Raises:
        argparse.ArgumentTypeError: for anything else, a share above 1 and a negative number.
    """
    size = number(at_least=0, at_most=1) if "." in text else number(whole=True, at_least=0)
    value: int | float = size(text)
    return value
