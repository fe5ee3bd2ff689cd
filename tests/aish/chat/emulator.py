"""A terminal that understands what a chat may write, and refuses everything else."""

from __future__ import annotations

import re

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)( q|[A-Za-z])|\x1b|[\r\n]|[^\x1b\r\n]")


class Emulator:
    """Rows of a screen and, in `gone`, those that have left it at the top.

    A wide character takes its cell and an empty one; one without width joins the cell before.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.gone: list[str] = []
        self._cells = [self._empty() for _ in range(rows)]
        self.row = self.column = 0
        self._wraps = True

    @property
    def screen(self) -> list[str]:
        """What the screen shows, without spaces at the ends of rows."""
        return ["".join(row).rstrip() for row in self._cells]

    @property
    def shown(self) -> list[str]:
        """All rows, those that have left too, without empty ones at the end."""
        rows = [*self.gone, *self.screen]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def feed(self, text: str) -> None:
        """Take what is written."""
        for token in _TOKEN.finditer(text):
            if token[3]:
                self._sequence(token[1], token[2], token[3])
            elif token[0] == "\r":
                self.column = 0
            elif token[0] == "\n":
                self._line_feed()
            elif token[0] == "\b":
                self.column = max(min(self.column, self.columns - 1) - 1, 0)
            else:
                assert token[0].isprintable() or token[0] in "\u200d", repr(token[0])
                self._put(token[0])

    def _put(self, character: str) -> None:
        width = cell_len(character)
        if width == 0:
            if self.column:
                self._cells[self.row][self.column - 1] += character
            return
        if self.column + width > self.columns:
            if self._wraps:
                self.column = 0
                self._line_feed()
            else:
                self.column = self.columns - width
        self._cells[self.row][self.column] = character
        if width == 2:
            self._cells[self.row][self.column + 1] = ""
        self.column += width

    def _line_feed(self) -> None:
        if self.row < self.rows - 1:
            self.row += 1
            return
        self.gone.append("".join(self._cells.pop(0)).rstrip())
        self._cells.append(self._empty())

    def _sequence(self, private: str, parameters: str, final: str) -> None:
        count = int(parameters or "1") if parameters.isdigit() or not parameters else 0
        self_column = min(self.column, self.columns - 1)
        if private:
            assert parameters in ("7", "12", "25", "1", "2004"), f"?{parameters}{final}"
            self._wraps = final == "h" if parameters == "7" else self._wraps
        elif final == " q":
            pass  # the cursor's shape
        elif final == "A":
            self.row, self.column = max(self.row - count, 0), self_column
        elif final == "B":
            self.row, self.column = min(self.row + count, self.rows - 1), self_column
        elif final == "C":
            self.column = min(self.column + count, self.columns - 1)
        elif final == "D":
            self.column = max(self_column - count, 0)
        elif final == "K":
            assert not parameters
            self._cells[self.row][self_column:] = [" "] * (self.columns - self_column)
        elif final == "J":
            assert not parameters
            self._cells[self.row][self_column:] = [" "] * (self.columns - self_column)
            self._cells[self.row + 1 :] = [self._empty() for _ in range(self.rows - self.row - 1)]
        elif final == "L":
            new = [self._empty() for _ in range(min(count, self.rows - self.row))]
            self._cells = [*self._cells[: self.row], *new, *self._cells[self.row :]][: self.rows]
        elif final == "M":
            del self._cells[self.row : self.row + count]
            self._cells += [self._empty() for _ in range(self.rows - len(self._cells))]
        else:
            assert final == "m", f"{parameters}{final}"

    def _empty(self) -> list[str]:
        return [" "] * self.columns
