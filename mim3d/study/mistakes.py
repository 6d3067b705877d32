"""Collecting every mistake of a study file, so that the user can correct all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from custom_components.number_checks import check_number


class StudyError(ValueError):
    """A study file cannot be run.

    Args:
        mistakes: one line for each.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class Mistakes:
    """A list of mistakes with the checks that fill it; a check that fails returns a harmless value.

    Args:
        file: name of the study file, which starts every line.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []

    def add(self, text: str) -> None:
        """Add a mistake; the same one is listed once."""
        line = f"{self.file}: {' '.join(text.split())}"
        if line not in self.lines:
            self.lines.append(line)

    def stop(self) -> None:
        """Raise StudyError if there is a mistake."""
        if self.lines:
            raise StudyError(self.lines)

    def mapping(self, value: Any, where: str, allowed: Collection[str] | None = None) -> dict[str, Any]:
        """Return a mapping with text keys; None gives an empty one. Unknown keys are mistakes."""
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            self.add(f"{where} is {value!r}; allowed: keys with values")
            return {}
        for key in value:
            if allowed is not None and key not in allowed:
                self.choice(key, f"a key of {where}", allowed)
        return {key: entry for key, entry in value.items() if allowed is None or key in allowed}

    def choice(self, value: Any, where: str, allowed: Collection[str]) -> bool:
        """Return whether a value is an allowed one; suggest the nearest if it is not."""
        if value in allowed:
            return True
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        self.add(f"{value!r} is not {where}; {hint}allowed: {', '.join(allowed) or 'none'}")
        return False

    def number(self, value: Any, where: str, **bounds: Any) -> bool:
        """Return whether a value is a number within the bounds of ``check_number``."""
        return self.check(lambda: check_number(value, where, **bounds))

    def check(self, call: Callable[[], object]) -> bool:
        """Return whether a call ends without ValueError; its message is the mistake."""
        try:
            call()
        except ValueError as error:
            self.add(str(error))
            return False
        return True

    def listed(self, value: Any, where: str) -> list[Any]:
        """Return a list without repetition; a single value is a list of one."""
        values = value if isinstance(value, list) else [value]
        if not values:
            self.add(f"{where} is empty; allowed: one value or more")
        repeated = [entry for number, entry in enumerate(values) if entry in values[:number]]
        if repeated:
            self.add(f"{where} has {repeated[0]!r} twice; allowed: distinct values")
        return values
