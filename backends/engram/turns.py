"""The store of turns: every prompt and its answer, as far as it came."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert

from backends.database import Database
from backends.engram.search import newest_found
from backends.engram.tables import removed, sessions, storable, turns
from backends.engram.titles import title_of
from backends.errors import InvalidMessage, NotFound
from backends.protocol.conversations import Turn, TurnStatus

MAX_LIMIT = 10_000
"""Most turns that one call of `history` returns."""

_YEAR_9999 = 253_370_764_800
"""In seconds; the last year that can be shown in every time zone is the one before."""

_AT_ONCE = 50
_FIELDS = [field.name for field in dataclasses.fields(Turn)]
_COLUMNS = [turns.c[name] for name in _FIELDS]
_NEWEST_FIRST = (turns.c.started_at.desc(), turns.c.number.desc())

_put_turn = insert(turns)
_put_turn = _put_turn.on_conflict_do_update(
    index_elements=[turns.c.id],
    set_={name: _put_turn.excluded[name] for name in _FIELDS if name != "id"},
)
_new_session = insert(sessions)
_begin_session = _new_session.on_conflict_do_update(
    index_elements=[sessions.c.id],
    set_={
        "updated_at": func.max(sessions.c.updated_at, _new_session.excluded.updated_at),
        "title": func.coalesce(sessions.c.title, _new_session.excluded.title),
        "head": _new_session.excluded.head,
        "terminal": func.coalesce(_new_session.excluded.terminal, sessions.c.terminal),
    },
)
_touch_session = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.updated_at < bindparam("at"))
    .values(updated_at=bindparam("at"))
)


class TurnStore:
    """Turns in a database, which is opened and closed by whoever made it.

    Every method raises `StorageError` where the database cannot be used, and those that store a
    turn raise `InvalidMessage` where one of its numbers cannot be kept or shown.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, turn: Turn, terminal: str | None = None) -> None:
        """Store a turn before its prompt is sent; its session is created with the first one.

        Args:
            turn: It becomes the newest of its session.
            terminal: Where the session goes on now; without it, where it was.

        Raises:
            NotFound: The session was deleted.
        """
        _check(turn)
        await self._database.write(partial(_begin, turn, terminal))

    async def update(self, turn: Turn) -> None:
        """Store a turn as it stands now, also one that could not be stored when it began.

        A search finds its answer once it is no longer running.

        Raises:
            NotFound: The session was deleted.
        """
        _check(turn)
        await self._database.write(partial(_update, turn))

    async def history(
        self, search: str | None = None, ci: str | None = None, limit: int = 20
    ) -> tuple[Turn, ...]:
        """Return turns, newest first.

        Args:
            search: Only turns whose prompt or answer, taken together, contain every word; the
                last word may be the beginning of one. Case and accents do not matter. Words
                joined by marks (`os.path`) must stand side by side; marks or emoji without
                letters are looked up as they are. Any text is a search; an empty one finds all.
            ci: Only this CI's turns.
            limit: At most so many, and at most `MAX_LIMIT`.
        """
        limit = min(limit, MAX_LIMIT)
        if limit < 1:
            return ()
        query = select(*_COLUMNS).order_by(*_NEWEST_FIRST)
        query = newest_found(query, search or "", ci, limit)
        return await self._database.read(partial(_fetch, query))

    async def close_abandoned(self, now: float) -> int:
        """Mark turns that a dead hub left running as interrupted; return how many there were.

        To be called once, before the first turn begins.

        Args:
            now: Seconds since the epoch; when the turns ended, as far as anybody knows.
        """
        return await self._database.write(partial(_close_abandoned, now))


def _check(turn: Turn) -> None:
    for name in _FIELDS:
        value = getattr(turn, name)
        if not isinstance(value, (int, float)):
            continue
        if name in ("started_at", "ended_at"):
            wanted, is_good = "seconds since 1970, before the year 9999", 0 <= value < _YEAR_9999
        elif isinstance(turns.c[name].type, Integer):
            wanted, is_good = "a number of at most 64 bits", -(2**63) <= value < 2**63
        else:
            wanted, is_good = "a finite number", abs(value) <= sys.float_info.max
        if not is_good:
            raise InvalidMessage(f"turn.{name} must be {wanted}, not {_short(value)}")


def _short(number: float) -> str:
    if isinstance(number, int) and number.bit_length() > 100:
        return f"one of {number.bit_length()} bits"
    return str(number)


def _begin(turn: Turn, terminal: str | None, connection: Connection) -> None:
    row = _row(turn)
    _check_place(row, connection)
    session = {
        "id": row["session"],
        "ci": row["ci"],
        "title": title_of(row["prompt"]),
        "started_at": turn.started_at,
        "updated_at": _last_used(turn),
        "head": row["id"],
        "terminal": storable(terminal),
    }
    connection.execute(_begin_session, session)
    connection.execute(_put_turn, row)


def _update(turn: Turn, connection: Connection) -> None:
    row = _row(turn)
    if _check_place(row, connection):
        touched = {"session": row["session"], "at": _last_used(turn)}
        connection.execute(_touch_session, touched)
        connection.execute(_put_turn, row)
        return
    head = _head(row["session"], connection)
    _begin(turn, None, connection)
    if head is not None and head.started_at > turn.started_at:  # others have begun meanwhile
        others = update(sessions).where(sessions.c.id == row["session"])
        connection.execute(others.values(head=head.id))


def _row(turn: Turn) -> dict[str, Any]:
    return {name: storable(getattr(turn, name)) for name in _FIELDS}


def _last_used(turn: Turn) -> float:
    return turn.started_at if turn.ended_at is None else turn.ended_at


def _head(session: str, connection: Connection) -> Row[Any, Any] | None:
    head = select(turns.c.id, turns.c.started_at).join(sessions, sessions.c.head == turns.c.id)
    return connection.execute(head.where(sessions.c.id == session)).first()


def _check_place(row: Mapping[str, Any], connection: Connection) -> bool:
    """Refuse a turn that cannot stand where it says; return whether it is stored already.

    A parent is in the same session and was stored before, so no way up ends in a circle.
    """
    known = _place(row["id"], connection)
    if known is None:
        if connection.execute(select(removed).where(removed.c.session == row["session"])).first():
            message = f"conversation {row['session']!r} was deleted: no turn of it is stored"
            raise NotFound(message, "a prompt without `--session` begins another")
    elif known.session != row["session"]:
        raise InvalidMessage(f"turn {row['id']!r} is of another conversation")
    if row["parent"] is not None:
        parent = _place(row["parent"], connection)
        is_before = parent is not None and (known is None or parent.number < known.number)
        if parent is None or parent.session != row["session"] or not is_before:
            raise InvalidMessage(
                f"turn {row['id']!r} cannot follow {row['parent']!r}: "
                "that is no earlier turn of its conversation"
            )
    return known is not None


def _place(turn: str, connection: Connection) -> Row[Any, Any] | None:
    place = select(turns.c.number, turns.c.session).where(turns.c.id == turn)
    return connection.execute(place).first()


def _fetch(query: Select[Any], connection: Connection) -> tuple[Turn, ...]:
    return tuple(map(_turn, connection.execute(query).mappings()))


def _turn(row: Mapping[Any, Any]) -> Turn:
    return Turn(**{**row, "status": TurnStatus(row["status"])})


def read_turns(numbers: Sequence[int], connection: Connection) -> Iterator[Turn]:
    """Yield the turns of these numbers in their order, read a few at a time."""
    for first in range(0, len(numbers), _AT_ONCE):
        wanted = numbers[first : first + _AT_ONCE]
        query = select(turns.c.number, *_COLUMNS).where(turns.c.number.in_(wanted))
        rows = {row["number"]: dict(row) for row in connection.execute(query).mappings()}
        for number in wanted:
            row = rows[number]
            del row["number"]
            yield _turn(row)


def _close_abandoned(now: float, connection: Connection) -> int:
    statement = (
        update(turns)
        .where(turns.c.status == TurnStatus.RUNNING.value)
        .values(
            status=TurnStatus.INTERRUPTED.value,
            ended_at=func.coalesce(turns.c.ended_at, now),
            error=func.coalesce(turns.c.error, "the hub ended before the answer was complete"),
        )
    )
    return connection.execute(statement).rowcount
