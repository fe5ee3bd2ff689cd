"""Listening: Unix sockets for this user, one TCP port for lines and WebSockets alike."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from backends.errors import AlreadyRunning, TektonError
from backends.transport.address import Address
from backends.transport.base import MAX_STRANGER, Channel
from backends.transport.stream import BACKLOG, StreamChannel, peer_of, reason_of
from backends.transport.websocket import Guard, accept_websocket

log = logging.getLogger(__name__)

OnChannel = Callable[[Channel], Awaitable[None]]
"""Serves one connection until it ends; the listener closes it afterwards."""

_FIRST_BYTES_S = 10.0
_MAX_STRANGERS = 128
"""Connections to one port that may be open without having said who they are."""

_STREAM_LIMIT = 256 * 1024
_HTTP_METHODS = (b"GET", b"HEA", b"POS", b"PUT", b"DEL", b"OPT", b"PAT", b"CON", b"TRA")


class Listener:
    """One listening socket; made by `listen_unix` or `listen_tcp`."""

    def __init__(self, server: asyncio.Server, where: str, unix_path: Path | None) -> None:
        self.where = where
        self._server = server
        self._unix_path = unix_path
        self._inode = unix_path.stat().st_ino if unix_path else None

    async def close(self) -> None:
        """Stop accepting; a Unix socket is removed if it is still this one."""
        self._server.close()
        if (
            self._unix_path
            and self._unix_path.exists()
            and self._unix_path.stat().st_ino == self._inode
        ):
            self._unix_path.unlink()


async def listen_unix(path: Path, on_channel: OnChannel) -> Listener:
    """Listen on a Unix socket with mode 0600; what a dead process left there is replaced.

    Raises:
        AlreadyRunning: A live process listens there; it is left alone.
    """
    _make_way(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        server.bind(os.fspath(path))
    finally:
        os.umask(before)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = peer_of(writer)
        except OSError:
            writer.close()  # gone before it was served
            return
        await _serve(StreamChannel(reader, writer, peer), on_channel)

    listening = await asyncio.start_unix_server(
        accepted, sock=server, backlog=BACKLOG, limit=_STREAM_LIMIT
    )
    return Listener(listening, f"unix:{path}", path)


async def listen_tcp(host: str, port: int, on_channel: OnChannel, guard: Guard) -> Listener:
    """Listen on a TCP port for lines and, where a client begins with HTTP, for WebSockets.

    Raises:
        TektonError: The port is taken or cannot be bound; the message says why.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        server = socket.create_server(infos[0][4][:2], family=infos[0][0], backlog=BACKLOG)
    except OSError as error:
        raise TektonError(
            f"cannot listen on {host}:{port}: {reason_of(error)}",
            "set another port under [tcp] in the configuration: `tekton config edit`",
        ) from error

    strangers: set[asyncio.StreamWriter] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(strangers) >= _MAX_STRANGERS:
            writer.close()
            return
        strangers.add(writer)
        channel = None
        try:
            async with asyncio.timeout(_FIRST_BYTES_S):
                let_in = functools.partial(strangers.discard, writer)
                channel = await _recognise(reader, writer, guard, let_in)
        except (TimeoutError, OSError):
            pass  # it said nothing in time, or went away
        except Exception:
            log.exception("a connection could not be accepted")
        finally:
            if channel is None:
                strangers.discard(writer)
                writer.close()
        if channel is not None:
            try:
                await _serve(channel, on_channel)
            finally:
                strangers.discard(writer)

    listening = await asyncio.start_server(
        accepted, sock=server, backlog=BACKLOG, limit=_STREAM_LIMIT
    )
    bound = Address("tcp", host=host, port=server.getsockname()[1])
    return Listener(listening, str(bound), None)


async def _recognise(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    guard: Guard,
    let_in: Callable[[], None],
) -> Channel | None:
    first = b""
    while len(first) < 3:
        data = await reader.read(MAX_STRANGER)
        if not data:
            return None
        first += data
    peer = peer_of(writer)
    if first[:3] in _HTTP_METHODS:
        channel = await accept_websocket(reader, writer, first, peer, guard)
        let_in()
        return channel
    return StreamChannel(reader, writer, peer, first, let_in)


async def _serve(channel: Channel, on_channel: OnChannel) -> None:
    try:
        await on_channel(channel)
    except Exception:
        log.exception("connection of %s failed", channel.peer.where)
    finally:
        with suppress(asyncio.CancelledError):  # asyncio complains of a task that ends cancelled
            await channel.close()


def _make_way(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid != os.getuid():
        raise TektonError(f"{path} belongs to somebody else", "remove it, or set TEKTON_HOME")
    if not stat.S_ISSOCK(found.st_mode):
        raise TektonError(f"{path} is in the way: it is not a socket", "remove it")
    if is_listening(path):
        raise AlreadyRunning(
            f"another process listens on {path}", "`tekton status` shows what runs"
        )
    path.unlink(missing_ok=True)


def is_listening(path: Path) -> bool:
    """Tell whether a process accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # it is there, and too busy to answer now
    return True
