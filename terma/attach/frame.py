"""A screen drawn into a window of another size: top left in it, or the part with the cursor."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from backends.cleaning import clean_line
from backends.protocol.screens import Row, Run, Screen
from terma.look import row_in_color

_OUTSIDE = "·"
_FAINT = "\x1b[0;2m"


@dataclass(frozen=True)
class Part:
    """Which cells of a screen a window shows: from `left` and `top` on, so many."""

    left: int
    top: int
    columns: int
    rows: int


def find_part(screen: Screen, columns: int, rows: int) -> Part:
    """Return what a window of that size shows of a screen.

    Where it is smaller, its last row is for a note, and the part moves by half its size, so that
    it does not follow every key.
    """
    is_part = screen.columns > columns or screen.rows > rows
    room = max(rows - 1, 1) if is_part else rows
    left = _start(screen.cursor_column, screen.columns, columns)
    top = _start(screen.cursor_row, screen.rows, room)
    return Part(left, top, min(columns, screen.columns), min(room, screen.rows))


def _start(cursor: int, size: int, room: int) -> int:
    if size <= room:
        return 0
    step = max(room // 2, 1)
    return min(max((cursor - room) // step + 1, 0) * step, size - room)


class Frame:
    """A window that shows a screen of another size; it remembers what it has drawn."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns = columns
        self._rows = rows
        self._drawn: list[str] = []

    def draw(self, screen: Screen, note: str) -> bytes:
        """Return what is to be sent so that the window shows the screen as it is now.

        Args:
            screen: What is shown.
            note: Clean, in characters of one column; shown where there is room beside the screen,
                or in the last row.
        """
        part = find_part(screen, self._columns, self._rows)
        lines = list(self._lines(screen, part, note))
        changed = [
            f"\x1b[{index + 1};1H{line}\x1b[0m"
            for index, line in enumerate(lines)
            if index >= len(self._drawn) or self._drawn[index] != line
        ]
        self._drawn = lines
        row, column = screen.cursor_row - part.top, screen.cursor_column - part.left
        out = ["\x1b[?2026h\x1b[?25l", *changed]
        if screen.cursor_is_visible and 0 <= row < part.rows and column >= 0:
            out.append(f"\x1b[{row + 1};{min(column, part.columns - 1) + 1}H\x1b[?25h")
        out.append("\x1b[?2026l")  # at once, where the terminal can
        return "".join(out).encode("utf-8", "replace")

    def _lines(self, screen: Screen, part: Part, note: str) -> Iterator[str]:
        outside = self._columns - part.columns
        for index in range(part.rows):
            at = part.top + index
            row = screen.lines[at] if at < len(screen.lines) else Row()
            shown = row_in_color(crop_row(row, part.left, part.columns))
            yield shown + _FAINT + _OUTSIDE * outside
        below = self._rows - part.rows
        if below:
            words = f" {note} "[: self._columns]
            around = _OUTSIDE * (self._columns - len(words))
            yield f"\x1b[0;7m{words}{_FAINT}{around}"
        for _ in range(below - 1):
            yield _FAINT + _OUTSIDE * self._columns


def crop_row(row: Row, left: int, columns: int) -> Row:
    """Return exactly so many columns of a row, from `left` on.

    Of a character that is only half within, a blank is shown.
    """
    end, at = left + columns, 0
    runs: list[Run] = []
    for run in row.runs:
        text: list[str] = []
        for character in clean_line(run.text):
            width = width_of(character)
            within = min(at + width, end) - max(at, left)
            if 0 <= within == width and left <= at < end:
                text.append(character)
            elif within > 0:
                text.append(" " * within)
            at += width
        runs.append(replace(run, text="".join(text)))
    if at < end:
        runs.append(Run(text=" " * (end - max(at, left))))
    return Row(runs=tuple(run for run in runs if run.text))


def width_of(character: str) -> int:
    """Return how many columns a character takes: 0, 1 or 2 (UAX #11)."""
    if character < "\u0300":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
