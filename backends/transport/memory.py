"""A pair of channels inside one process."""

from __future__ import annotations

import asyncio
from collections import deque

from backends.errors import ConnectionLost
from backends.transport.base import Peer

_CAPACITY = 64


class _Pipe:
    """One direction: a bounded queue that can be closed."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._is_closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def put(self, message: bytes) -> None:
        while len(self._waiting) >= _CAPACITY and not self._is_closed:
            self._writable.clear()
            await self._writable.wait()
        if self._is_closed:
            raise ConnectionLost("the other end is closed")
        self._waiting.append(message)
        self._readable.set()

    async def get(self) -> bytes | None:
        while not self._waiting:
            if self._is_closed:
                return None
            self._readable.clear()
            await self._readable.wait()
        self._writable.set()
        return self._waiting.popleft()

    def close(self) -> None:
        self._is_closed = True
        self._readable.set()
        self._writable.set()


class MemoryChannel:
    """One end of a pair; at most 64 messages wait in each direction."""

    def __init__(self, inbound: _Pipe, outbound: _Pipe) -> None:
        self.peer = Peer(where="memory", is_trusted=True)
        self._inbound = inbound
        self._outbound = outbound

    async def receive(self) -> bytes | None:
        """Return the next message, or `None` once either end is closed and all is read."""
        return await self._inbound.get()

    def let_in(self) -> None:
        """Do nothing: whoever has such a channel is in already."""

    async def gone(self) -> None:
        """Return at once: an end closes both directions together."""

    async def send(self, message: bytes) -> None:
        """Hand a message to the other end; waits while that has 64 unread."""
        await self._outbound.put(message)

    async def close(self) -> None:
        """Close both directions; what was sent can still be read."""
        self._inbound.close()
        self._outbound.close()


def memory_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Make two ends, each of which receives what the other sends."""
    there, back = _Pipe(), _Pipe()
    return MemoryChannel(back, there), MemoryChannel(there, back)
