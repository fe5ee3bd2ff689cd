"""The terminals as they are shown to a person, and to a program."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.cleaning import clean_line
from backends.console import GREEN, RED, YELLOW, ago, cells, say, table, terminal_width
from backends.protocol import schema
from backends.protocol.terminals import ListTerminals, TerminalState

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo

EMPTY = "there are no terminals; `terma new NAME` makes one"

_HEAD = ("NAME", "KIND", "ROLE", "STATE", "UNREAD", "PID", "IDLE", "FOLDER")
_STATE, _FOLDER = _HEAD.index("STATE"), _HEAD.index("FOLDER")
_GAP = 2
_FOLDER_ROOM = 14
"""Columns that the folder gets before a command is shown whole."""

_LEAST_DETAIL = 4
_MAGENTA = "1;35"
_COLORS = {
    TerminalState.IDLE: GREEN,
    TerminalState.BUSY: YELLOW,
    TerminalState.WAITING: _MAGENTA,
    TerminalState.EXITED: RED,
    TerminalState.LOST: RED,
}


def fetch(name: str | None, is_closed: bool = False) -> Sequence[TerminalInfo]:
    """Ask for all terminals, or for one; or for those that are closed."""
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(ListTerminals(name=name, is_closed=is_closed)).terminals


def as_text(terminals: Sequence[TerminalInfo], indent: int | None = None) -> str:
    """Return terminals as JSON."""
    return json.dumps(schema.encode(terminals), indent=indent)


def as_page(terminals: Sequence[TerminalInfo], name: str | None) -> str:
    """Return all terminals as a table for the screen, or all that is known of the one named."""
    if name is not None:
        return "\n\n".join(as_lines(one, time.time()) for one in terminals)
    return as_table(terminals, time.time(), terminal_width()) if terminals else EMPTY


def as_table(terminals: Sequence[TerminalInfo], now: float, width: int | None) -> str:
    """Return terminals as a table for so many columns; `None` cuts nothing.

    Where room is short, first how a state is known goes, and how long nothing has happened; then
    commands are cut, but never how long they run.
    """
    rows = [_HEAD, *(_row(one, now) for one in terminals)]
    colors = [None, *(_COLORS.get(one.state) for one in terminals)]
    folders = min(max(cells(row[_FOLDER]) for row in rows), _FOLDER_ROOM)
    if width is None or _taken(rows, "FOLDER") + folders <= width:
        return table(rows, colors, [_FOLDER], width)
    room = max(width - _taken(rows, "FOLDER", "STATE", "IDLE") - folders, len("STATE"))
    states = ["STATE", *(short_state(one, now, room) for one in terminals)]
    kept = [n for n, head in enumerate(_HEAD) if head != "IDLE"]
    rows = [
        tuple(state if n == _STATE else row[n] for n in kept)
        for row, state in zip(rows, states, strict=True)
    ]
    return table(rows, colors, [len(kept) - 1], width)


def _taken(rows: Sequence[Sequence[str]], *without: str) -> int:
    """Return how many columns a table takes beside the cells of some of its own columns.

    The gap before each of these counts, but for the column of idle times, which is left out.
    """
    widths = (max(map(cells, column)) for column in zip(*rows, strict=True))
    taken = sum(width for head, width in zip(_HEAD, widths, strict=True) if head not in without)
    return taken + _GAP * (len(_HEAD) - 1 - ("IDLE" in without))


def as_closed_table(terminals: Sequence[TerminalInfo], now: float, width: int | None) -> str:
    """Return closed terminals as a table, the last one first."""
    rows = [("NAME", "CLOSED", "LOG", "ID", "FOLDER")]
    for one in terminals:
        closed = f"{short_ago(now - one.state_since)} ago"
        rows.append((one.name, closed, _log_of(one), one.id, _home(one.folder)))
    return table(rows, None, [rows[0].index("FOLDER")], width)


def as_lines(terminal: TerminalInfo, now: float) -> str:
    """Return all that a person may want to know of a terminal, a line for each."""
    one = terminal
    program, tree = " ".join(one.command), one.worktree
    known = {
        "name": one.name,
        "id": one.id,
        "kind": one.kind,
        "role": ",".join(one.roles),
        "state": state_of(one, now),
        "unread": f"{one.unread} ({one.unseen} new)" if one.unread else "",
        "pid": str(one.pid or ""),
        "idle": _since(one.active_at, now) if one.pid else "",
        "program": program,
        "title": one.title,
        "folder": _home(one.folder),
        "worktree": f"{_home(tree.path)} (branch {tree.branch})" if tree else "",
        "size": f"{one.columns}x{one.rows}",
        "attached": str(one.attached or ""),
        "started": _ago(one.started_at, now),
        "ended": _ago(one.ended_at or 0.0, now),
        "log": _log_of(one),
    }
    width = max(map(len, known))
    return "\n".join(f"{key:{width}}  {clean_line(text)}" for key, text in known.items() if text)


def warnings_of(terminals: Sequence[TerminalInfo]) -> list[str]:
    """Return a line for each terminal that a person should know something of."""
    return [f"warning: {one.name}: {one.warning}" for one in terminals if one.warning]


def state_of(terminal: TerminalInfo, now: float) -> str:
    """Say what a terminal does, since when, and how that is known."""
    word = terminal.state.value
    parts = [f"{word}: {terminal.detail}" if terminal.detail else word]
    if terminal.state_since:
        parts.append(_since(terminal.state_since, now))
    if terminal.source:
        parts.append(f"from {terminal.source}")
    return ", ".join(parts)


def short_state(terminal: TerminalInfo, now: float, room: int) -> str:
    """Say what a terminal does and since when; what it runs is cut to the columns there are."""
    word = terminal.state.value
    age = f" {short_ago(now - terminal.state_since)}" if terminal.state_since else ""
    left = room - len(word) - len(age) - 1
    if not terminal.detail or left < _LEAST_DETAIL:
        return word + age
    from terma.fast import cut

    return f"{word} {cut(clean_line(terminal.detail), left)}{age}"


def short_ago(seconds: float) -> str:
    """Say a length of time in one unit: `40s`, `3m`, `2h`, `5d`."""
    whole = max(int(seconds), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _row(terminal: TerminalInfo, now: float) -> tuple[str, ...]:
    has_idle = bool(terminal.pid) and bool(terminal.active_at)
    return (
        terminal.name,
        terminal.kind if terminal.is_recorded else f"{terminal.kind}, no log",
        ",".join(terminal.roles) or "-",
        state_of(terminal, now),
        str(terminal.unread or "-"),
        str(terminal.pid or "-"),
        _since(terminal.active_at, now) if has_idle else "-",
        _home(terminal.folder),
    )


def _since(at: float, now: float) -> str:
    return ago(max(now - at, 0.0))


def _ago(at: float, now: float) -> str:
    return f"{_since(at, now)} ago" if at else ""


def _log_of(terminal: TerminalInfo) -> str:
    """Say how much of a terminal is written down."""
    if not terminal.is_recorded:
        return "none"
    size = float(terminal.end - terminal.oldest)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _home(folder: str) -> str:
    """Write a folder as a person would: `~/src`."""
    home = os.path.expanduser("~")
    return f"~{folder[len(home) :]}" if f"{folder}/".startswith(f"{home}/") else folder


def tell_closed(name: str) -> None:
    """Say which terminal a name means, where that is a closed one.

    Raises:
        NotFound: There is none.
    """
    [found] = fetch(name)
    if found.state is TerminalState.CLOSED:
        say(f"{found.name}, closed {_ago(found.state_since, time.time())}")
