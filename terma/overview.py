"""The terminals as they are shown to a person, and to a program."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backends.cleaning import clean_line
from backends.console import GREEN, RED, YELLOW, ago, cells, say, table, terminal_width
from backends.protocol import schema
from backends.protocol.terminals import ListTerminals, TerminalState

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo

EMPTY = "there are no terminals; `terma new NAME` makes one"

_HEAD = ("NAME", "KIND", "ROLE", "STATE", "UNREAD", "PID", "IDLE", "FOLDER")
_FROM_WIDTH = {"UNREAD": 30, "ROLE": 40, "KIND": 50, "PID": 60, "FOLDER": 70, "IDLE": 120}
"""Columns that a narrower window has not: the window decides, so that none comes and goes."""

_CUT_FIRST = ("FOLDER", "ROLE", "KIND")
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

    A narrow window has fewer columns, and says less of each state. Where room is short, commands
    are cut, but never how long they run.
    """
    heads = [one for one in _HEAD if width is None or width >= _FROM_WIDTH.get(one, 0)]
    rows = [_row(one, now) for one in terminals]
    room = None if width is None else width - _taken(heads, rows)
    say_state = state_of if "IDLE" in heads else short_state
    for one, row in zip(terminals, rows, strict=True):
        row["STATE"] = say_state(one, now, room)
    return table(
        [heads, *([row[head] for head in heads] for row in rows)],
        [None, *(_COLORS.get(one.state) for one in terminals)],
        [heads.index(one) for one in _CUT_FIRST if one in heads],
        width,
    )


def _taken(heads: Sequence[str], rows: Sequence[Mapping[str, str]]) -> int:
    """Return how many columns a table takes beside its states."""
    widths = {head: max(map(cells, (head, *(row[head] for row in rows)))) for head in heads}
    widths |= {"STATE": 0}
    if "FOLDER" in widths:
        widths["FOLDER"] = min(widths["FOLDER"], _FOLDER_ROOM)
    return sum(widths.values()) + _GAP * (len(heads) - 1)


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


def state_of(terminal: TerminalInfo, now: float, room: int | None = None) -> str:
    """Say what a terminal does, since when, and how that is known; what it runs may be cut."""
    since = f", {_since(terminal.state_since, now)}" if terminal.state_since else ""
    source = f", from {terminal.source}" if terminal.source else ""
    return _state(terminal, ": ", since + source, room)


def short_state(terminal: TerminalInfo, now: float, room: int | None = None) -> str:
    """Say what a terminal does and since when; what it runs is cut to the columns there are."""
    age = f" {short_ago(now - terminal.state_since)}" if terminal.state_since else ""
    return _state(terminal, " ", age, room)


def _state(terminal: TerminalInfo, gap: str, end: str, room: int | None) -> str:
    word, detail = terminal.state.value, terminal.detail
    if detail and room is not None:
        from terma.fast import cut

        left = room - len(word + gap + end)
        detail = cut(clean_line(detail), left) if left >= _LEAST_DETAIL else ""
    return word + (gap + detail if detail else "") + end


def short_ago(seconds: float) -> str:
    """Say a length of time in one unit: `40s`, `3m`, `2h`, `5d`."""
    whole = max(int(seconds), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _row(terminal: TerminalInfo, now: float) -> dict[str, str]:
    has_idle = bool(terminal.pid) and bool(terminal.active_at)
    return {
        "NAME": terminal.name,
        "KIND": terminal.kind if terminal.is_recorded else f"{terminal.kind}, no log",
        "ROLE": ",".join(terminal.roles) or "-",
        "STATE": "",
        "UNREAD": str(terminal.unread or "-"),
        "PID": str(terminal.pid or "-"),
        "IDLE": _since(terminal.active_at, now) if has_idle else "-",
        "FOLDER": _home(terminal.folder),
    }


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
