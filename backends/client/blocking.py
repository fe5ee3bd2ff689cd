"""The same door for programs without asyncio.

A Unix socket is used directly, since asyncio alone takes longer to import than most answers to
come; for TCP and WebSockets this wraps the asynchronous client.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backends.client.discovery import (
    PATIENCE_S,
    locate,
    remote_of,
    silent,
    target,
    terminal_token,
    why_not,
)
from backends.errors import CannotConnect, ConnectionLost
from backends.protocol.connection import (
    ChunkReceived,
    Connection,
    ErrorReceived,
    Refused,
    RequestId,
    ResultReceived,
)
from backends.protocol.framing import LineFramer, frame
from backends.protocol.messages import Chat, Hello, Request

if TYPE_CHECKING:
    import asyncio

    from backends.client.tekton import Tekton
    from backends.paths import Paths

ResultT = TypeVar("ResultT")


class BlockingTekton:
    """`Tekton` whose methods block; use it with `with`, in one thread, outside any event loop.

    Arguments as for `Tekton`. Each request has a connection of its own.

    Args:
        patience_s: How long a service on a Unix socket may be silent while `call` waits for
            anything but a prompt, in seconds.
    """

    def __init__(
        self,
        url: str | None = None,
        token_file: Path | None = None,
        paths: Paths | None = None,
        is_local: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._paths = paths
        self._remote = None if is_local else remote_of(url)
        self._token_file = token_file
        self._runner: asyncio.Runner | None = None
        self._tekton: Tekton | None = None

    def call(self, request: Request[ResultT]) -> ResultT:
        """Ask and wait for the result.

        Raises:
            TimedOut: The service is silent.
            TektonError: As `Tekton.call` does.
        """
        patience_s = None if isinstance(request, Chat) else self._patience_s
        for item in self._items(request, patience_s):
            result = item
        found: ResultT = result
        return found

    def stream(self, request: Request[Any]) -> Iterator[Any]:
        """Ask; yield each chunk as it comes and the result last; closing it cancels."""
        return self._items(request, None)

    def check(self, name: str, is_ci: bool) -> None:
        """Tell whether somebody listens as a service or CI of this machine; nothing is asked.

        Raises:
            TektonError: Why nobody does.
        """
        if self._remote is None:
            self._connect(name, is_ci, self._patience_s).close()

    def close(self) -> None:
        """Close every connection."""
        if self._runner and self._tekton:
            self._runner.run(self._tekton.close())
            self._runner.close()

    def __enter__(self) -> BlockingTekton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _items(self, request: Request[Any], patience_s: float | None) -> Iterator[Any]:
        if self._remote and self._remote.scheme != "unix":
            return self._stream_elsewhere(request)
        return self._ask(request, patience_s)

    def _stream_elsewhere(self, request: Request[Any]) -> Iterator[Any]:
        import asyncio

        from backends.client.tekton import Tekton

        if self._runner is None or self._tekton is None:
            self._runner = asyncio.Runner()
            self._tekton = Tekton(str(self._remote), self._token_file, self._paths)
        chunks = self._tekton.stream(request)

        async def following() -> Any:
            return await anext(chunks, None)

        try:
            while (item := self._runner.run(following())) is not None:
                yield item
        finally:
            self._runner.run(chunks.aclose())

    def _ask(self, request: Request[Any], patience_s: float | None) -> Iterator[Any]:
        name, is_ci = target(request)
        connection = Connection()
        token = None if self._remote else terminal_token(name)
        hello = frame(connection.request(Hello(client="tekton", token=token))[1]) if token else b""
        number, message = connection.request(request)
        with self._connect(name, is_ci, patience_s, hello + frame(message)) as channel:
            try:
                yield from _answer(channel, connection, number)
            except TimeoutError as error:
                raise silent(name, is_ci, patience_s or 0, self._paths) from error

    def _connect(
        self, name: str, is_ci: bool, patience_s: float | None, message: bytes = b""
    ) -> socket.socket:
        """Connect and send a message; the socket is the caller's."""
        runtime = os.fspath(self._paths.runtime) if self._paths else None
        address = self._remote or locate(name, is_ci, runtime)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(patience_s)
        try:
            channel.connect(address.path)
            channel.sendall(message)
        except (TimeoutError, BlockingIOError) as error:  # as many wait already as may
            channel.close()
            raise silent(name, is_ci, patience_s or 0, self._paths) from error
        except OSError as error:
            channel.close()
            reason = f"cannot connect to {address}: {error.strerror}"
            if self._remote:
                raise CannotConnect(reason) from error
            raise why_not(name, is_ci, self._paths, reason) from error
        return channel


def _answer(channel: socket.socket, connection: Connection, number: RequestId) -> Iterator[Any]:
    framer = LineFramer()
    while True:
        try:
            data = channel.recv(1 << 18)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if not data:
            raise ConnectionLost("the connection was lost before the answer was complete")
        for line in framer.feed(data):
            event = connection.receive(line)
            if isinstance(event, (ErrorReceived, Refused)):
                raise event.error
            if not isinstance(event, (ChunkReceived, ResultReceived)) or event.id != number:
                continue  # the answer to the hello says nothing new
            yield event.value
            if isinstance(event, ResultReceived):
                return
