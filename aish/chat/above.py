"""Drawing above an input area that prompt_toolkit owns, without drawing the area anew.

A redraw of prompt_toolkit's costs about a millisecond, and an answer that streams wants twenty a
second. So what streams is written over it by relative moves of the cursor alone: up to the rows
above the area, into room that is made by line feeds below it and inserted rows above it, and back
to where prompt_toolkit believes the cursor to be. Nothing depends on where on the screen that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point

from aish.layout import bare, cells

_ERASE = "\x1b[K"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


@dataclass(frozen=True)
class Area:
    """The input area: how many rows it has, and where in it the cursor is; counted from 0."""

    height: int
    row: int
    column: int


class ChatApplication(Application[int]):
    """An application that has rows above its input area.

    The private attributes of prompt_toolkit that this class and `Above` use are why its version
    is pinned.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.above = Above(self)
        self.before_render += lambda _: self._shrink()

    def _shrink(self) -> None:
        """Let the area become lower again: the renderer itself only lets it grow."""
        screen = self.renderer.last_rendered_screen
        if screen is None:
            return
        size = self.output.get_size()
        wanted = self.layout.container.preferred_height(size.columns, size.rows).preferred
        if min(wanted, size.rows) < screen.height:
            self.renderer.erase()

    def _on_resize(self) -> None:
        """Draw anew what is ours on the screen, where the terminal has left it."""
        self.above.take_off()
        super()._on_resize()


class Above:
    """Rows above the input area of an application: finished ones, and an unfinished tail."""

    def __init__(self, app: Application[Any]) -> None:
        self._app = app
        self._tail: list[str] = []

    @property
    def room(self) -> int:
        """Rows of the screen that the input area leaves."""
        return self._app.output.get_size().rows - self._area().height

    @property
    def can_draw(self) -> bool:
        """False while the terminal is another program's, or before the first drawing."""
        app = self._app
        is_drawn = app.renderer.last_rendered_screen is not None
        return app.is_running and is_drawn and not app._running_in_terminal

    def draw(self, rows: Sequence[str], tail: Sequence[str], is_steady: bool = True) -> None:
        """Write finished rows, and show the tail in the place of the one before.

        Args:
            rows: Each may be wider than the terminal, which then wraps it.
            tail: At most `room` rows, each narrower than the terminal.
            is_steady: Keep the input area where it is if there are fewer rows than before.
        """
        size = self._app.output.get_size()
        area = self._area(size.rows)
        room = size.rows - area.height
        if room < 1:
            self._draw_anew(rows)
            return
        parts: list[tuple[list[str], list[str], bool]]
        parts = [(chunk, [], True) for chunk in chunks(rows, size.columns, room)]
        text = ""
        for chunk, under, steady in [*parts, ([], list(tail[-room:]), is_steady)]:
            old = self._tail[-room:]
            if steady:
                missing = len(old) - height_of(chunk, size.columns) - len(under)
                under += [""] * missing
            self._tail = under
            text += drawing(area, size.columns, old, chunk + under)
        if text:
            self._app.output.write_raw(text)
            self._app.output.flush()

    def forget(self) -> None:
        """Take it that the tail is not on the screen any more, or no longer ours to change."""
        self._tail = []

    def take_off(self) -> None:
        """Erase the tail and the area after the size has changed, and begin where they began.

        Where the terminal has wrapped rows anew, some of the tail stay: what stands above them is
        not ours to erase.
        """
        renderer = self._app.renderer
        up = min(len(self._tail), self._app.output.get_size().rows) + renderer._cursor_pos.y
        self._tail = []
        self._app.output.write_raw("\r" + _up(up))
        renderer._cursor_pos = Point(0, 0)

    def _draw_anew(self, rows: Sequence[str]) -> None:
        """Write rows where the input area takes the whole screen: it has to go meanwhile."""
        app = self._app
        self._tail = []
        if rows:
            app.renderer.erase()
            app.output.write_raw("\r\n".join([*rows, ""]))
            app._redraw()

    def _area(self, rows: int | None = None) -> Area:
        renderer = self._app.renderer
        screen = renderer.last_rendered_screen
        rows = rows or self._app.output.get_size().rows
        height = min(max(screen.height, 1), rows) if screen else 1
        return Area(height, renderer._cursor_pos.y, renderer._cursor_pos.x)


def drawing(area: Area, columns: int, old: Sequence[str], new: Sequence[str]) -> str:
    """Return what turns the rows above the area into others, with the cursor left where it is.

    Both together with the area fit on the screen.

    Args:
        area: The input area.
        columns: Width of the terminal.
        old: The rows that stand there now, each narrower than the terminal.
        new: What is to stand there; a row that is too wide is wrapped by the terminal.
    """
    growth = height_of(new, columns) - len(old)
    first, last = _differing(old, new, growth)
    if first == len(new) and not growth:
        return ""
    moves = ""
    if growth > 0:
        below = area.height - 1
        moves = _down(below - area.row) + "\r\n" * growth + _up(growth + below)
        moves += f"\x1b[{growth}L" + _up(len(old) - first)
    else:
        moves = "\r" + _up(area.row + len(old) - first)
    if not growth and first + 1 == last and _is_grown(old[first], new[first]):
        start = len(old[first])
        rows = _right(start) + new[first][start:] + "\r\n"
    else:
        rows = "".join(_row(row, columns) for row in new[first:last])
    if growth < 0:
        rows += f"\x1b[{-growth}M"
    if not growth:
        rows += _down(len(new) - last)
    return moves + rows + _down(area.row) + _right(area.column)


def height_of(rows: Sequence[str], columns: int) -> int:
    """Return how many rows of the terminal these take."""
    return sum(_wrapped(row, columns) for row in rows)


def chunks(rows: Sequence[str], columns: int, room: int) -> Iterator[list[str]]:
    """Part rows so that none of the parts is higher than the room that there is."""
    chunk: list[str] = []
    used = 0
    for row in rows:
        height = _wrapped(row, columns)
        if height > room:  # then it is cut, where the terminal would wrap it
            if chunk:
                yield chunk
            for piece in _cut(bare(row), columns, room):
                yield [piece]
            chunk, used = [], 0
            continue
        if used + height > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(row)
        used += height
    if chunk:
        yield chunk


def _differing(old: Sequence[str], new: Sequence[str], growth: int) -> tuple[int, int]:
    """Return where the rows begin to differ, and where in the new ones they end to."""
    first, last = 0, len(new)
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    if not growth and len(old) == len(new):
        while last > first and old[last - 1] == new[last - 1]:
            last -= 1
    return first, last


def _is_grown(old: str, new: str) -> bool:
    return new.startswith(old) and new.isascii()


def _row(row: str, columns: int) -> str:
    """Return what writes a row in the place of another, and goes to the next."""
    height = _wrapped(row, columns)
    if height > 1:
        clear = (_ERASE + "\x1b[B") * (height - 1) + _ERASE + _up(height - 1)
        return clear + row + "\r\n"
    if row.isascii():
        return _ERASE + row + "\r\n"
    # Terminals differ on the width of some characters: this row must not become two.
    return _ERASE + _NO_WRAP + row + _WRAP + "\r\n"


def _wrapped(row: str, columns: int) -> int:
    if len(row) < columns // 2:
        return 1
    text = bare(row)
    if cells(text) <= columns:
        return 1
    return sum(1 for _ in _cut(text, columns, 1))


def _cut(text: str, columns: int, room: int) -> Iterator[str]:
    """Cut a text as the terminal wraps it, into pieces of so many rows."""
    if text.isascii():
        size = columns * room
        yield from (text[start : start + size] for start in range(0, len(text), size))
        return
    from rich.cells import chop_cells

    pieces = chop_cells(text, columns)
    yield from ("".join(pieces[n : n + room]) for n in range(0, len(pieces), room))


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows else ""


def _down(rows: int) -> str:
    return f"\x1b[{rows}B" if rows else ""


def _right(columns: int) -> str:
    return f"\x1b[{columns}C" if columns else ""
