"""Channels over WebSockets: one JSON object a text frame (RFC 6455).

The protocol itself is the `websockets` package's, used without its I/O, so that one listening
port can serve WebSockets beside plain lines.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backends.errors import CannotConnect, ConnectionLost, Unauthorized
from backends.protocol.framing import MAX_MESSAGE
from backends.transport.address import Address
from backends.transport.base import HIGH_WATER, Peer
from backends.transport.stream import close_writer

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.protocol import Protocol
    from websockets.server import ServerProtocol

_READ_SIZE = 32 * 1024
_LINGER_S = 1.0
_HEAD_END = b"\r\n\r\n"
_MAX_HEAD = 64 * 1024

Guard = Callable[["Request", Peer], Awaitable["tuple[int, str] | None"]]
"""Looks at a handshake before it is accepted; returns an HTTP status and a reason to refuse it."""


class WebSocketChannel:
    """A channel over an open WebSocket, either side.

    A message over the limit ends the connection with close code 1009, as RFC 6455 has it:
    unlike a line, the rest of a frame cannot be passed over without reading it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        protocol: Protocol,
        peer: Peer,
    ) -> None:
        self.peer = peer
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._ready: deque[bytes] = deque()
        self._parts: list[bytes] = []
        writer.transport.set_write_buffer_limits(high=HIGH_WATER)

    async def receive(self) -> bytes | None:
        """Return the next message; `None` once the peer is gone or either end has closed."""
        from websockets.protocol import State

        while not self._ready:
            self._take_frames()
            if self._ready:
                break
            await self._flush()
            if self._protocol.state is not State.OPEN:
                return None
            try:
                data = await self._reader.read(_READ_SIZE)
            except OSError:
                return None
            if data:
                self._protocol.receive_data(data)
                await asyncio.sleep(0)  # a read may hold thousands of frames that say nothing
            else:
                self._protocol.receive_eof()
                self._take_frames()
                await self._flush()
                return self._ready.popleft() if self._ready else None
        return self._ready.popleft()

    def let_in(self) -> None:
        """Do nothing: whoever has such a channel is in already."""

    async def gone(self) -> None:
        """Return at once: a WebSocket closes both directions together."""

    async def send(self, message: bytes) -> None:
        """Send a message as one text frame; waits while more than 256 KiB are unread."""
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_text(message)
        except InvalidState as error:
            raise self._lost() from error
        if not await self._flush():
            raise self._lost()

    async def close(self) -> None:
        """Say goodbye (close code 1000), give the peer 1 s for its own, and end the connection."""
        from websockets.exceptions import InvalidState

        try:
            self._protocol.send_close(1000)
        except InvalidState:
            pass  # the closing is under way already
        try:
            await self._flush()
            await self._linger()
        except asyncio.CancelledError:
            self._writer.transport.abort()
            raise
        await close_writer(self._writer)

    async def _linger(self) -> None:
        """Read up to the peer's own goodbye: unread bytes would make this end a reset."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self._protocol.close_rcvd and (
                    data := await self._reader.read(_READ_SIZE)
                ):
                    self._protocol.receive_data(data)
                    self._protocol.events_received()
                    await self._flush()
        except (OSError, TimeoutError):
            pass  # it is gone, or does not say goodbye

    def _take_frames(self) -> None:
        from websockets.frames import Frame, Opcode

        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in (
                Opcode.TEXT,
                Opcode.BINARY,
                Opcode.CONT,
            ):
                continue
            self._parts.append(bytes(event.data))
            if event.fin:
                message = b"".join(self._parts)
                self._parts.clear()
                if _is_utf8(message):
                    self._ready.append(message)
                else:
                    self._protocol.fail(1007, "a message must be UTF-8")

    async def _flush(self) -> bool:
        """Write what the protocol has to say, and wait only for that to be read.

        Whoever only receives must not wait for what others have sent: two ends that both wait
        to be read, and so do not read, would wait forever.
        """
        outgoing = self._protocol.data_to_send()
        try:
            for data in outgoing:
                if data:
                    self._writer.write(data)
                elif self._writer.can_write_eof():
                    self._writer.write_eof()
            if outgoing:
                await self._writer.drain()
        except OSError:
            return False
        return True

    def _lost(self) -> ConnectionLost:
        closed = self._protocol.close_rcvd
        if closed is not None and closed.code == 1009:
            return ConnectionLost("the peer ended the connection: a message was over its limit")
        return ConnectionLost("the connection is closed")


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


async def accept_websocket(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    first: bytes,
    peer: Peer,
    guard: Guard,
) -> WebSocketChannel | None:
    """Answer a handshake that begins with the bytes `first`; `None` where it was refused."""
    from websockets.http11 import Request
    from websockets.protocol import State
    from websockets.server import ServerProtocol

    head = first
    while _HEAD_END not in head and len(head) < _MAX_HEAD:
        if not (data := await reader.read(_READ_SIZE)):
            return None
        head += data
    head, _, early = head.partition(_HEAD_END)  # frames have to wait until they are let in
    protocol = ServerProtocol(max_size=MAX_MESSAGE)
    is_answered = False
    protocol.receive_data(head + _HEAD_END)
    for request in protocol.events_received():
        assert isinstance(request, Request)  # nosec B101
        protocol.send_response(_respond(protocol, request, await guard(request, peer)))
    for outgoing in protocol.data_to_send():
        writer.write(outgoing)
        is_answered = is_answered or bool(outgoing)
    if not is_answered:
        # The package says nothing to what is no handshake at all, such as a form that a page posts.
        status = "415 Unsupported Media Type" if head.startswith(b"POST") else "400 Bad Request"
        writer.write(
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
        )
    await writer.drain()
    if protocol.state is not State.OPEN:
        return None
    protocol.receive_data(early)
    return WebSocketChannel(
        reader, writer, protocol, dataclasses.replace(peer, has_shown_token=True)
    )


def _respond(
    protocol: ServerProtocol, request: Request, refusal: tuple[int, str] | None
) -> Response:
    if refusal is None:
        return protocol.accept(request)
    status, reason = refusal
    response = protocol.reject(status, reason + "\n")
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def open_websocket(address: Address, token: str | None) -> WebSocketChannel:
    """Connect and shake hands, showing the token as a bearer token (RFC 6750).

    Raises:
        OSError: Nobody listens there.
        Unauthorized: The server wants a token, or another one.
        CannotConnect: It answers, but not as a Tekton WebSocket.
    """
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidStatus
    from websockets.protocol import State
    from websockets.uri import parse_uri

    context = ssl.create_default_context() if address.scheme == "wss" else None
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=context, limit=_READ_SIZE
    )
    protocol = ClientProtocol(parse_uri(str(address)), max_size=MAX_MESSAGE)
    request = protocol.connect()
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    protocol.send_request(request)
    channel = WebSocketChannel(reader, writer, protocol, Peer(where=str(address), is_trusted=True))
    is_answered = False
    try:
        await channel._flush()
        while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
            if data := await reader.read(_READ_SIZE):
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
        is_answered = protocol.handshake_exc is None
    finally:
        if not is_answered:
            writer.close()
    if is_answered:
        return channel  # even if its first message, or its goodbye, has come along already
    found = protocol.handshake_exc
    if isinstance(found, InvalidStatus) and found.response.status_code in (401, 403, 421, 429):
        reason = (
            found.response.body.decode("utf-8", "replace").strip() if found.response.body else ""
        )
        raise Unauthorized(
            f"{address} refused the connection: {reason or found.response.reason_phrase}",
            "make a token with `tekton token create NAME > FILE`, then use --token-file FILE",
        )
    raise CannotConnect(f"{address} does not answer as a Tekton WebSocket: {found}")
