"""`terma rename`, `role`, `close` and `restore`: what changes a terminal, or ends it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backends.console import complain, say
from backends.errors import TektonError, UsageError
from backends.protocol.terminals import (
    ChangeRoles,
    CloseTerminal,
    ListTerminals,
    RenameTerminal,
    RestoreTerminals,
    TerminalState,
)
from terma.options import Debug, Name

if TYPE_CHECKING:
    from backends.client.tekton import Tekton
    from backends.protocol.messages import Request
    from backends.protocol.terminals import Closed, NotRestored, TerminalInfo

_AT_ONCE = 64
"""Terminals that are closed at the same time; a connection takes 256 requests."""

_RESTORE_S = 60.0

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Terminals, by name.")]


def rename(
    name: Name,
    to: Annotated[str, typer.Argument(metavar="NEW", help="The name it has from now on.")],
    debug: Debug = False,
) -> None:
    """terma rename alice eve: give a terminal another name; its id, log and messages stay."""
    _call(RenameTerminal(name=name, to=to))


def role(
    name: Name,
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE[,ROLE]...]", help="Its roles from now on."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="It has no role any more.")] = False,
    debug: Debug = False,
) -> None:
    """terma role eve review,test: replace its roles; @review reaches all that have that one."""
    found = [one for word in roles or () for one in word.split(",") if one]
    if bool(found) == none:
        raise UsageError(
            "name the roles, or --none" if not none else "roles and --none contradict each other",
            f"`terma role {name} review,test`, or `terma role {name} --none`",
        )
    _call(ChangeRoles(name=name, roles=tuple(dict.fromkeys(found))))


def close(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every terminal; asks before.")] = False,
    exited: Annotated[
        bool, typer.Option("--exited", help="Those whose program has ended.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete its log and its messages, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    debug: Debug = False,
) -> None:
    """terma close alice bob: end all that runs in a terminal; its name is free again.

    Programs are told to hang up, and are killed after two seconds. The log stays for as long as
    the configuration says (`terma.keep_days`), a git worktree until you remove it. Of a terminal
    that is closed already, --forget deletes what is kept; `terma list --closed` shows them.
    """
    if bool(names) + everything + exited != 1:
        raise UsageError(
            "tell which terminals: by name, --all, or --exited",
            "`terma close alice`, or `terma close --exited`",
        )
    found = _named(names) if names else _all(TerminalState.EXITED if exited else None)
    if not found:
        say("no terminal has exited" if exited else "there are no terminals")
        return
    if everything and not yes:
        _confirm(found)
    import asyncio

    if status := asyncio.run(_close(found, forget)):
        raise typer.Exit(status)


def restore(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Default: every terminal that is lost."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where processes of the old one are still there.")
    ] = False,
    debug: Debug = False,
) -> None:
    """terma restore: run anew what was lost, under the same names and with the same logs.

    One that has exited is run anew when it is named. The programs begin from the start, in the
    environment of this shell and the folder of before.
    """
    found = _named(names) if names else _all(TerminalState.LOST)
    if not found:
        say("no terminal is lost")
        return
    statuses = [_restore(environment, ids, force) for environment, ids in _by_environment(found)]
    if any(statuses):
        raise typer.Exit(next(status for status in statuses if status))


def _by_environment(terminals: Sequence[TerminalInfo]) -> Iterator[tuple[str, list[str]]]:
    """Put terminals together whose programs need the same environment: each shell has its own."""
    from terma.shell import SHELL, encoded, environment_for, own_environment

    found: dict[str, list[str]] = {}
    for one in terminals:
        if one.kind == SHELL:
            environment = environment_for(one.command, os.environ)
        else:
            environment = own_environment(os.environ)
        found.setdefault(encoded(environment), []).append(one.id)
    yield from found.items()


def _restore(environment: str, ids: Sequence[str], force: bool) -> int:
    """Restore terminals and tell of each; returns the exit status."""
    request = RestoreTerminals(environment=environment, names=tuple(ids), is_forced=force)
    restored = _call(request, _RESTORE_S)
    for one in restored.terminals:
        detail = f": {one.detail}" if one.detail else ""
        how = f" (pid {one.pid})" if one.pid else f", which has exited{detail}"
        say(f"restored {one.name}{how}")
    for refused in restored.refused:
        complain(_refusal(refused))
    return 1 if restored.refused else 0


def _call(request: Request[Any], patience_s: float = 10.0) -> Any:
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True, patience_s=patience_s) as tekton:
        return tekton.call(request)


def _named(names: Sequence[str]) -> list[TerminalInfo]:
    """Find terminals before any of them is closed.

    Raises:
        NotFound: One is not there.
    """
    found = [_call(ListTerminals(name=name)).terminals[0] for name in names]
    return list({one.id: one for one in found}.values())


def _all(state: TerminalState | None) -> list[TerminalInfo]:
    """Return every terminal, or those of a state."""
    return [one for one in _call(ListTerminals()).terminals if state in (None, one.state)]


def _confirm(terminals: Sequence[TerminalInfo]) -> None:
    """Ask a person; end with status 1 where the answer is not yes.

    Raises:
        UsageError: Nobody can be asked.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody can be asked here", "--yes closes without asking")
    for one in terminals:
        say(f"  {one.name}: {one.state.value}{f' ({one.detail})' if one.detail else ''}")
    count = len(terminals)
    what = (
        "1 terminal, and end all in it" if count == 1 else f"{count} terminals, and end all in them"
    )
    print(f"Close {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        say("nothing was closed")
        raise typer.Exit(1)


async def _close(terminals: Sequence[TerminalInfo], forgets: bool) -> int:
    """Close terminals, all at once; returns the exit status.

    The terminal that this runs in comes last, since this ends with it.
    """
    import asyncio

    from backends.client.tekton import Tekton

    own = os.environ.get("TERMA_INSTANCE")
    turnstile = asyncio.Semaphore(_AT_ONCE)
    async with Tekton(is_local=True) as tekton:

        async def one(terminal: TerminalInfo) -> int:
            async with turnstile:
                return await _close_one(tekton, terminal, forgets, prefixed=len(terminals) > 1)

        statuses = await asyncio.gather(*(one(each) for each in terminals if each.id != own))
        statuses += [await one(each) for each in terminals if each.id == own]
    return next((status for status in statuses if status), 0)


async def _close_one(tekton: Tekton, terminal: TerminalInfo, forgets: bool, prefixed: bool) -> int:
    """Close a terminal by its id, which nobody can give to another one meanwhile."""
    try:
        closed = await tekton.call(CloseTerminal(name=terminal.id, forgets=forgets))
    except TektonError as error:
        complain(error, f"{terminal.name}: " if prefixed else "")
        return error.exit_status
    if terminal.state is TerminalState.CLOSED:
        say(f"deleted what was kept of {terminal.name} ({terminal.id})")
        status = 0
    else:
        status = _tell_closed(terminal, closed)
    if forgets:
        others = await tekton.call(ListTerminals(name=terminal.name, is_closed=True))
        _tell_kept(terminal.name, [one.id for one in others.terminals])
    return status


def _tell_kept(name: str, ids: Sequence[str]) -> None:
    """Say which older terminals of a name are still kept."""
    if ids:
        count = "one closed terminal" if len(ids) == 1 else f"{len(ids)} closed terminals"
        command = shlex.join(["terma", "close", "--forget", *ids])
        say(
            f"{count} of before, called {name}, {'is' if len(ids) == 1 else 'are'} still kept; "
            f"`{command}` deletes {'it' if len(ids) == 1 else 'them'}"
        )


def _tell_closed(terminal: TerminalInfo, closed: Closed) -> int:
    ended = {0: "", 1: ": 1 process ended"}.get(closed.ended, f": {closed.ended} processes ended")
    say(f"closed {terminal.name}{ended}")
    if terminal.worktree:
        tree = terminal.worktree
        command = shlex.join(["git", "-C", tree.repository, "worktree", "remove", tree.path])
        say(f"its worktree is still there: {tree.path}; `{command}` removes it")
    if not closed.left:
        return 0
    pids = " ".join(map(str, closed.left))
    complain(
        TektonError(
            f"{terminal.name}: these processes do not end: {pids}", f"`kill -KILL {pids}` ends them"
        )
    )
    return 1


def _refusal(refused: NotRestored) -> TektonError:
    pids = " ".join(map(str, refused.pids))
    what = f"{refused.name} was not restored: {refused.reason}"
    if not pids:
        return TektonError(what)
    return TektonError(
        f"{what} (pid {pids})",
        f"`kill {pids}` ends what is left, then `terma restore {refused.name}`; or with --force",
    )
