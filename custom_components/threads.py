"""Calling a function for many files in a few threads, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Given = TypeVar("Given")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Given], Result],
    items: Sequence[Given],
    title: str,
    unit: str = "case",
    threads: int = 4,
    progress: bool = True,
) -> list[Result]:
    """Return ``function`` of every item, in their order; the first failure stops the rest and is raised.

    Args:
        function: what is called.
        items: its arguments.
        title: text in front of the bar.
        unit: what an item is, for the bar.
        threads: calls at a time.
        progress: show a bar on stderr.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        results = pool.map(function, items)
        return list(tqdm(results, title, len(items), leave=False, unit=unit, disable=not (progress and items)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
