"""`terma list`: the terminals there are, and what each does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backends.console import GREEN, RED, YELLOW, ago, cells, say, table, terminal_width
from backends.errors import UsageError
from backends.protocol import schema
from backends.protocol.terminals import ListTerminals, TerminalState
from terma.options import Debug, Json

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


def list_terminals(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Only this one, also if it is closed.")
    ] = "",
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew with each change, until q or Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="One line for status lines and prompts, see above.")
    ] = False,
    for_completion: Annotated[bool, typer.Option("--for-completion", hidden=True)] = False,
    debug: Debug = False,
) -> None:
    """terma list --watch: what there is, and what each does, since when, and how that is known.

    With --short, `alice● bob!+2 eve✗` says: alice is busy, bob waits for a person and has two
    unread messages, eve is lost; ○ has exited, and no mark is idle. It is quick enough to be
    asked every other second, and prints nothing, with status 0, where no hub answers.
    """
    if short or for_completion:
        if as_json or watch or for_completion:  # alone it is answered before all this is loaded
            raise UsageError("--short stands alone", "`terma list --json` is for programs")
        from terma.short import short_line

        if line := short_line(name or None):
            print(line)
        return
    if watch:
        from terma.commands.watching import watch_terminals

        watch_terminals(name or None, as_json)
        return
    terminals = fetch(name or None)
    if as_json:
        print(as_text(terminals, indent=1))
        return
    if terminals:
        print(as_table(terminals, time.time(), terminal_width()))
    else:
        say(EMPTY)
    for line in warnings_of(terminals):
        say(line)


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
