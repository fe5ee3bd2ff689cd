"""`terma attach` and `terma next`: a person's own terminal joined to a named one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from backends.console import die_of, say
from backends.errors import NotFound, TektonError, UsageError
from terma.options import Debug

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo
    from terma.attach.keys import Key

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Look on; type nothing.")]
Status = Annotated[bool, typer.Option("--status", help="Show a status line in the last row.")]
NoHistory = Annotated[
    bool, typer.Option("--no-history", help="Have nothing above the screen to scroll back to.")
]
OneName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A terminal; by default the only one.")
]
DetachKey = Annotated[str, typer.Option("--key", metavar="KEY", help="The key that lets go.")]


def attach(
    name: OneName = None,
    read_only: ReadOnly = False,
    status: Status = False,
    no_history: NoHistory = False,
    key: DetachKey = "ctrl-]",
    debug: Debug = False,
) -> None:
    """terma attach alice: joins this terminal to a named one; Ctrl-] lets go of it.

    Pressed twice, Ctrl-] is sent. Several may be attached at once: the terminal has the size of
    the one who typed last, and others see it in a frame. Up to 1,000 rows that have scrolled
    away come along, to scroll back to. Ends with status 0, also when the program inside ends:
    its own status is told.
    """
    from backends.client.blocking import BlockingTekton
    from backends.protocol.terminals import ListTerminals
    from terma.attach.keys import parse_key

    chosen = parse_key(key)
    _check_place()
    with BlockingTekton(is_local=True) as tekton:
        found = tekton.call(ListTerminals(name=name)).terminals
    if name is None:
        found = (the_only_one(found, _own_id()),)
    elif not found:
        raise NotFound(f"no terminal named {name!r}", "`terma list` shows all")
    _join(found[0], chosen, status, not no_history, is_read_only=read_only)


def attach_next(
    status: Status = False,
    no_history: NoHistory = False,
    key: DetachKey = "ctrl-]",
    debug: Debug = False,
) -> None:
    """terma next: joins this terminal to the one that has waited longest for a person.

    Where none waits it says so and ends with status 3.
    """
    from backends.client.blocking import BlockingTekton
    from backends.protocol.terminals import ListTerminals
    from terma.attach.keys import parse_key

    chosen = parse_key(key)
    _check_place()
    with BlockingTekton(is_local=True) as tekton:
        found = longest_waiting(tekton.call(ListTerminals()).terminals, _own_id())
    if found is None:
        raise NotFound("no terminal waits for a person", "`terma list` shows what they do")
    _join(found, chosen, status, not no_history)


def the_only_one(terminals: tuple[TerminalInfo, ...], own_id: str | None = None) -> TerminalInfo:
    """Return the one terminal in which something runs, one's own left out.

    Raises:
        NotFound: There is none.
        UsageError: There are more.
    """
    running = [info for info in terminals if _runs(info) and info.id != own_id]
    if not running:
        raise NotFound("there is no terminal to attach to", "`terma new NAME` makes one")
    if len(running) > 1:
        names = ", ".join(info.name for info in running)
        raise UsageError(
            f"{len(running)} terminals run: {names}", f"name one: `terma attach {running[0].name}`"
        )
    return running[0]


def longest_waiting(
    terminals: tuple[TerminalInfo, ...], own_id: str | None = None
) -> TerminalInfo | None:
    """Return the terminal that has waited longest for a person; never one's own."""
    from backends.protocol.terminals import TerminalState

    waiting = [
        info for info in terminals if info.state is TerminalState.WAITING and info.id != own_id
    ]
    return min(waiting, key=lambda info: info.state_since, default=None)


def _own_id() -> str | None:
    return os.environ.get("TERMA_INSTANCE")


def _check_place() -> None:
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError(
            "standard input and output have to be a terminal to attach it to another",
            "`terma screen NAME` shows what a terminal shows, `terma send NAME` types into it",
        )


def _check_runs(info: TerminalInfo) -> None:
    """Let nobody's window be cleared for a terminal that is over.

    Raises:
        TektonError: It is.
    """
    from backends.protocol.terminals import TerminalState

    if info.state is TerminalState.CLOSED:
        new, log = f"`terma new {info.name}`", f"`terma log {info.name}`"
        raise NotFound(f"{info.name} is closed", f"{new} makes a new one, {log} shows its log")
    if not _runs(info):
        why = f" ({info.detail})" if info.detail else ""
        verb = "has" if info.state is TerminalState.EXITED else "is"
        raise TektonError(
            f"nothing runs in {info.name}: it {verb} {info.state.value}{why}",
            f"`terma restore {info.name}` runs it anew, `terma log {info.name}` has what it showed",
        )


def _runs(info: TerminalInfo) -> bool:
    from backends.protocol.terminals import TerminalState

    return info.state not in (TerminalState.EXITED, TerminalState.LOST, TerminalState.CLOSED)


def _join(
    info: TerminalInfo, key: Key, has_status: bool, has_history: bool, is_read_only: bool = False
) -> None:
    if info.id == _own_id():
        raise UsageError(
            f"this is {info.name} itself: attached to itself, it would show itself for ever",
            f"run `terma attach {info.name}` outside of it",
        )
    _check_runs(info)
    from backends.config import load_config
    from backends.paths import find_paths
    from terma.attach.client import Attach

    notify = load_config(find_paths().config_file, os.environ).terma.notify
    say(f"{info.name}: {key} detaches{'; read-only' if is_read_only else ''}")
    end = Attach(info, key, is_read_only, has_status, has_history, notify).run()
    try:
        for notice in end.notices:
            say(f"{end.name}: {notice}")
        if end.waiting:
            say(end.waiting)
        if end.error is not None:
            raise end.error
        say(f"{end.name}: {end.words}")
    finally:
        if end.signal is not None:  # also where the window is gone, and nothing can be said
            die_of(end.signal)
