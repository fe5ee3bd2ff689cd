"""The store of terminals: what is known of each, also after it was closed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, delete, or_, select
from sqlalchemy.dialects.sqlite import insert

from backends.database import Database
from backends.errors import UsageError
from backends.protocol.terminals import Worktree
from backends.runtime import canonical
from terma.service import deliveries
from terma.service.tables import terminals


@dataclass(frozen=True, kw_only=True)
class StoredTerminal:
    """A terminal as it is kept; `reason` tells why it is lost."""

    id: str
    name: str
    kind: str
    roles: tuple[str, ...]
    command: tuple[str, ...]
    folder: str
    worktree: Worktree | None
    columns: int
    rows: int
    is_recorded: bool
    started_at: float
    ended_at: float | None
    closed_at: float | None
    exit_status: int | None
    reason: str | None
    token_hash: str


_FIELDS = [field.name for field in dataclasses.fields(StoredTerminal)]

_put = insert(terminals)
_put = _put.on_conflict_do_update(
    index_elements=[terminals.c.id],
    set_={name: _put.excluded[name] for name in _FIELDS if name != "id"},
)


class TerminalStore:
    """Terminals in a database, which is opened and closed by whoever made it.

    Every method raises `StorageError` where the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_ones(self) -> list[StoredTerminal]:
        """Return the terminals that are not closed, by name."""
        query = select(terminals).where(terminals.c.closed_at.is_(None)).order_by(terminals.c.name)
        return await self._database.read(partial(_fetch, query))

    async def save(self, terminal: StoredTerminal) -> None:
        """Store a terminal as it is now; the one of the same id is replaced.

        Raises:
            UsageError: Another one of that name is open.
        """
        await self._database.write(partial(_save, terminal))

    async def find_closed(self, name_or_id: str) -> StoredTerminal | None:
        """Return a closed terminal; of several with the name, the one that was closed last."""
        is_it = or_(terminals.c.name == canonical(name_or_id), terminals.c.id == name_or_id)
        query = select(terminals).where(terminals.c.closed_at.is_not(None), is_it)
        query = query.order_by(terminals.c.closed_at.desc()).limit(1)
        return next(iter(await self._database.read(partial(_fetch, query))), None)

    async def closed(self, name: str | None, limit: int) -> list[StoredTerminal]:
        """Return closed terminals, all or those of a name; the one that was closed last first."""
        query = select(terminals).where(terminals.c.closed_at.is_not(None))
        if name is not None:
            query = query.where(terminals.c.name == canonical(name))
        query = query.order_by(terminals.c.closed_at.desc()).limit(limit)
        return await self._database.read(partial(_fetch, query))

    async def closed_before(self, at: float) -> list[StoredTerminal]:
        """Return the terminals that were closed before a time, the first one first."""
        query = select(terminals).where(terminals.c.closed_at < at).order_by(terminals.c.closed_at)
        return await self._database.read(partial(_fetch, query))

    async def forget(self, id: str) -> None:  # noqa: A002  # as the column is called
        """Delete a terminal and its mailbox, so that nothing of them is left in the file.

        Raises:
            StorageError: It is deleted, but could not be overwritten yet.
        """
        await self._database.write(partial(_forget, id))
        await self._database.scrub()


def _save(terminal: StoredTerminal, connection: Connection) -> None:
    if terminal.closed_at is None:
        is_other = (terminals.c.name == terminal.name, terminals.c.id != terminal.id)
        query = select(terminals.c.id).where(terminals.c.closed_at.is_(None), *is_other)
        if connection.execute(query).first():
            hint = f"give another name, or end that one: `terma close {terminal.name}`"
            raise UsageError(f"a terminal named {terminal.name!r} is open already", hint)
    row = {name: getattr(terminal, name) for name in _FIELDS}
    row["roles"], row["command"] = json.dumps(terminal.roles), json.dumps(terminal.command)
    if terminal.worktree is not None:
        row["worktree"] = json.dumps(dataclasses.asdict(terminal.worktree))
    connection.execute(_put, row)


def _fetch(query: Select[Any], connection: Connection) -> list[StoredTerminal]:
    return [_terminal(row) for row in connection.execute(query).mappings()]


def _terminal(row: Mapping[Any, Any]) -> StoredTerminal:
    worktree = row["worktree"] and Worktree(**json.loads(row["worktree"]))
    roles, command = tuple(json.loads(row["roles"])), tuple(json.loads(row["command"]))
    return StoredTerminal(**{**row, "roles": roles, "command": command, "worktree": worktree})


def _forget(id_: str, connection: Connection) -> None:
    deliveries.forget(id_, connection)
    connection.execute(delete(terminals).where(terminals.c.id == id_))
