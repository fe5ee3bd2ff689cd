"""What a terminal shows, in rows; by itself, for a process that works out screens needs no more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Run:
    """Text of one look within a row.

    Colours are a number of the palette as text (`"1"` is red), or `#rrggbb`; `None` is the
    terminal's own. `attributes` are of: bold, faint, italic, underline, blink, inverse,
    invisible, strikethrough, overline. `link` is where it leads.
    """

    text: str
    foreground: str | None = None
    background: str | None = None
    attributes: tuple[str, ...] = ()
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a screen, without the blanks at its end; `wraps` goes on in the next row."""

    runs: tuple[Run, ...] = ()
    wraps: bool = False


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a terminal shows at `offset`.

    `lines` are as many as there are `rows`; `scrollback` are those above, oldest first, as many
    as were asked for. The cursor is counted from 0, and is at `columns` where the next character
    wraps. `engine` has worked it out; `warning` tells what a person should know of that.
    """

    offset: int
    columns: int
    rows: int
    lines: tuple[Row, ...]
    scrollback: tuple[Row, ...] = ()
    scrollback_rows: int = 0
    """How many rows there are above, whatever was asked for."""
    cursor_column: int = 0
    cursor_row: int = 0
    cursor_is_visible: bool = True
    title: str = ""
    is_alternate: bool = False
    engine: str = ""
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row of a screen that is another one now, counted from 0."""

    index: int
    row: Row
