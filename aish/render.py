"""Markdown shown on a terminal while it streams in: every finished block is written exactly once.

Finished rows are never touched again, so an answer scrolls and copies like any other output. What
is not finished can be shown below them as plain text, a few rows that go when their block is done.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TextIO

from aish.blocks import Block, BlockSplitter
from aish.layout import Layout, wrap
from backends.cleaning import Cleaner

REFRESH_S = 0.05
"""Shortest time between two drawings of the unfinished text, in seconds."""

TAIL_ROWS = 10
"""Most rows of unfinished text on the screen; fewer where the terminal is low."""

_DEFAULT_SIZE = os.terminal_size((80, 24))
_TAB_STOP = 4
_LONGEST = 8
_ERASE_ROW = "\x1b[K"
_DOWN = "\x1b[B"


def terminal_size() -> os.terminal_size:
    """Return columns and rows of the terminal behind stdout, 80 by 24 where nobody knows."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return _DEFAULT_SIZE
    return size if size.columns > 0 and size.lines > 0 else _DEFAULT_SIZE


def terminal_width() -> int:
    """Return the columns of the terminal behind stdout."""
    return terminal_size().columns


def terminal_height() -> int:
    """Return the rows of the terminal behind stdout."""
    return terminal_size().lines


class MarkdownWriter:
    """Write a stream of untrusted Markdown as rows of text.

    Args:
        out: Where rows go; flushed after each write, never closed.
        width: Columns of the terminal; a callable is asked again before each write.
        color: Whether styles are written; they are closed on each row.
        live: Whether unfinished text is shown below; needs a terminal whose cursor can move.
        height: Rows of the terminal; unfinished text takes fewer.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        out: TextIO,
        width: Callable[[], int] | int,
        color: bool,
        live: bool,
        *,
        height: Callable[[], int] | int = terminal_height,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._width = width
        self._height = height
        self._clock = clock
        self._cleaner = Cleaner()
        self._blocks = BlockSplitter()
        self._layout = Layout(color)
        self._partial: list[str] = []
        self._tail = _Tail() if live else None
        self._drawn_at = float("-inf")

    def feed(self, text: str) -> None:
        """Take the next piece, cut anywhere; write what it finishes.

        Live, the unfinished rest is drawn too, unless the last drawing is less than `REFRESH_S`
        ago; `refresh` shows what that held back.
        """
        text = self._cleaner.feed(text)
        first, *others = text.split("\n")
        if first:
            self._partial.append(first)
        blocks: list[Block] = []
        if others:
            for line in ["".join(self._partial), *others[:-1]]:
                blocks += self._blocks.feed(line)
            self._partial = [others[-1]]
            self._write(blocks)
        if self._tail:
            if blocks or (others and not self._blocks.pending):
                self._tail.restart(self._unfinished())
            else:
                self._tail.add(text)
            if self._clock() - self._drawn_at >= REFRESH_S:
                self.refresh()

    def refresh(self) -> None:
        """Draw the unfinished text as it is now, for a caller that has waited for more."""
        if self._tail is None:
            return
        size = self._size()
        text = ""
        if size != self._tail.size:
            text = self._tail.erase(size)
            self._tail.restart(self._unfinished())
        text += self._tail.draw(size, self._blocks.is_gap_due)
        if text:
            self._put(text)
            self._drawn_at = self._clock()

    def hide(self) -> None:
        """Take the unfinished text off the screen until the next piece or `refresh`.

        Afterwards others may write whole lines to the terminal.
        """
        if self._tail:
            self._put(self._tail.erase(self._size()))

    def finish(self) -> None:
        """End the answer: write what is open and leave the cursor at the start of an empty row.

        An empty answer writes nothing. A second call does nothing; the next piece would begin
        another answer.
        """
        self._cleaner.finish()
        line = "".join(self._partial)
        blocks = self._blocks.feed(line) if line else []
        self._write(blocks + self._blocks.finish())
        self._partial = []
        self._blocks = BlockSplitter()
        self.hide()
        if self._tail:
            self._tail.restart("")

    def _size(self) -> tuple[int, int]:
        """Return columns and rows to use: a full row would leave open where the cursor is."""
        width = self._width() if callable(self._width) else self._width
        height = self._height() if callable(self._height) else self._height
        default = _DEFAULT_SIZE
        return max((width if width > 0 else default.columns) - 1, 1), max(height, 2)

    def _unfinished(self) -> str:
        return "\n".join([*self._blocks.pending, "".join(self._partial)])

    def _write(self, blocks: Sequence[Block]) -> None:
        if blocks:
            size = self._size()
            rows = [row + "\n" for block in blocks for row in self._layout.rows(block, size[0])]
            self._put((self._tail.erase(size) if self._tail else "") + "".join(rows))

    def _put(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()


class _Tail:
    """Unfinished text: wrapped as far as it has been drawn, and which rows are on the screen."""

    def __init__(self) -> None:
        self.size = (0, 0)
        self._rows: deque[str] = deque(maxlen=TAIL_ROWS)
        self._row = ""
        self._added: list[str] = []
        self._drawn: list[str] = []

    def restart(self, text: str) -> None:
        """Begin anew with a text; the rows on the screen stay until the next drawing."""
        self._rows.clear()
        self._row = ""
        self._added = [text]

    def add(self, text: str) -> None:
        """Append text; it is wrapped when it is drawn."""
        self._added.append(text)

    def erase(self, size: tuple[int, int]) -> str:
        """Return what takes the rows off a screen of that size.

        If its width has changed, the terminal may have wrapped them anew; if it is lower, some
        may have scrolled away. Then they stay, for what stands above is not ours to erase.
        """
        drawn, self._drawn = self._drawn, []
        if not drawn:
            return ""
        if size[0] != self.size[0] or len(drawn) > size[1]:
            return "\n"
        return _clear(drawn, 0)

    def draw(self, size: tuple[int, int], has_gap: bool) -> str:
        """Return what makes a screen of that size show the text as it is now."""
        self.size = size
        self._wrap(size[0])
        limit = min(TAIL_ROWS, size[1] - 1)
        rows = [*self._rows, self._row.rstrip()]
        if not any(rows):
            rows = []
        elif has_gap and limit > 1:
            rows = ["", *rows[1 - limit :]]
        rows = rows[-limit:]
        old, self._drawn = self._drawn, rows
        if rows == old:
            return ""
        if not old or not rows:
            return "\n".join(rows) or _clear(old, 0)
        same = 0
        while same < min(len(old), len(rows)) - 1 and old[same] == rows[same]:
            same += 1
        grown = "\n".join(rows[same:])
        if same == len(old) - 1 and grown.startswith(old[same]) and grown.isascii():
            return grown[len(old[same]) :]
        return _clear(old, same) + grown

    def _wrap(self, width: int) -> None:
        """Wrap what was added; the row that it ends in may still change."""
        text = (self._row + "".join(self._added)).expandtabs(_TAB_STOP)
        self._added = []
        *rows, (start, _) = wrap(text, width)
        self._rows.extend(text[first:last] for first, last in rows)
        # Only spaces and marks without width can make a row this long.
        self._row = text[start : start + _LONGEST * width]


def _clear(drawn: Sequence[str], first: int) -> str:
    """Return what erases drawn rows from `first` on and leaves the cursor there.

    Row by row, because some terminals keep in their history what is erased from their top down.
    """
    below = len(drawn) - 1 - first
    up = f"\x1b[{below}A" if below else ""
    return f"\r{up}{_ERASE_ROW}{(_DOWN + _ERASE_ROW) * below}{up}"
