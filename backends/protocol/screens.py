"""The messages of terma about what terminals show, and have shown."""

from __future__ import annotations

from dataclasses import dataclass

from backends.protocol.messages import Request
from backends.protocol.terminals import TerminalEnd


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
class ShowScreen(Request[Screen]):
    """Show what a terminal shows, with so many rows of what has scrolled away."""

    METHOD = "terminal.screen"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Screen

    name: str
    scrollback: int = 0


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row of a screen that is another one now, counted from 0."""

    index: int
    row: Row


@dataclass(frozen=True, kw_only=True)
class ScreenChange:
    """A whole `screen`, or what is different since the last change."""

    offset: int
    screen: Screen | None = None
    rows: tuple[ChangedRow, ...] = ()
    cursor_column: int = 0
    cursor_row: int = 0
    cursor_is_visible: bool = True
    title: str = ""
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class WatchScreen(Request[TerminalEnd]):
    """Follow a screen: first whole, then row by row, at most 30 times a second."""

    METHOD = "terminal.watch"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalEnd
    CHUNK = ScreenChange

    name: str


# -- logs ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Raw output from `offset` on, put out at `at` on a terminal of that size (base64).

    Where the offset is beyond the end of the piece before, what lay between is not kept.
    """

    offset: int
    at: float
    columns: int
    rows: int
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class LogEnd:
    """How far a log reaches; `left_out` counts lines over the limit."""

    oldest: int
    end: int
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadLog(Request[LogEnd]):
    """Stream what a terminal has put out, closed ones too; times are seconds since the epoch.

    With `follows` it goes on as there is more, until the terminal ends.
    """

    METHOD = "terminal.log"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = LogEnd
    CHUNK = LogPiece

    name: str
    since: float | None = None
    until: float | None = None
    offset: int = 0
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line as it was shown, when it was complete, and where in the log that was."""

    at: float
    offset: int
    text: str


@dataclass(frozen=True, kw_only=True)
class LogLines:
    """Some lines, in the order in which they were put out."""

    lines: tuple[LogLine, ...]


@dataclass(frozen=True, kw_only=True)
class ReadLines(Request[LogEnd]):
    """Stream the log as lines of text, as a person would have seen them.

    `pattern` is a regular expression (Python's `re`); only lines where it is found come.
    `limit` keeps the last so many, 0 all.
    """

    METHOD = "terminal.lines"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = LogEnd
    CHUNK = LogLines

    name: str
    since: float | None = None
    until: float | None = None
    pattern: str | None = None
    ignores_case: bool = False
    limit: int = 0
