"""Output as lines of text while it comes: each as it stood when the terminal went on to the next.

Only the line with the cursor is kept, as wide as it may get, so that what a shell's editing does
to it counts. What programs draw elsewhere on the screen is not followed, and what they draw on the
alternate screen is left out: `terma screen --watch` shows that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from backends.cleaning import clean_line
from backends.console import cells
from terma.recording.harmless import Harmless

_ALTERNATE = {
    (mode, final): f"\x1b[?1049{final}" for mode in ("47", "1047", "1049") for final in "hl"
}
_TOKEN = re.compile(
    r"[^\x00-\x1f]{1,4096}|\x1b\[([?0-9:;]*)([ -/]*[@-~])|\x1b[^\[0-~]*[0-~]|.", re.DOTALL
)
_WHOLE = re.compile(r"([^\x00-\x1f]*)\r\n")
_COLOUR = re.compile(r"\x1b\[[0-9:;]*m")
_TAB = 8
_LONGEST = 1 << 16
"""Cells after which a line ends with the next text, whatever there is to come."""


class Lines:
    """Turns output into lines; it may be cut into pieces anywhere."""

    def __init__(self) -> None:
        self._filter = Harmless(_ALTERNATE)
        self._cells: list[str] = []  # a wide character has an empty one behind it
        self._row = 0  # the cell that the cursor's row of a wrapped line begins with
        self._column = 0
        self._columns = 80
        self._is_alternate = False

    def feed(self, data: bytes, columns: int) -> Iterator[str]:
        """Yield the lines that are complete with the next piece, for a terminal so wide."""
        self._columns = max(columns, 2)
        output = _COLOUR.sub("", self._filter.feed(data).decode())
        at = 0
        while at < len(output):
            if (whole := self._is_fresh() and _WHOLE.match(output, at)) and self._fits(whole[1]):
                yield clean_line(whole[1]).rstrip()
            else:
                whole = _TOKEN.match(output, at)
                assert whole  # it takes every character  # nosec B101
                yield from self._take_in(whole)
            at = whole.end()

    def finish(self) -> Iterator[str]:
        """Yield the last line, if there is anything in it."""
        if line := self._take():
            yield line

    def _is_fresh(self) -> bool:
        return not (self._cells or self._column or self._is_alternate)

    def _fits(self, text: str) -> bool:
        return len(text) * (1 if text.isascii() else 2) <= self._columns

    def _take_in(self, token: re.Match[str]) -> Iterator[str]:
        text = token[0]
        if token[2] is not None:
            yield from self._sequence(token[1], token[2])
        elif not self._is_alternate and text[0] != "\x1b":
            if text[0] < " ":
                yield from self._control(text)
            elif len(self._cells) > _LONGEST:
                yield self._take()
                self._write(text)
            else:
                self._write(text)

    def _take(self) -> str:
        line = clean_line("".join(self._cells)).rstrip()
        self._cells, self._row, self._column = [], 0, 0
        return line

    def _control(self, control: str) -> Iterator[str]:
        if control in "\n\v\f":
            if self._row + self._columns < len(self._cells):  # it goes on in the row below
                self._row += self._columns
                return
            column = self._column
            yield self._take()
            self._column = column  # until a CR moves it
        elif control == "\r":
            self._column = 0
        elif control == "\b":
            self._column = max(min(self._column, self._columns - 1) - 1, 0)
        elif control == "\t":
            self._column = min(self._column + _TAB - self._column % _TAB, self._columns - 1)

    def _write(self, text: str) -> None:
        if text.isascii() and self._is_at_end() and self._column + len(text) <= self._columns:
            self._cells += text
            self._column += len(text)
            return
        for character in text:
            self._put(character, 1 if character.isascii() else _width(character))

    def _is_at_end(self) -> bool:
        return self._row + self._column == len(self._cells)

    def _put(self, character: str, width: int) -> None:
        if width == 0:
            if self._cells and self._row + self._column <= len(self._cells):
                self._cells[max(self._row + self._column - 1, 0)] += character
            return
        if self._column + width > self._columns:
            self._row, self._column = self._row + self._columns, 0
        at = self._row + self._column
        self._cells += " " * (at + width - len(self._cells))
        self._cells[at : at + width] = [character, *[""] * (width - 1)]
        self._column += width

    def _sequence(self, parameters: str, final: str) -> Iterator[str]:
        if parameters == "?1049":
            self._is_alternate = final == "h"
        if self._is_alternate or parameters[:1] == "?":
            return
        count = max(_number(parameters), 1)
        at = self._row + min(self._column, self._columns - 1)
        if final in ("H", "f") or (final == "J" and parameters == "2"):
            yield from self.finish()  # the cursor goes elsewhere, or the line, which was seen
        elif final == "A":
            self._row = max(self._row - count * self._columns, 0)
        elif final == "B":
            last = max(len(self._cells) - 1, 0) // self._columns * self._columns
            self._row = min(self._row + count * self._columns, last)
        elif final in _MOVES:
            self._column = max(min(_MOVES[final](self._column, count), self._columns - 1), 0)
        elif final in ("K", "J"):
            self._erase(at, parameters)
        elif final == "P":
            del self._cells[at : at + count]
        elif final == "@":
            self._cells[at:at] = " " * min(count, self._columns)
        elif final == "X":
            self._cells[at : at + count] = [" "] * len(self._cells[at : at + count])

    def _erase(self, at: int, parameters: str) -> None:
        if parameters in ("", "0"):
            del self._cells[at:]
        else:
            last = len(self._cells) if parameters == "2" else at + 1
            self._cells[self._row : last] = [" "] * len(self._cells[self._row : last])


@lru_cache(4096)
def _width(character: str) -> int:
    return cells(character)


_MOVES: Mapping[str, Callable[[int, int], int]] = {
    "C": lambda column, count: column + count,
    "D": lambda column, count: column - count,
    "G": lambda column, count: count - 1,
    "`": lambda column, count: count - 1,
}


def _number(parameters: str) -> int:
    digits = parameters.partition(";")[0]
    return int(digits) if digits.isdigit() and len(digits) < 6 else 0
