"""A connection to one service of the hub that never blocks."""

from __future__ import annotations

import socket
from typing import Any

from backends.client.discovery import locate
from backends.errors import ConnectionLost
from backends.protocol.connection import Connection, ConnectionEvent, RequestId
from backends.protocol.framing import LineFramer, frame
from backends.protocol.messages import Request

_PIECE = 1 << 18
_CONNECT_S = 1.0


class Link:
    """One Unix socket: questions go out as the peer takes them, events come as they are there.

    Raises:
        OSError: Nobody listens.
        TektonError: As `locate` does.
    """

    def __init__(self, service: str) -> None:
        self._connection = Connection()
        self._framer = LineFramer()
        self._out = bytearray()
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._channel.settimeout(_CONNECT_S)
            self._channel.connect(locate(service, is_ci=False).path)
            self._channel.setblocking(False)
        except BaseException:
            self._channel.close()
            raise

    def fileno(self) -> int:
        """Return what `select` watches."""
        return self._channel.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def ask(self, request: Request[Any]) -> RequestId:
        """Ask; returns the request's id."""
        number, message = self._connection.request(request)
        self._send(frame(message))
        return number

    def cancel(self, number: RequestId) -> None:
        """Take a question back."""
        message = self._connection.cancel(number)
        if message is not None:
            self._send(frame(message))

    def _send(self, data: bytes) -> None:
        self._out += data
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it; a peer that is gone shows in `receive`."""
        try:
            while self._out:
                del self._out[: self._channel.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()

    def receive(self) -> list[ConnectionEvent]:
        """Return what has come.

        Raises:
            ConnectionLost: The peer is gone.
        """
        try:
            data = self._channel.recv(_PIECE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error.strerror}") from error
        if not data:
            raise ConnectionLost("the connection was lost")
        events = (self._connection.receive(message) for message in self._framer.feed(data))
        return [event for event in events if event is not None]

    def close(self) -> None:
        """Hang up; what was asked is cancelled by that."""
        self._channel.close()
