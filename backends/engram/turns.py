"""The store of turns: every prompt and its answer, as far as it came."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import unicodedata
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Connection,
    Integer,
    Select,
    func,
    literal_column,
    select,
    table,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from backends.database import Database
from backends.engram.tables import sessions, turns
from backends.errors import InvalidMessage
from backends.protocol.messages import Turn, TurnStatus

MAX_LIMIT = 10_000
"""Most turns that one call of `history` returns."""

_YEAR_9999 = 253_370_764_800
"""In seconds; the last year that can be shown in every time zone is the one before."""

_CANDIDATES = 2000
_FIELDS = [field.name for field in dataclasses.fields(Turn)]
_COLUMNS = [turns.c[name] for name in _FIELDS]
_NEWEST_FIRST = (turns.c.started_at.desc(), turns.c.number.desc())

_put_turn = insert(turns)
_put_turn = _put_turn.on_conflict_do_update(
    index_elements=[turns.c.id],
    set_={name: _put_turn.excluded[name] for name in _FIELDS if name != "id"},
)
_put_session = insert(sessions)
_put_session = _put_session.on_conflict_do_update(
    index_elements=[sessions.c.id],
    set_={"updated_at": _put_session.excluded.updated_at},
    where=_put_session.excluded.updated_at > sessions.c.updated_at,
)


class TurnStore:
    """Turns in a database, which is opened and closed by whoever made it.

    Every method raises `StorageError` where the database cannot be used, and those that store a
    turn raise `InvalidMessage` where one of its numbers cannot be kept or shown.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, turn: Turn) -> None:
        """Store a turn before its prompt is sent; its session is created with the first one."""
        _check(turn)
        await self._database.write(partial(_put, turn))

    async def update(self, turn: Turn) -> None:
        """Store a turn as it stands now, also one that could not be stored when it began.

        A search finds its answer once it is no longer running.
        """
        _check(turn)
        await self._database.write(partial(_put, turn))

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
        words, literals = _parse(search or "")
        query = select(*_COLUMNS).order_by(*_NEWEST_FIRST)
        if words:
            found = _search(words, literals, ci, limit)
            query = query.where(turns.c.number.in_(found))
        else:
            query = _filtered(query, literals, ci).limit(limit)
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


def _put(turn: Turn, connection: Connection) -> None:
    row: dict[str, Any] = {name: _storable(getattr(turn, name)) for name in _FIELDS}
    touched = turn.started_at if turn.ended_at is None else turn.ended_at
    session = {"id": row["session"], "ci": row["ci"], "started_at": turn.started_at}
    connection.execute(_put_session, {**session, "updated_at": touched})
    connection.execute(_put_turn, row)


def _storable(value: Any) -> Any:
    if isinstance(value, TurnStatus):
        return value.value
    if isinstance(value, str):  # JSON can carry half of a surrogate pair, UTF-8 cannot
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _fetch(query: Select[Any], connection: Connection) -> tuple[Turn, ...]:
    rows = connection.execute(query).mappings()
    return tuple(Turn(**{**row, "status": TurnStatus(row["status"])}) for row in rows)


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


def _search(words: list[str], literals: list[str], ci: str | None, limit: int) -> Select[Any]:
    """Select the numbers of the newest turns that the full-text index finds.

    The index gives its rows in the order of their numbers and stops when enough are found;
    sorting all of them by time would read every turn that has a common word. So the last ones
    stored are sorted by time: the two orders differ only for turns that were stored late.
    """
    index = table("turns_search")
    rowid: ColumnClause[int] = literal_column("turns_search.rowid")
    match = f"{{prompt answer}} : ({' '.join(words)})"
    if ci is not None:
        match = f"ci : {_quoted(ci)} AND {match}"
    candidates = (
        _filtered(select(turns.c.number, turns.c.started_at), literals, ci)
        .select_from(index.join(turns, turns.c.number == rowid))
        .where(literal_column("turns_search").match(match))
        .order_by(rowid.desc())
        .limit(max(_CANDIDATES, limit))
        .subquery()
    )
    newest = (candidates.c.started_at.desc(), candidates.c.number.desc())
    return select(candidates.c.number).order_by(*newest).limit(limit)


def _filtered(query: Select[Any], literals: list[str], ci: str | None) -> Select[Any]:
    if ci is not None:
        query = query.where(turns.c.ci == ci)
    if literals:  # as one parameter: a condition for each could be too many for SQLite
        literal = func.json_each(json.dumps(literals)).table_valued("value").c.value
        is_absent = [func.instr(text, literal) == 0 for text in (turns.c.prompt, turns.c.answer)]
        query = query.where(~select(1).where(*is_absent).correlate(turns).exists())
    return query


_SYMBOLS = re.compile(r"[^\w\s\x00-\x7f]+")


def _parse(search: str) -> tuple[list[str], list[str]]:
    """Split a search into quoted words for the full-text index and what it cannot find.

    The index knows letters and digits only.
    """
    words: list[str] = []
    literals: list[str] = []
    pieces = _storable(search).replace("\0", " ").split()
    for piece in pieces:
        if any(character.isalnum() for character in piece):
            words.append(_quoted(piece))
            literals += filter(_has_symbol, _SYMBOLS.findall(piece))
        else:
            literals.append(piece)
    if words and words[-1] == _quoted(pieces[-1]):
        words[-1] += " *"
    return list(dict.fromkeys(words)), list(dict.fromkeys(literals))


def _has_symbol(text: str) -> bool:
    return any(unicodedata.category(character).startswith("S") for character in text)


def _quoted(word: str) -> str:
    """Quote a word as a string of the index's query language, where nothing else is special."""
    return '"' + word.replace('"', '""') + '"'
