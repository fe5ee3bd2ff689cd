"""Where a conversation goes on: from which turn, with which ones before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from backends.engram.finding import find, find_turn, lookup, not_found
from backends.engram.fitting import fitting
from backends.engram.tables import sessions, storable, turns
from backends.engram.titles import NAMES, check_name, is_id_like, is_name
from backends.engram.turns import read_turns
from backends.errors import NotFound, UsageError
from backends.protocol.conversations import Resumed, ResumeSession, TurnStatus


def resume(
    request: ResumeSession, new_id: Callable[[], str], connection: Connection
) -> Resumed | None:
    """Find the conversation that a prompt means, `None` where one of a new name is to begin.

    Raises:
        NotFound: The word, or the turn to go on from, is not there.
        UsageError: The word can mean several, is of another CI, or cannot name a new one; or
            there is no terminal whose last conversation could be meant.
    """
    if request.session is not None:
        row = lookup(connection, request.session, request.ci)
        if row is None:
            _check_may_begin(request.session, request.ci, connection)
            return None
    elif request.continues:
        row = _last_used(request.ci, request.terminal, connection)
    else:
        row = None
    if row is not None:
        return _goes_on(row, request.after, connection)
    fresh = Resumed(session=new_id(), is_new=True)
    if request.after:
        raise NotFound(
            f"there is no turn {request.after[:40]!r} to go on from: the conversation is new",
            "`--session NAME` says which conversation has it",
        )
    return fresh


def _last_used(ci: str, terminal: str | None, connection: Connection) -> Row[Any] | None:
    if terminal is None:
        raise UsageError(
            "there is no terminal here, so no last conversation", "name one: --session NAME"
        )
    here = (sessions.c.ci == ci, sessions.c.terminal == storable(terminal))
    newest = sessions.c.updated_at.desc()
    return connection.execute(select(sessions).where(*here).order_by(newest).limit(1)).first()


def _check_may_begin(word: str, ci: str, connection: Connection) -> None:
    if is_name(word):
        return
    if is_id_like(word) and len(word) != 32:
        check_name(word)
    error = not_found(connection, word, ci)
    if not is_id_like(word):
        error.hint = f"{error.hint}; a new one cannot be named so: {NAMES}"
    raise error


def begin_named(
    request: ResumeSession, session: str, now: float, connection: Connection
) -> Resumed:
    """Begin an empty conversation of a new name, unless somebody was faster."""
    assert request.session is not None  # nosec B101
    row = lookup(connection, request.session, request.ci)
    if row is None:  # nobody was faster
        values = {"id": session, "ci": request.ci, "name": request.session}
        connection.execute(insert(sessions).values(**values, started_at=now, updated_at=now))
        row = find(connection, session, request.ci)
    return _goes_on(row, request.after, connection)


def _goes_on(row: Row[Any], after: str | None, connection: Connection) -> Resumed:
    parent = find_turn(connection, row.id, after) if after else row.head
    parent = None if after == "" else parent
    has_moved = after is not None and _has_moved(row.head, parent, connection)
    way = list(path(parent, connection).values())
    kept = fitting(read_turns(way, connection))
    return Resumed(
        session=row.id,
        parent=parent,
        turns=kept[::-1],
        left_out=len(way) - len(kept),
        is_new=row.head is None,
        has_moved=has_moved,
    )


def _has_moved(head: str | None, parent: str | None, connection: Connection) -> bool:
    """Tell whether others went on from a turn; one that failed without a word does not count."""
    if head is None or head == parent:
        return False
    numbers = path(head, connection)
    if parent is not None and parent not in numbers:
        return False
    since = [number for number in numbers.values() if number > numbers.get(parent or "", 0)]
    is_heard = (turns.c.answer != "") | (turns.c.status == TurnStatus.RUNNING.value)
    heard = select(turns.c.number).where(turns.c.number.in_(since), is_heard).limit(1)
    return connection.execute(heard).first() is not None


def path(turn: str | None, connection: Connection) -> dict[str, int]:
    """Return the ids and numbers of a turn and of all that it follows, the newest first."""
    columns = (turns.c.id, turns.c.number, turns.c.parent)
    way = select(*columns).where(turns.c.id == turn).cte(recursive=True)
    above = select(*columns).join(way, turns.c.id == way.c.parent)
    way = way.union_all(above.where(turns.c.number < way.c.number))
    found = connection.execute(select(way.c.id, way.c.number).order_by(way.c.number.desc()))
    return {row.id: row.number for row in found}
