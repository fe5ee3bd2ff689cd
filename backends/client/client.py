"""The asynchronous client of one connection; many requests may be open at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, TypeVar

from backends.errors import ConnectionLost, TektonError
from backends.protocol.connection import (
    ChunkReceived,
    Connection,
    ErrorReceived,
    RequestId,
    ResultReceived,
)
from backends.protocol.messages import Hello, Request
from backends.transport.address import Address
from backends.transport.base import Channel
from backends.transport.connect import open_channel

ResultT = TypeVar("ResultT")

_OPEN_CHUNKS = 256
"""Chunks that may wait for a caller; then the connection is read no further."""


class Client:
    """Asks one service; close it, or use it with `async with`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._connection = Connection()
        self._waiting: dict[RequestId, asyncio.Queue[Any]] = {}
        self._greeting: RequestId | None = None
        self._lost: TektonError | None = None
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, address: Address, token: str | None = None, timeout_s: float = 10.0
    ) -> Client:
        """Connect to a service; off the Unix socket a hello with the token goes first.

        Raises:
            CannotConnect: Nobody answers; `Unauthorized` where a WebSocket handshake was refused.
        """
        client = cls(await open_channel(address, token, timeout_s))
        if address.scheme == "tcp":
            await client._greet(token)
        return client

    @property
    def is_open(self) -> bool:
        """False once the connection is lost or closed."""
        return self._lost is None

    async def call(self, request: Request[ResultT]) -> ResultT:
        """Ask and wait for the result; chunks are passed over.

        Cancelling the caller cancels the request.

        Raises:
            TektonError: What the service answered, or `ConnectionLost`.
        """
        async for item in self.stream(request):
            result = item
        found: ResultT = result
        return found

    async def stream(self, request: Request[ResultT]) -> AsyncGenerator[Any, None]:
        """Ask; yield each chunk as it comes and the result last.

        Closing the iterator before its end cancels the request, all the way to the provider.

        Raises:
            TektonError: What the service answered, or `ConnectionLost`.
        """
        number = await self._send(request)
        queue = self._waiting[number]
        is_answered = False
        try:
            while True:
                event = await queue.get()
                if isinstance(event, ChunkReceived):
                    yield event.value
                    continue
                is_answered = True
                if isinstance(event, ResultReceived):
                    yield event.value
                    return
                raise event.error if isinstance(event, ErrorReceived) else event
        finally:
            self._waiting.pop(number, None)
            if not is_answered:
                await self._cancel(number, queue)

    async def close(self) -> None:
        """End the connection; requests that are open fail with `ConnectionLost`."""
        self._fail(ConnectionLost("the connection was closed"))
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._channel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _greet(self, token: str | None) -> None:
        """Send the hello; nobody waits for its answer, but a refusal fails all that follows."""
        number = await self._send(Hello(client="tekton", token=token))
        del self._waiting[number]
        self._greeting = number

    async def _send(self, request: Request[Any]) -> RequestId:
        if self._lost:
            raise self._lost
        number, message = self._connection.request(request)
        self._waiting[number] = asyncio.Queue(_OPEN_CHUNKS)
        try:
            await self._channel.send(message)
        except ConnectionLost:
            # what the peer said before it closed tells more than that it closed
            await asyncio.wait([self._reader], timeout=1)
            raise self._lost or ConnectionLost("the peer closed the connection") from None
        return number

    async def _cancel(self, number: RequestId, queue: asyncio.Queue[Any]) -> None:
        while not queue.empty():
            queue.get_nowait()  # the reader may wait for room in it
        message = self._connection.cancel(number)
        if message and not self._lost:
            with suppress(TektonError):
                await self._channel.send(message)

    async def _read(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                event = self._connection.receive(message)
                if isinstance(event, (ChunkReceived, ResultReceived, ErrorReceived)):
                    if isinstance(event, ErrorReceived) and event.id in (None, self._greeting):
                        self._fail(event.error)
                    elif event.id in self._waiting:
                        await self._waiting[event.id].put(event)
                elif event is not None:
                    self._fail(
                        getattr(event, "error", None) or ConnectionLost("unexpected message")
                    )
        finally:
            self._fail(ConnectionLost("the connection was lost before the answer was complete"))

    def _fail(self, error: TektonError) -> None:
        self._lost = self._lost or error
        for queue in self._waiting.values():
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(self._lost)
