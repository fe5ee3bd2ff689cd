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


class MarkdownRows:
    """Turn a stream of untrusted Markdown into rows: finished ones once, and what is not finished.

    Args:
        color: Whether styles are in the rows; they are closed on each.
        has_tail: Whether unfinished text is kept for `tail`.
    """

    def __init__(self, color: bool, has_tail: bool) -> None:
        self._cleaner = Cleaner()
        self._blocks = BlockSplitter()
        self._layout = Layout(color)
        self._partial: list[str] = []
        self._tail = _Tail() if has_tail else None

    def feed(self, text: str, width: int) -> list[str]:
        """Take the next piece, cut anywhere; return the rows that it finishes."""
        text = self._cleaner.feed(text)
        first, *others = text.split("\n")
        if first:
            self._partial.append(first)
        blocks: list[Block] = []
        if others:
            for line in ["".join(self._partial), *others[:-1]]:
                blocks += self._blocks.feed(line)
            self._partial = [others[-1]]
        if self._tail:
            if blocks or (others and not self._blocks.pending):
                self._tail.restart(self._unfinished())
            else:
                self._tail.add(text)
        return self._rows(blocks, width)

    def tail(self, width: int, limit: int) -> list[str]:
        """Return the last rows of what is not finished, as plain text, at most `limit`."""
        if self._tail is None:
            return []
        if width != self._tail.width:
            self._tail.restart(self._unfinished())
        return self._tail.rows(width, limit, self._blocks.is_gap_due)

    def finish(self, width: int) -> list[str]:
        """End the answer: return the rows of what is open; what comes next begins another one."""
        self._cleaner.finish()
        line = "".join(self._partial)
        blocks = self._blocks.feed(line) if line else []
        blocks += self._blocks.finish()
        self._partial = []
        self._blocks = BlockSplitter()
        if self._tail:
            self._tail.restart("")
        return self._rows(blocks, width)

    def _rows(self, blocks: Sequence[Block], width: int) -> list[str]:
        return [row for block in blocks for row in self._layout.rows(block, width)]

    def _unfinished(self) -> str:
        return "\n".join([*self._blocks.pending, "".join(self._partial)])


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
        self._rows = MarkdownRows(color, live)
        self._is_live = live
        self._drawn: list[str] = []
        self._drawn_width = 0
        self._drawn_at = float("-inf")

    def feed(self, text: str) -> None:
        """Take the next piece, cut anywhere; write what it finishes.

        Live, the unfinished rest is drawn too, unless the last drawing is less than `REFRESH_S`
        ago; `refresh` shows what that held back.
        """
        size = self._size()
        self._write(self._rows.feed(text, size[0]), size)
        if self._is_live and self._clock() - self._drawn_at >= REFRESH_S:
            self.refresh()

    def refresh(self) -> None:
        """Draw the unfinished text as it is now, for a caller that has waited for more."""
        if not self._is_live:
            return
        width, height = size = self._size()
        text = self._erased(size) if width != self._drawn_width else ""
        text += self._redrawn(self._rows.tail(width, min(TAIL_ROWS, height - 1)))
        self._drawn_width = width
        if text:
            self._put(text)
            self._drawn_at = self._clock()

    def hide(self) -> None:
        """Take the unfinished text off the screen until the next piece or `refresh`.

        Afterwards others may write whole lines to the terminal.
        """
        self._put(self._erased(self._size()))

    def finish(self) -> None:
        """End the answer: write what is open and leave the cursor at the start of an empty row.

        An empty answer writes nothing. A second call does nothing; the next piece would begin
        another answer.
        """
        size = self._size()
        self._write(self._rows.finish(size[0]), size)
        self.hide()

    def _size(self) -> tuple[int, int]:
        """Return columns and rows to use: a full row would leave open where the cursor is."""
        width = self._width() if callable(self._width) else self._width
        height = self._height() if callable(self._height) else self._height
        default = _DEFAULT_SIZE
        return max((width if width > 0 else default.columns) - 1, 1), max(height, 2)

    def _write(self, rows: Sequence[str], size: tuple[int, int]) -> None:
        if rows:
            self._put(self._erased(size) + "\n".join(rows) + "\n")

    def _put(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()

    def _erased(self, size: tuple[int, int]) -> str:
        """Return what takes the unfinished rows off a screen of that size.

        If its width has changed, the terminal may have wrapped them anew; if it is lower, some
        may have scrolled away. Then they stay, for what stands above is not ours to erase.
        """
        drawn, self._drawn = self._drawn, []
        if not drawn:
            return ""
        if size[0] != self._drawn_width or len(drawn) > size[1]:
            return "\n"
        return _clear(drawn, 0)

    def _redrawn(self, rows: list[str]) -> str:
        """Return what makes the screen show these unfinished rows."""
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


class _Tail:
    """Unfinished text, wrapped as far as it has been asked for."""

    def __init__(self) -> None:
        self.width = 0
        self._rows: deque[str] = deque(maxlen=TAIL_ROWS)
        self._row = ""
        self._added: list[str] = []

    def restart(self, text: str) -> None:
        """Begin anew with a text."""
        self._rows.clear()
        self._row = ""
        self._added = [text]

    def add(self, text: str) -> None:
        """Append text; it is wrapped when it is asked for."""
        self._added.append(text)

    def rows(self, width: int, limit: int, has_gap: bool) -> list[str]:
        """Return the last rows, below an empty one where there is a gap; at most `limit`."""
        self.width = width
        self._wrap()
        rows = [*self._rows, self._row.rstrip()]
        if not any(rows):
            return []
        if has_gap and limit > 1:
            rows = ["", *rows[1 - limit :]]
        return rows[-limit:]

    def _wrap(self) -> None:
        """Wrap what was added; the row that it ends in may still change."""
        text = (self._row + "".join(self._added)).expandtabs(_TAB_STOP)
        self._added = []
        *rows, (start, _) = wrap(text, self.width)
        self._rows.extend(text[first:last] for first, last in rows)
        # Only spaces and marks without width can make a row this long.
        self._row = text[start : start + _LONGEST * self.width]


def _clear(drawn: Sequence[str], first: int) -> str:
    """Return what erases drawn rows from `first` on and leaves the cursor there.

    Row by row, because some terminals keep in their history what is erased from their top down.
    """
    below = len(drawn) - 1 - first
    up = f"\x1b[{below}A" if below else ""
    return f"\r{up}{_ERASE_ROW}{(_DOWN + _ERASE_ROW) * below}{up}"
