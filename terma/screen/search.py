"""Which lines of a log are wanted; it is found out in a worker, for a pattern may never end."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from terma.screen.rendering import Lines

SEARCH_S = 1.0
"""Processor seconds that a pattern may take with the lines of one request."""


class TooSlow(Exception):
    """A pattern took too long."""


class Search:
    """The lines where a pattern is found, and of these the last so many; 0 is all."""

    def __init__(self, pattern: str | None, ignores_case: bool, limit: int) -> None:
        flags = re.IGNORECASE if ignores_case else 0
        self._pattern = re.compile(pattern, flags) if pattern else None
        self._limit = limit

    def pick(self, found: Sequence[Lines]) -> tuple[list[Lines], int]:
        """Return what is wanted of some lines, and how many there were over the limit.

        Raises:
            TooSlow: The pattern took too long.
        """
        wanted = list(found)
        if self._pattern is not None:
            search = self._pattern.search
            with _time_limit():
                wanted = [(at, end, list(filter(search, texts))) for at, end, texts in found]
        wanted = [lines for lines in wanted if lines[2]]
        over = sum(len(texts) for _, _, texts in wanted) - self._limit
        if not self._limit or over <= 0:
            return wanted, 0
        return _without(wanted, over), over


def _without(lines: list[Lines], count: int) -> list[Lines]:
    """Return lines without the first so many."""
    for number, (at, end, texts) in enumerate(lines):
        if count < len(texts):
            return [(at, end, texts[count:]), *lines[number + 1 :]]
        count -= len(texts)
    return []


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise `TooSlow` in what takes too long: matching looks out for signals."""
    before = signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _stop(number: int, frame: object) -> None:
    raise TooSlow
