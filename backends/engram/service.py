"""Engram: the memory of every turn."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable

from backends.database import Database
from backends.engram.tables import HEAD, MIGRATIONS, metadata
from backends.engram.turns import TurnStore
from backends.errors import StorageError
from backends.protocol.messages import Ack, BeginTurn, History, Turn, Turns, UpdateTurn
from backends.service.base import Context, Service, handles

log = logging.getLogger(__name__)

_MAX_TEXT = 2_000_000
"""Characters; JSON needs up to six bytes for each."""


class Engram(Service):
    """Memory: stores every turn and finds it again."""

    name = "engram"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._database = Database(context.paths.turns, metadata, MIGRATIONS, HEAD)
        self._store = TurnStore(self._database)

    async def start(self) -> None:
        """Open the database; turns left running by a process that died become interrupted."""
        await self._database.open()
        left = await self._store.close_abandoned(self.context.now())
        if left:
            log.warning(
                "%d turns were left by a process that died; they are marked interrupted", left
            )

    async def stop(self) -> None:
        """Write what is waiting and close."""
        await self._database.close()

    @handles(BeginTurn)
    async def begin(self, request: BeginTurn) -> Ack:
        """Store a turn before its prompt is sent."""
        await self._keep(self._store.begin(request.turn))
        return Ack()

    @handles(UpdateTurn)
    async def update(self, request: UpdateTurn) -> Ack:
        """Store a turn as it stands."""
        await self._keep(self._store.update(request.turn))
        return Ack()

    @handles(History)
    async def history(self, request: History) -> Turns:
        """Find turns, newest first."""
        turns = await self._store.history(request.search, request.ci, request.limit)
        return _fitting(turns)

    async def _keep(self, write: Awaitable[None]) -> None:
        try:
            await write
        except StorageError as error:
            self.last_error = error.message
            raise


def _fitting(turns: tuple[Turn, ...]) -> Turns:
    """Keep as many turns as fit into one message, and of the first its beginning at least."""
    size, kept = 0, []
    for turn in turns:
        size += len(turn.prompt) + len(turn.answer)
        if size > _MAX_TEXT:
            break
        kept.append(turn)
    if turns and not kept:
        first, half = turns[0], _MAX_TEXT // 2
        kept = [dataclasses.replace(first, prompt=first.prompt[:half], answer=first.answer[:half])]
    return Turns(turns=tuple(kept), left_out=len(turns) - len(kept))
