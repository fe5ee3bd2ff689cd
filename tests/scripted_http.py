"""A loopback HTTP/1.1 server that streams scripted answers and misbehaves on request.

It runs an event loop in a thread of its own. What it says is decided by a subclass; this module
knows connections, chunked transfer coding (RFC 9112, section 7.1), pacing, faults and records.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

BATCH = 64 * 1024
"""Bytes written at once where no delay lies between tokens."""


class FaultKind(Enum):
    """What a server does wrong."""

    STATUS = "status"
    """Answer with `Fault.status` and the protocol's JSON body."""
    MALFORMED = "malformed"
    """Send something unreadable among the tokens, then go on."""
    ERROR = "error"
    """Report a failure inside the stream, as the protocol does it, and end."""
    RESET = "reset"
    """Reset the connection (RST)."""
    DROP = "drop"
    """Close the connection in the middle of the body (FIN)."""
    CUT = "cut"
    """End the body properly, without the finish marker."""
    HANG = "hang"
    """Send nothing more and keep the connection open."""
    LINGER = "linger"
    """Send all, the finish marker too, but never end the body."""
    MUTE = "mute"
    """Accept requests, even for the list of models, and never answer."""
    NO_IMAGES = "no-images"
    """Refuse prompts that hold images."""


@dataclass(frozen=True)
class Fault:
    """A fault, and how many tokens are sent before it."""

    kind: FaultKind
    after: int = 0
    status: int = 500
    message: str = "something broke"
    retry_after: str | None = None


@dataclass(frozen=True)
class Script:
    """What a server answers.

    `tokens` is the answer, or a function of the last user message; without it the answer repeats
    that message. `thinking` comes first. `key` makes the server ask for it. `finish` and `model`
    are reported at the end; `model` is the one that was asked for where it is not given.
    """

    tokens: Sequence[str] | Callable[[str], Sequence[str]] | None = None
    thinking: Sequence[str] = ()
    delay_s: float = 0.0
    fault: Fault | None = None
    models: tuple[str, ...] | None = None
    model: str | None = None
    finish: str | None = None
    key: str | None = None


@dataclass
class Request:
    """A request as it came, and what became of its answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    peer: int = 0
    """The client's port: equal for requests on one connection."""
    answered: threading.Event = field(default_factory=threading.Event)
    disconnected: threading.Event = field(default_factory=threading.Event)
    """The client went away before the answer was complete."""


@dataclass(frozen=True)
class Reply:
    """An answer: a whole body, or frames of which the tokens are paced."""

    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    head: tuple[bytes, ...] = ()
    tokens: tuple[bytes, ...] = ()
    tail: tuple[bytes, ...] = ()
    malformed: bytes = b""
    error: bytes = b""

    @staticmethod
    def of_json(value: object, status: int = 200, **headers: str) -> Reply:
        """A whole JSON body."""
        body = json.dumps(value).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, body, headers=named)


class ScriptedServer(ABC):
    """A server on a free loopback port, up from `with` to its end.

    `requests` holds every request in the order of arrival. Times are those of `time.monotonic`.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.url = ""
        self.requests: list[Request] = []
        self.first_token_at: float | None = None
        self.last_token_at: float | None = None
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Decide what to answer; faults of the stream are applied afterwards."""

    def __enter__(self) -> Self:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_request(self, count: int = 1, timeout_s: float = 5.0) -> Request:
        """Wait until that many prompts have arrived; return the last of them."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.prompts) >= count, timeout_s)
        assert arrived, f"{len(self.prompts)} prompts came, not {count}"
        return self.prompts[count - 1]

    @property
    def prompts(self) -> list[Request]:
        """The requests that carried a prompt."""
        return [request for request in self.requests if request.method == "POST"]

    def note(self, request: Request) -> None:
        """Record a request."""
        with self._news:
            self.requests.append(request)
            self._news.notify_all()

    async def _listen(self) -> int:
        self._listener = await self._loop.create_server(
            lambda: Connection(self, self._connections), "127.0.0.1", 0, backlog=1024
        )
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _shut(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for connection in list(self._connections):
            connection.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Connection(asyncio.Protocol):
    """One client: its requests are answered one after the other."""

    def __init__(self, server: ScriptedServer, connections: set[Connection]) -> None:
        self._server = server
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._request: Request | None = None
        self._lost = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = transport.get_extra_info("peername")[1]
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._lost.set()
        self._writable.set()
        if self._request is not None:
            self._request.disconnected.set()
            self._request = None
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        """Drop the client; this is the server's doing, so no disconnect is recorded."""
        self._request = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next_request()

    def _next_request(self) -> None:
        head, blank, _ = bytes(self._buffer[:65536]).partition(b"\r\n\r\n")
        if not blank or self._request is not None:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        start = len(head) + len(blank)
        if len(self._buffer) < start + length:
            return
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        method, path, _ = first.split(" ")
        self._request = Request(method, path, headers, _parse(body), self._peer)
        self._task = asyncio.get_running_loop().create_task(self._respond(self._request))

    @property
    def _socket(self) -> socket.socket:
        found: socket.socket = self._transport.get_extra_info("socket")
        return found

    async def _respond(self, request: Request) -> None:
        server = self._server
        if request.path == "/_timing":
            times = {"first_token_at": server.first_token_at, "last_token_at": server.last_token_at}
            self._whole(Reply.of_json(times))
        else:
            server.note(request)
            fault = server.script.fault
            if fault and fault.kind is FaultKind.MUTE:
                await self._lost.wait()
            reply = server.answer(request)
            if reply.body is None:
                await self._stream(reply, fault)
            else:
                self._whole(reply)
        request.answered.set()
        self._request = None
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        self._next_request()

    def _head(self, reply: Reply, framing: str) -> bytes:
        named = [f"{name}: {value}" for name, value in reply.headers.items()]
        first = [f"HTTP/1.1 {reply.status} Scripted", f"content-type: {reply.content_type}"]
        return "\r\n".join([*first, framing, *named, "", ""]).encode("latin-1")

    def _whole(self, reply: Reply) -> None:
        body = reply.body or b""
        self._transport.write(self._head(reply, f"content-length: {len(body)}") + body)

    async def _stream(self, reply: Reply, fault: Fault | None) -> None:
        tokens = [_chunk(token) for token in reply.tokens]
        tail = b"".join(map(_chunk, reply.tail))
        head = b"".join(map(_chunk, reply.head))
        self._transport.write(self._head(reply, "transfer-encoding: chunked") + head)
        if fault is None or fault.kind in (FaultKind.STATUS, FaultKind.NO_IMAGES):
            await self._send(tokens)
            self._transport.write(tail + LAST_CHUNK)
            return
        await self._send(tokens[: fault.after])
        match fault.kind:
            case FaultKind.MALFORMED:
                self._transport.write(_chunk(reply.malformed))
                await self._send(tokens[fault.after :])
                self._transport.write(tail + LAST_CHUNK)
            case FaultKind.ERROR:
                self._transport.write(_chunk(reply.error) + LAST_CHUNK)
            case FaultKind.CUT:
                self._transport.write(LAST_CHUNK)
            case FaultKind.HANG:
                await self._lost.wait()
            case FaultKind.LINGER:
                await self._send(tokens[fault.after :])
                self._transport.write(tail)
                await self._lost.wait()
            case FaultKind.DROP:
                self._request = None
                self._transport.close()
            case FaultKind.RESET:
                now = struct.pack("ii", 1, 0)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                self.abort()

    async def _send(self, tokens: list[bytes]) -> None:
        if not tokens:
            return
        server = self._server
        delay = server.script.delay_s
        server.first_token_at = time.monotonic()
        if not delay:
            self._transport.write(tokens[0])
            for batch in _batches(tokens[1:]):
                await self._writable.wait()
                self._transport.write(batch)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for token in tokens if delay else ():
            await asyncio.sleep(due - loop.time())
            if due <= loop.time() - delay:
                due = loop.time()  # late: go on from here rather than catch up in a burst
            due += delay
            self._transport.write(token)
        server.last_token_at = time.monotonic()


LAST_CHUNK = b"0\r\n\r\n"


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _chunk(frame: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(frame), frame)


def _batches(frames: Sequence[bytes]) -> list[bytes]:
    """Join frames to pieces of about `BATCH` bytes."""
    batches, current, size = [], [], 0
    for frame in frames:
        current.append(frame)
        size += len(frame)
        if size >= BATCH:
            batches.append(b"".join(current))
            current, size = [], 0
    return [*batches, b"".join(current)] if current else batches


def closed_url() -> str:
    """A loopback address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
