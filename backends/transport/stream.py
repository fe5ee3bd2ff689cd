"""Channels over byte streams: Unix sockets and TCP, one JSON object a line."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from backends.errors import ConnectionLost
from backends.protocol.framing import MAX_MESSAGE, LineFramer, Oversized, frame
from backends.transport.base import HIGH_WATER, MAX_STRANGER, Peer

BACKLOG = 1024
"""Connections that may wait to be accepted; asyncio's own 100 refuses the 101st of 200."""

_READ_SIZE = MAX_STRANGER  # what follows a stranger's hello in one read is no larger
_READS_AT_ONCE = 8
_HANG_UP_CHECK_S = 0.1
_IS_MACOS = sys.platform == "darwin"
_LOCAL_PEERCRED = 1  # macOS, sys/un.h
_LOCAL_PEERPID = 2


class StreamChannel:
    """A channel over an asyncio stream.

    `buffered` are bytes that were read before the channel was made. `gather_s` is for a reader
    that only draws: after each read, what arrives within so many seconds is read together.
    `on_let_in` makes the peer a stranger, whose messages have to be small until it is let in.
    """

    gather_s: float = 0.0

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        buffered: bytes = b"",
        on_let_in: Callable[[], None] | None = None,
    ) -> None:
        self.peer = peer
        self._reader = reader
        self._writer = writer
        self._framer = LineFramer(MAX_MESSAGE if on_let_in is None else MAX_STRANGER)
        self._on_let_in = on_let_in
        self._ready = deque(self._framer.feed(buffered))
        self._reads = 0
        writer.transport.set_write_buffer_limits(high=HIGH_WATER)

    async def receive(self) -> bytes | Oversized | None:
        """Return the next message; `None` once the peer sends no more."""
        while not self._ready:
            if self.gather_s:
                await self._gather()
            try:
                data = await self._reader.read(_READ_SIZE)
            except (OSError, asyncio.IncompleteReadError):
                return None
            if not data:
                return None
            self._ready.extend(self._framer.feed(data))
        return self._ready.popleft()

    async def _gather(self) -> None:
        """Leave what arrives to the system for a while; a short answer is not held up."""
        self._reads += 1
        if self._reads <= _READS_AT_ONCE:
            return
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            await asyncio.sleep(self.gather_s)
        finally:
            self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def send(self, message: bytes) -> None:
        """Send a message; waits while more than 256 KiB are unread."""
        if self._writer.is_closing():
            raise ConnectionLost("the connection is closed")
        self._writer.write(frame(message))
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost("the peer closed the connection") from error

    async def close(self) -> None:
        """Send what is waiting, then end the connection."""
        await close_writer(self._writer)

    def let_in(self) -> None:
        """Take messages up to the protocol's limit."""
        self._framer.limit = MAX_MESSAGE
        if self._on_let_in is not None:
            self._on_let_in()

    async def gone(self) -> None:
        """Wait until the peer is gone; returns at once on TCP, which cannot tell."""
        found = self._writer.get_extra_info("socket")
        if found is None or found.family != socket.AF_UNIX or not hasattr(select, "poll"):
            return
        while not self._writer.is_closing() and not _has_hung_up(found.fileno()):
            await asyncio.sleep(_HANG_UP_CHECK_S)


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Send what is waiting, then close; a cancellation closes at once."""
    writer.close()
    try:
        await asyncio.shield(writer.wait_closed())  # whoever else waits is not cancelled with us
    except OSError:
        pass  # the peer was quicker; closed is closed
    except asyncio.CancelledError:
        with suppress(AttributeError):  # Python 3.11's way to say that it was closed meanwhile
            writer.transport.abort()
        raise


def _has_hung_up(descriptor: int) -> bool:
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(
        event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0)
    )


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """Tell who is at the other end of a Unix or TCP stream, by the kernel's word."""
    found = writer.get_extra_info("socket")
    if found.family != socket.AF_UNIX:
        host, port = writer.get_extra_info("peername")[:2]
        return Peer(where=f"tcp {host}:{port}", is_trusted=False, is_local=False)
    uid, pid = _credentials(found)
    return Peer(where=f"unix pid {pid}", is_trusted=uid in (os.getuid(), 0), pid=pid)


def _credentials(unix: socket.socket) -> tuple[int, int | None]:
    if not _IS_MACOS:
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack(
            "3i", unix.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return uid, pid
    # macOS and the BSDs: struct xucred begins with its version and the uid (sys/ucred.h)
    _, uid = struct.unpack_from("II", unix.getsockopt(0, _LOCAL_PEERCRED, 76))
    pid = struct.unpack("i", unix.getsockopt(0, _LOCAL_PEERPID, 4))[0]
    return uid, pid


def reason_of(error: OSError) -> str:
    """Say why, without what Python adds: the address stands in the message already."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def open_unix(path: str) -> StreamChannel:
    """Connect to a Unix socket.

    Raises:
        OSError: Nobody listens there.
    """
    reader, writer = await asyncio.open_unix_connection(path, limit=_READ_SIZE)
    return StreamChannel(reader, writer, peer_of(writer))
