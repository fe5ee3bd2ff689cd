"""Deleting conversations: those that are named, or all of an age; a person is asked before."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from aish.export import short, title_of
from backends.console import say
from backends.errors import UsageError
from backends.protocol.conversations import ListSessions, RemoveSessions, SessionInfo, ShowSession

if TYPE_CHECKING:
    from backends.client.blocking import BlockingTekton

_LISTED = 5000
_SHOWN = 20
"""Most conversations that a question names one by one."""


def remove_named(tekton: BlockingTekton, words: list[str], ci: str | None, yes: bool) -> None:
    """Delete the conversations that these words mean, or none where one is not found."""
    found = [tekton.call(ShowSession(session=word, ci=ci)).session for word in words]
    sessions = list({one.id: one for one in found}.values())
    if not yes and _is_asked():
        _confirm(sessions, _count(len(sessions), sum(one.turns for one in sessions)))
    removed = tekton.call(RemoveSessions(sessions=tuple(one.id for one in sessions)))
    _tell(sessions, removed.sessions, removed.turns)


def remove_old(tekton: BlockingTekton, older_than: str, ci: str | None, yes: bool) -> None:
    """Delete all that were not used for so long.

    Raises:
        UsageError: That is no age, or nobody can be asked.
    """
    before = time.time() - seconds_of(older_than)
    found = tekton.call(ListSessions(ci=ci, limit=_LISTED))
    old = [one for one in found.sessions if one.updated_at < before]
    if not old and not found.left_out:
        say("no conversations found")
        return
    if not yes:
        if not _is_asked():
            raise UsageError("nobody can be asked here", "--yes deletes without asking")
        more = f", and up to {found.left_out} more" if found.left_out else ""
        _confirm(old, _count(len(old), sum(one.turns for one in old)) + more)
    removed = tekton.call(RemoveSessions(ci=ci, before=before))
    _tell(old, removed.sessions, removed.turns)


def seconds_of(age: str) -> float:
    """Read an age: a number with h, d or w."""
    units = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
    number, unit = age[:-1], age[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 6 and unit in units):
        raise UsageError(f"{age!r} is no age", "a number of hours, days or weeks: 12h, 30d, 8w")
    return int(number) * units[unit]


def _is_asked() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def _confirm(sessions: Sequence[SessionInfo], count: str) -> None:
    """Ask a person whether to delete; end with status 1 where the answer is not yes."""
    for one in sessions[:_SHOWN]:
        say(f"  {_name(one)}")
    if len(sessions) > _SHOWN:
        say(f"  and {len(sessions) - _SHOWN} more")
    print(f"Delete {count} for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        say("nothing was deleted")
        raise typer.Exit(1)


def _tell(sessions: Sequence[SessionInfo], removed: int, turns: int) -> None:
    for one in sessions:
        say(f"deleted {_name(one)}")
    if removed != 1:
        say(f"deleted {_count(removed, turns)}")


def _name(session: SessionInfo) -> str:
    name = f" {session.name}" if session.name else ""
    return f"{short(session.id)}{name} ({session.ci}): {title_of(session)}"


def _count(sessions: int, turns: int) -> str:
    some = "1 conversation" if sessions == 1 else f"{sessions} conversations"
    return f"{some} ({turns} turn{'s' if turns != 1 else ''})"
