"""The terminals as they are shown to a person, and to a program."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.console import GREEN, RED, YELLOW, ago, cells, table
from backends.protocol import schema
from backends.protocol.terminals import ListTerminals, TerminalState

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo

EMPTY = "there are no terminals; `terma new NAME` makes one"

_HEAD = ("NAME", "KIND", "ROLE", "STATE", "UNREAD", "PID", "IDLE")
_FOLDER_ROOM = 14
"""Columns that must be left on a terminal for the folder to be shown."""

_MAGENTA = "1;35"
_COLORS = {
    TerminalState.IDLE: GREEN,
    TerminalState.BUSY: YELLOW,
    TerminalState.WAITING: _MAGENTA,
    TerminalState.EXITED: RED,
    TerminalState.LOST: RED,
}


def fetch(name: str | None) -> Sequence[TerminalInfo]:
    """Ask for all terminals, or for one."""
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(ListTerminals(name=name)).terminals


def as_text(terminals: Sequence[TerminalInfo], indent: int | None = None) -> str:
    """Return terminals as JSON."""
    return json.dumps(schema.encode(terminals), indent=indent)


def as_table(terminals: Sequence[TerminalInfo], now: float, width: int | None) -> str:
    """Return terminals as a table for so many columns; `None` cuts nothing."""
    rows = [list(_HEAD), *(_row(one, now) for one in terminals)]
    taken = sum(max(cells(row[n]) for row in rows) + 2 for n in range(len(_HEAD)))
    cut_first = [_HEAD.index("STATE")]
    if width is None or width - taken >= _FOLDER_ROOM:
        folders = ["FOLDER", *(_home(one.folder) for one in terminals)]
        rows = [[*row, folder] for row, folder in zip(rows, folders, strict=True)]
        cut_first = [len(_HEAD)]
    colors = [None, *(_COLORS.get(one.state) for one in terminals)]
    return table(rows, colors, cut_first, width)


def warnings_of(terminals: Sequence[TerminalInfo]) -> list[str]:
    """Return a line for each terminal that a person should know something of."""
    return [f"warning: {one.name}: {one.warning}" for one in terminals if one.warning]


def state_of(terminal: TerminalInfo, now: float) -> str:
    """Say what a terminal does, since when, and how that is known."""
    word = terminal.state.value
    parts = [f"{word}: {terminal.detail}" if terminal.detail else word]
    if terminal.state_since:
        parts.append(ago(max(now - terminal.state_since, 0.0)))
    if terminal.source:
        parts.append(f"from {terminal.source}")
    return ", ".join(parts)


def _row(terminal: TerminalInfo, now: float) -> list[str]:
    is_running = bool(terminal.pid)
    idle = ago(max(now - terminal.active_at, 0.0)) if is_running and terminal.active_at else "-"
    return [
        terminal.name, terminal.kind, ",".join(terminal.roles) or "-", state_of(terminal, now),
        str(terminal.unread or "-"), str(terminal.pid or "-"), idle,
    ]  # fmt: skip


def _home(folder: str) -> str:
    """Write a folder as a person would: `~/src`."""
    home = os.path.expanduser("~")
    return f"~{folder[len(home) :]}" if f"{folder}/".startswith(f"{home}/") else folder
