"""The asynchronous client of one connection; many requests may be open at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

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
from backends.transport.stream import StreamChannel

ResultT = TypeVar("ResultT")

_Queue: TypeAlias = "asyncio.Queue[ChunkReceived | ResultReceived | ErrorReceived | None]"

_OPEN_CHUNKS = 256
"""Chunks that may wait for a caller; then the connection is read no further."""

_GOODBYE_S = 1.0
"""How long a peer that does not read may hold up who cancels or closes."""


class Client:
    """Asks one service; close it, or use it with `async with`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._connection = Connection()
        self._waiting: dict[RequestId, _Queue] = {}
        self._greeting: RequestId | None = None
        self._lost: TektonError | None = None
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        address: Address,
        token: str | None = None,
        timeout_s: float = 10.0,
        gather_s: float = 0.0,
    ) -> Client:
        """Connect to a service; a hello with the token goes first where there is one, or has to.

        Args:
            address: Where it listens.
            token: Needed off the Unix socket; on it, what tells who in this user's name asks.
            timeout_s: Seconds until the attempt is given up.
            gather_s: As a `StreamChannel` has it.

        Raises:
            CannotConnect: Nobody answers; `Unauthorized` where a WebSocket handshake was refused.
        """
        channel = await open_channel(address, token, timeout_s)
        if isinstance(channel, StreamChannel):
            channel.gather_s = gather_s
        client = cls(channel)
        if address.scheme == "tcp" or (address.scheme == "unix" and token):
            try:
                await client._greet(token)
            except BaseException:
                await client.close()
                raise
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
        if self._lost:
            raise self._lost
        number, message = self._connection.request(request)
        queue = self._waiting[number] = asyncio.Queue(_OPEN_CHUNKS)
        try:
            await self._send(message)
            while not isinstance(event := await self._next(queue), ResultReceived):
                yield event.value
            yield event.value
        finally:
            del self._waiting[number]
            await self._cancel(number, queue)

    async def close(self) -> None:
        """End the connection; requests that are open fail with `ConnectionLost`."""
        self._fail(ConnectionLost("the connection was closed"))
        self._reader.cancel()
        await asyncio.wait([self._reader])
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._channel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _greet(self, token: str | None) -> None:
        """Send the hello; nobody waits for its answer, but a refusal fails all that follows."""
        hello = Hello(client="tekton", token=token)
        self._greeting, message = self._connection.request(hello)
        await self._send(message)

    async def _send(self, message: bytes) -> None:
        try:
            await self._channel.send(message)
        except ConnectionLost:
            # what the peer said before it closed tells more than that it closed
            await asyncio.wait([self._reader], timeout=1)
            raise self._lost or ConnectionLost("the peer closed the connection") from None

    async def _next(self, queue: _Queue) -> ChunkReceived | ResultReceived:
        """Wait for what comes next; all that came before the connection was lost comes first."""
        event = None if self._lost and queue.empty() else await queue.get()
        if event is None:
            raise self._lost or ConnectionLost("the connection was lost")
        if isinstance(event, ErrorReceived):
            raise event.error
        return event

    async def _cancel(self, number: RequestId, queue: _Queue) -> None:
        """Take a request back, unless it is answered."""
        while not queue.empty():
            queue.get_nowait()  # the reader may wait for room in it
        message = self._connection.cancel(number)
        if message and not self._lost:
            with suppress(TektonError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._channel.send(message)

    async def _read(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                event = self._connection.receive(message)
                if isinstance(event, (ChunkReceived, ResultReceived, ErrorReceived)):
                    if isinstance(event, ErrorReceived) and event.id in (None, self._greeting):
                        self._fail(event.error)
                        break
                    if event.id in self._waiting:
                        await self._waiting[event.id].put(event)
                elif event is not None:
                    self._fail(
                        getattr(event, "error", None) or ConnectionLost("unexpected message")
                    )
                    break
        finally:
            self._fail(ConnectionLost("the connection was lost before the answer was complete"))
        await self._channel.close()

    def _fail(self, error: TektonError) -> None:
        self._lost = self._lost or error
        for queue in self._waiting.values():
            if queue.empty():
                queue.put_nowait(None)  # wakes who waits
