"""A log as lines: what left the screen at its top, or was wiped off it, and when.

An engine emulates the log in small steps; after each, the rows that have scrolled away are taken.
What a program wipes at once (a cleared screen) was seen as well, so it is taken just before.
Lines of the alternate screen are none: programs draw there, and nothing of it is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from terma.screen.base import ScreenEngine

STEP = 4096
"""Bytes after which rows are taken; it bounds how exact a line's offset is."""

KEPT_ROWS = 4 * STEP
"""Rows above that an engine must keep: what a step can push there, and a new size."""

# Erase the display or what is above it, a full reset; erasing from the cursor on may be all too.
_WIPES = re.compile(rb"\x1b\[[23]?J|\x1bc")
_LONGEST_WIPE = 4

Line = tuple[float, int, str]
"""When and at which offset a line was complete, and its text."""


class Renderer:
    """The lines of one log; its pieces come in order."""

    def __init__(self, engine: ScreenEngine) -> None:
        self._engine = engine
        self._open: list[str] = []  # rows of a line that goes on
        self._at = 0.0
        self._offset = 0
        self._held = b""  # the start of what may be a wipe
        engine.scrolled()

    def feed(self, offset: int, at: float, data: bytes) -> Iterator[Line]:
        """Take the next piece, and yield the lines that are complete with it."""
        self._at = at
        self._offset = offset - len(self._held)
        data = self._held + data
        end = _whole(data)
        data, self._held = data[:end], data[end:]
        start = 0
        for wipe in _WIPES.finditer(data):
            yield from self._steps(data[start : wipe.start()])
            start = wipe.end()
            yield from self._wiped(wipe[0])
        yield from self._steps(data[start:])

    def resize(self, columns: int, rows: int) -> Iterator[Line]:
        """Take another size, and yield the lines that it pushes off the screen."""
        self._engine.resize(columns, rows)
        yield from self._lines(self._engine.scrolled())

    def finish(self) -> Iterator[Line]:
        """Yield what is left on the screen."""
        self._engine.feed(self._held)
        self._offset += len(self._held)
        self._held = b""
        yield from self._lines(self._engine.scrolled())
        yield from self._lines(_without_blanks(self._engine.visible()))
        yield from self._closed()

    def _steps(self, data: bytes) -> Iterator[Line]:
        for start in range(0, len(data), STEP):
            step = data[start : start + STEP]
            self._engine.feed(step)
            self._offset += len(step)
            yield from self._lines(self._engine.scrolled())

    def _wiped(self, wipe: bytes) -> Iterator[Line]:
        screen = self._engine.show()
        is_all = wipe != b"\x1b[J" or (screen.cursor_row, screen.cursor_column) == (0, 0)
        is_seen = is_all and wipe != b"\x1b[3J" and not screen.is_alternate
        if is_seen:
            yield from self._lines(_without_blanks(self._engine.visible()))
            yield from self._closed()
        self._engine.feed(wipe)
        self._offset += len(wipe)
        pushed = self._engine.scrolled()
        if not is_seen:  # an engine may push there what it wipes: those were just taken
            yield from self._lines(pushed)

    def _lines(self, rows: Sequence[tuple[str, bool]]) -> Iterator[Line]:
        for text, wraps in rows:
            self._open.append(text)
            if not wraps:
                line, self._open = "".join(self._open), []
                yield self._at, self._offset, line

    def _closed(self) -> Iterator[Line]:
        """End a line whose other rows are gone."""
        return self._lines([("", False)] if self._open else [])


def _whole(data: bytes) -> int:
    """Return where the data ends without what may be the start of a wipe."""
    at = data.rfind(b"\x1b", max(0, len(data) - _LONGEST_WIPE + 1))
    return len(data) if at < 0 or _WIPES.match(data, at) else at


def _without_blanks(rows: Sequence[tuple[str, bool]]) -> Sequence[tuple[str, bool]]:
    end = len(rows)
    while end and not rows[end - 1][0]:
        end -= 1
    return rows[:end]
