"""The messages of terma about what terminals show, and have shown."""

from __future__ import annotations

from dataclasses import dataclass

from backends.protocol.messages import Request
from backends.protocol.rows import ChangedRow as ChangedRow
from backends.protocol.rows import Row as Row
from backends.protocol.rows import Run as Run
from backends.protocol.rows import Screen as Screen
from backends.protocol.terminals import TerminalEnd


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
class LogGroup:
    """Lines as they were shown: `text` has a line feed between them.

    All were complete at `at`, and lie before `offset` in the log.
    """

    at: float
    offset: int
    text: str


@dataclass(frozen=True, kw_only=True)
class LogLines:
    """Some lines, in the order in which they were put out; each group has a time of its own."""

    groups: tuple[LogGroup, ...]


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
