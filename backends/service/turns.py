"""Storing a turn while it happens, without ever holding up its answer."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

from backends.errors import NotFound, TektonError
from backends.protocol.conversations import BeginTurn, Turn, UpdateTurn
from backends.service.base import Context

log = logging.getLogger(__name__)

_BEGIN_WAIT_S = 0.25
_END_WAIT_S = 1.0
_UPDATE_EVERY_S = 1.0
_END_TRIES = 5
_END_PAUSE_S = 2.0


class TurnRecorder:
    """Writes one turn through the memory service: at its begin, once a second, at its end.

    Writes go one after another in a task of their own. A store that is slow or broken costs
    the answer at most 0.25 s before and 1 s after.
    """

    def __init__(self, context: Context, terminal: str | None = None) -> None:
        self._context = context
        self._terminal = terminal
        self._texts: list[str] = []
        self._size = 0
        self._turn: Turn | None = None
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._stored = asyncio.Event()
        self._failure: str | None = None

    async def begin(self, turn: Turn) -> None:
        """Store the turn; returns once it is stored, or has failed, or takes too long."""
        if not self._context.config.engram.enabled:
            return
        self._turn = turn
        self._context.background(self._write())
        await _wait(self._begun, _BEGIN_WAIT_S)

    def add(self, text: str) -> None:
        """Note the next piece of the answer."""
        self._texts.append(text)
        self._size += len(text)

    def finish(self, turn: Turn) -> None:
        """Store the turn as it ended; does not wait."""
        if self._turn is None and self._context.config.engram.enabled:
            self._context.background(self._write())  # it failed before it began
        self._turn = turn
        self._ended.set()

    async def outcome(self) -> str | None:
        """Wait shortly for the end to be stored; returns why it is not, or `None`."""
        if not self._context.config.engram.enabled:
            return None
        if await _wait(self._stored, _END_WAIT_S):
            return self._failure and f"this turn is not stored: {self._failure}"
        return "this turn is not stored yet: the store is slow or locked"

    async def _write(self) -> None:
        await self._try(BeginTurn(turn=self._current(), terminal=self._terminal))
        self._begun.set()
        known = 0
        while not await _wait(self._ended, _UPDATE_EVERY_S):
            if self._size > known:
                known = self._size
                await self._try(UpdateTurn(turn=self._current()))
        for _ in range(_END_TRIES):  # an end that is lost would look like a hub that died
            await self._try(UpdateTurn(turn=self._current()))
            self._stored.set()
            if self._failure is None:
                return
            await asyncio.sleep(_END_PAUSE_S)

    async def _try(self, request: BeginTurn | UpdateTurn) -> None:
        try:
            await self._context.call(request)
        except NotFound:
            self._failure = None  # its conversation was deleted meanwhile, which is for good
        except TektonError as error:
            self._failure = error.message
            log.warning("turn %s: %s", request.turn.id, error.message)
        else:
            self._failure = None

    def _current(self) -> Turn:
        assert self._turn is not None  # nosec B101
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return dataclasses.replace(self._turn, answer="".join(self._texts))


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
