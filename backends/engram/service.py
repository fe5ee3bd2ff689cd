"""Engram: the memory of every turn and conversation."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable
from typing import TypeVar

from backends.database import Database
from backends.engram.fitting import fitting
from backends.engram.sessions import SessionStore
from backends.engram.tables import HEAD, MIGRATIONS, metadata
from backends.engram.turns import TurnStore
from backends.errors import StorageError
from backends.protocol.conversations import (
    BeginTurn,
    ChangeSession,
    ForkSession,
    History,
    ListSessions,
    Removed,
    RemoveSessions,
    Resumed,
    ResumeSession,
    SessionInfo,
    Sessions,
    SessionTurns,
    ShowSession,
    Turns,
    UpdateTurn,
)
from backends.protocol.messages import Ack
from backends.runtime import canonical
from backends.service.base import Context, Service, handles

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_DAY_S = 86400.0


class Engram(Service):
    """Memory: stores every turn and conversation and finds them again."""

    name = "engram"

    def __init__(
        self, context: Context, clean_up_every_s: float = _DAY_S, try_again_s: float = 30.0
    ) -> None:
        super().__init__(context)
        self._is_dirty = asyncio.Event()
        self._try_again_s = try_again_s
        self._database = Database(context.paths.turns, metadata, MIGRATIONS, HEAD)
        self._turns = TurnStore(self._database)
        self._sessions = SessionStore(self._database)
        self._clean_up_every_s = clean_up_every_s
        self._cleaner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the database; turns left running by a process that died become interrupted."""
        await self._database.open()
        left = await self._turns.close_abandoned(self.context.now())
        if left:
            log.warning(
                "%d turns were left by a process that died; they are marked interrupted", left
            )
        self._cleaner = asyncio.create_task(self._keep_clean())

    async def stop(self) -> None:
        """Write what is waiting and close."""
        if self._cleaner:
            self._cleaner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._cleaner
        await self._database.close()

    @handles(BeginTurn)
    async def begin(self, request: BeginTurn) -> Ack:
        """Store a turn before its prompt is sent."""
        await self._keep(self._turns.begin(request.turn, request.terminal))
        return Ack()

    @handles(UpdateTurn)
    async def update(self, request: UpdateTurn) -> Ack:
        """Store a turn as it stands."""
        await self._keep(self._turns.update(request.turn))
        return Ack()

    @handles(History)
    async def history(self, request: History) -> Turns:
        """Find turns, newest first."""
        turns = await self._turns.history(request.search, request.ci, request.limit)
        kept = fitting(turns)
        return Turns(turns=kept, left_out=len(turns) - len(kept))

    @handles(ResumeSession)
    async def resume(self, request: ResumeSession) -> Resumed:
        """Find the conversation that a prompt means."""
        return await self._keep(self._sessions.resume(_canonical(request), self.context.now()))

    @handles(ListSessions)
    async def list_sessions(self, request: ListSessions) -> Sessions:
        """List conversations, the last used first."""
        return await self._sessions.list(_canonical(request))

    @handles(ShowSession)
    async def show_session(self, request: ShowSession) -> SessionTurns:
        """Show a conversation."""
        return await self._sessions.show(_canonical(request))

    @handles(ChangeSession)
    async def change_session(self, request: ChangeSession) -> SessionInfo:
        """Give a conversation another title, name or head."""
        return await self._keep(self._sessions.change(_canonical(request)))

    @handles(ForkSession)
    async def fork_session(self, request: ForkSession) -> SessionInfo:
        """Copy a conversation."""
        return await self._keep(self._sessions.fork(_canonical(request), self.context.now()))

    @handles(RemoveSessions)
    async def remove_sessions(self, request: RemoveSessions) -> Removed:
        """Delete conversations for good."""
        # A half that is left undone would leave the text behind.
        work = asyncio.ensure_future(self._keep(self._remove(_canonical(request))))
        return await asyncio.shield(work)

    async def _remove(self, request: RemoveSessions) -> Removed:
        removed = await self._sessions.remove(request, self.context.now())
        if removed.sessions:
            log.info("deleted %d conversations with %d turns", removed.sessions, removed.turns)
            self.context.publish(
                f"service.{self.name}.removed", sessions=removed.sessions, turns=removed.turns
            )
            self._is_dirty.set()
            await self._database.scrub()
            self._is_dirty.clear()
        return removed

    async def _keep_clean(self) -> None:
        while True:
            try:
                await self._keep(self._clean_up())
                self._is_dirty.clear()
            except StorageError as error:
                log.warning("%s; it is tried again", error.message)
                self._is_dirty.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._clean_up_every_s):
                    await self._is_dirty.wait()
                    await asyncio.sleep(self._try_again_s)

    async def _clean_up(self) -> None:
        """Delete what is kept no longer, and what a deletion that was cut short has left."""
        now = self.context.now()
        days = self.context.config.engram.keep_days
        if days:
            await self._remove(RemoveSessions(before=now - days * _DAY_S))
        await self._sessions.forget_removed(now)
        await self._database.scrub()

    async def _keep(self, work: Awaitable[ResultT]) -> ResultT:
        try:
            return await work
        except StorageError as error:
            self.last_error = error.message
            raise


RequestT = TypeVar(
    "RequestT",
    ResumeSession, ListSessions, ShowSession, ChangeSession, ForkSession, RemoveSessions,
)  # fmt: skip


def _canonical(request: RequestT) -> RequestT:
    return dataclasses.replace(request, ci=canonical(request.ci)) if request.ci else request
