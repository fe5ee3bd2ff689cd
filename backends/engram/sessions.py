"""The store of conversations: each is a tree of turns with one CI, and its head goes on."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from backends.database import Database
from backends.engram.finding import find, find_turn
from backends.engram.fitting import fitting
from backends.engram.resuming import begin_named, path, resume
from backends.engram.search import sessions_with
from backends.engram.tables import removed, sessions, storable, turns
from backends.engram.titles import check_name, fork_title, own_title
from backends.engram.turns import read_turns
from backends.errors import NotFound, UsageError
from backends.protocol.conversations import (
    ChangeSession,
    ForkSession,
    ListSessions,
    Removed,
    RemoveSessions,
    Resumed,
    ResumeSession,
    SessionInfo,
    Sessions,
    SessionTurns,
    ShowSession,
    TurnStatus,
)

MAX_LIMIT = 5000
"""Most conversations that one call of `list` returns."""

_MAX_NUMBER = 2**63 - 1
_AT_ONCE = 500
_REMEMBERED_S = 30 * 86400.0
_COPIED = [
    "ci", "status", "model", "error", "finish_reason", "time_to_first_token_s", "elapsed_s",
    "started_at", "ended_at", "system", "prompt", "answer",
]  # fmt: skip
"""What a copy of a turn has of the first; tokens and cost are counted once."""


def _new_id() -> str:
    return uuid.uuid4().hex


class SessionStore:
    """Conversations in a database, which is opened and closed by whoever made it.

    Every method raises `StorageError` where the database cannot be used, `NotFound` for a
    conversation or a turn that is not there, and `UsageError` for a word that can mean several.
    """

    def __init__(self, database: Database, new_id: Callable[[], str] = _new_id) -> None:
        self._database = database
        self._new_id = new_id

    async def resume(self, request: ResumeSession, now: float) -> Resumed:
        """Find the conversation that a prompt means; one with a new name is created empty.

        Two that ask for the same new name at once get the same conversation.
        """
        found = await self._database.read(partial(resume, request, self._new_id))
        if found is None:
            begin = partial(begin_named, request, self._new_id(), now)
            found = await self._database.write(begin)
        return found

    async def list(self, request: ListSessions) -> Sessions:
        """List conversations that have turns, the last used first."""
        return await self._database.read(partial(_list, request))

    async def show(self, request: ShowSession) -> SessionTurns:
        """Return the turns of all branches in the order in which they were first stored."""
        return await self._database.read(partial(_show, request))

    async def change(self, request: ChangeSession) -> SessionInfo:
        """Give a conversation another title, name or head; an empty name takes its name away."""
        return await self._database.write(partial(_change, request))

    async def fork(self, request: ForkSession, now: float) -> SessionInfo:
        """Copy the way from the first turn to one turn into a new conversation."""
        return await self._database.write(partial(_fork, request, self._new_id, now))

    async def remove(self, request: RemoveSessions, now: float) -> Removed:
        """Delete conversations, but for their copies; `Database.scrub` has to follow.

        A turn that is still running is deleted too, and does not come back when it ends. The
        backups that migrations made go as well.
        """
        if not request.sessions and request.before is None:
            raise UsageError("nothing says what to delete", "name conversations, or give a time")
        if not request.sessions and not await self._database.read(partial(_is_due, request)):
            return Removed(sessions=0, turns=0)
        return await self._database.write(partial(self._remove, request, now))

    async def forget_removed(self, now: float) -> None:
        """Forget which conversations were deleted so long ago that no turn of them still runs."""
        old = delete(removed).where(removed.c.removed_at < now - _REMEMBERED_S)
        await self._database.write(lambda connection: connection.execute(old).rowcount)

    def _remove(self, request: RemoveSessions, now: float, connection: Connection) -> Removed:
        ids = list(dict.fromkeys(_doomed(request, connection)))
        if not ids:
            return Removed(sessions=0, turns=0)
        count = 0
        for first in range(0, len(ids), _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            mine = select(func.count()).where(turns.c.session.in_(some))
            count += connection.execute(mine).scalar_one()
            rows = [{"session": session, "removed_at": now} for session in some]
            connection.execute(insert(removed), rows)
            connection.execute(delete(sessions).where(sessions.c.id.in_(some)))
        # The index only marks words as deleted until its parts are merged
        # (https://www.sqlite.org/fts5.html, section 6.8).
        connection.exec_driver_sql("INSERT INTO turns_search (turns_search) VALUES ('optimize')")
        self._database.drop_backups()
        return Removed(sessions=len(ids), turns=count)


# -- looking ---------------------------------------------------------------------------------


def _list(request: ListSessions, connection: Connection) -> Sessions:
    query = select(sessions.c.id, func.count().over().label("matching"))
    query = query.where(sessions.c.head.is_not(None))
    if request.ci is not None:
        query = query.where(sessions.c.ci == request.ci)
    if request.terminal is not None:
        query = query.where(sessions.c.terminal == storable(request.terminal))
    matching = sessions_with(request.search or "")
    if matching is not None:
        query = query.where(sessions.c.id.in_(matching))
    limit = max(1, min(request.limit, MAX_LIMIT))
    newest_first = query.order_by(sessions.c.updated_at.desc(), sessions.c.id).limit(limit)
    rows = connection.execute(newest_first).all()
    infos = _infos([row.id for row in rows[: max(0, request.limit)]], connection)
    return Sessions(sessions=infos, left_out=rows[0].matching - len(infos) if rows else 0)


def _infos(ids: Sequence[str], connection: Connection) -> tuple[SessionInfo, ...]:
    rows = connection.execute(select(sessions).where(sessions.c.id.in_(ids)))
    found = {row.id: row for row in rows}
    # `total` because a sum of integers that is too large would be an error.
    sums = select(
        turns.c.session,
        func.count().label("turns"),
        func.total(turns.c.input_tokens).label("input_tokens"),
        func.total(turns.c.output_tokens).label("output_tokens"),
        func.sum(turns.c.cost_usd).label("cost_usd"),
    ).where(turns.c.session.in_(ids))
    counted = {row.session: row for row in connection.execute(sums.group_by(turns.c.session))}
    return tuple(_info(found[session], counted.get(session)) for session in ids)


def _info(row: Row[Any], counted: Row[Any] | None) -> SessionInfo:
    known = {**row._mapping, "title": row.title or ""}
    if counted is None:
        return SessionInfo(**known)
    cost = counted.cost_usd
    return SessionInfo(
        **known,
        turns=counted.turns,
        input_tokens=_sendable(counted.input_tokens),
        output_tokens=_sendable(counted.output_tokens),
        cost_usd=cost if cost is not None and math.isfinite(cost) else None,
    )


def _sendable(total: float) -> int:
    return max(-_MAX_NUMBER, min(_MAX_NUMBER, int(total)))


def _show(request: ShowSession, connection: Connection) -> SessionTurns:
    row = find(connection, request.session, request.ci)
    query = select(turns.c.number).where(turns.c.session == row.id)
    if request.after:
        after = find_turn(connection, row.id, request.after)
        known = select(turns.c.number).where(turns.c.id == after).scalar_subquery()
        query = query.where(turns.c.number > known)
    numbers = connection.execute(query.order_by(turns.c.number)).scalars().all()
    kept = fitting(read_turns(numbers, connection))
    (info,) = _infos([row.id], connection)
    return SessionTurns(session=info, turns=kept, left_out=len(numbers) - len(kept))


# -- changing --------------------------------------------------------------------------------


def _change(request: ChangeSession, connection: Connection) -> SessionInfo:
    row = find(connection, request.session, request.ci)
    changes: dict[str, str | None] = {}
    if request.title is not None:
        changes["title"] = own_title(request.title)
    if request.head is not None:
        changes["head"] = find_turn(connection, row.id, request.head)
    if request.name is not None:
        changes["name"] = _checked(request.name)
    if changes:
        statement = update(sessions).where(sessions.c.id == row.id).values(**changes)
        try:
            connection.execute(statement)
        except IntegrityError as error:
            raise _taken(str(request.name), row.ci) from error
    return _infos([row.id], connection)[0]


def _checked(name: str) -> str | None:
    if name:
        check_name(name)
    return name or None


def _taken(name: str, ci: str) -> UsageError:
    return UsageError(
        f"{ci} has a conversation named {name!r} already",
        f"`aish session show {name} --ci {ci}` shows it; take another name",
    )


def _fork(
    request: ForkSession, new_id: Callable[[], str], now: float, connection: Connection
) -> SessionInfo:
    row = find(connection, request.session, request.ci)
    last = find_turn(connection, row.id, request.turn) if request.turn else row.head
    if last is None:
        raise NotFound(
            f"conversation {row.name or row.id!r} has no turn that could be copied",
            f"`aish {row.ci} --session {row.name or row.id} TEXT` begins it",
        )
    way = list(path(last, connection).values())[::-1]
    ids = [new_id() for _ in way]
    values = {"id": new_id(), "ci": row.ci, "title": fork_title(row.title or "")}
    values |= {"name": _checked(request.name or ""), "head": ids[-1], "forked_from": row.id}
    try:
        connection.execute(insert(sessions).values(**values, started_at=now, updated_at=now))
    except IntegrityError as error:
        raise _taken(str(request.name), row.ci) from error
    for number, turn, parent in zip(way, ids, [None, *ids], strict=False):
        place = [literal(turn), literal(values["id"]), literal(parent)]
        copy = select(*place, *(turns.c[name] for name in _COPIED)).where(turns.c.number == number)
        into = ["id", "session", "parent", *_COPIED]
        connection.execute(insert(turns).from_select(into, copy))
    _end_running(str(values["id"]), now, connection)
    return _infos([str(values["id"])], connection)[0]


def _end_running(session: str, now: float, connection: Connection) -> None:
    """End the copies of running turns: nobody goes on with them."""
    is_running = turns.c.status == TurnStatus.RUNNING.value
    connection.execute(
        update(turns)
        .where(turns.c.session == session, is_running)
        .values(
            status=TurnStatus.INTERRUPTED.value,
            ended_at=now,
            error="this is a copy of an answer that was not complete yet",
        )
    )


# -- deleting --------------------------------------------------------------------------------


def _doomed(request: RemoveSessions, connection: Connection) -> list[str]:
    found = [find(connection, word, request.ci).id for word in request.sessions]
    if request.before is not None:
        old = select(sessions.c.id).where(sessions.c.updated_at < request.before)
        if request.ci is not None:
            old = old.where(sessions.c.ci == request.ci)
        found += connection.execute(old).scalars()
    return found


def _is_due(request: RemoveSessions, connection: Connection) -> bool:
    return bool(_doomed(request, connection))
