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

from backends.client.discovery import locate, remote_of, target, why_not
from backends.errors import CannotConnect, ConnectionLost
from backends.protocol.connection import (
    ChunkReceived,
    Connection,
    ErrorReceived,
    Refused,
    ResultReceived,
)
from backends.protocol.framing import LineFramer, frame
from backends.protocol.messages import Request

if TYPE_CHECKING:
    import asyncio

    from backends.client.tekton import Tekton
    from backends.paths import Paths

ResultT = TypeVar("ResultT")


class BlockingTekton:
    """`Tekton` whose methods block; use it with `with`, in one thread, outside any event loop.

    Arguments as for `Tekton`. Each request has a connection of its own.
    """

    def __init__(
        self,
        url: str | None = None,
        token_file: Path | None = None,
        paths: Paths | None = None,
        is_local: bool = False,
    ) -> None:
        self._paths = paths
        self._remote = None if is_local else remote_of(url)
        self._token_file = token_file
        self._runner: asyncio.Runner | None = None
        self._tekton: Tekton | None = None

    def call(self, request: Request[ResultT]) -> ResultT:
        """Ask and wait for the result; raises as `Tekton.call` does."""
        for item in self.stream(request):
            result = item
        found: ResultT = result
        return found

    def stream(self, request: Request[Any]) -> Iterator[Any]:
        """Ask; yield each chunk as it comes and the result last; closing it cancels."""
        if self._remote and self._remote.scheme != "unix":
            return self._stream_elsewhere(request)
        return self._ask(request)

    def close(self) -> None:
        """Close every connection."""
        if self._runner and self._tekton:
            self._runner.run(self._tekton.close())
            self._runner.close()

    def __enter__(self) -> BlockingTekton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def _ask(self, request: Request[Any]) -> Iterator[Any]:
        name, is_ci = target(request)
        runtime = os.fspath(self._paths.runtime) if self._paths else None
        address = self._remote or locate(name, is_ci, runtime)
        connection = Connection()
        _, message = connection.request(request)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            try:
                channel.connect(address.path)
                channel.sendall(frame(message))
            except OSError as error:
                reason = f"cannot connect to {address}: {error.strerror}"
                if self._remote:
                    raise CannotConnect(reason) from error
                raise why_not(name, is_ci, self._paths, reason) from error
            yield from _answer(channel, connection)


def _answer(channel: socket.socket, connection: Connection) -> Iterator[Any]:
    framer = LineFramer()
    while True:
        try:
            data = channel.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            raise ConnectionLost("the connection was lost before the answer was complete")
        for line in framer.feed(data):
            event = connection.receive(line)
            if isinstance(event, (ErrorReceived, Refused)):
                raise event.error
            if isinstance(event, (ChunkReceived, ResultReceived)):
                yield event.value
            if isinstance(event, ResultReceived):
                return
