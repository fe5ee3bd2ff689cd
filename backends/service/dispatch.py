"""One connection of a service: requests become tasks, and answers go back as they are ready."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from backends.errors import (
    Busy,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    TektonError,
    Unauthorized,
    UnknownMethod,
)
from backends.protocol.connection import (
    CancelReceived,
    Connection,
    ConnectionEvent,
    LegacyReceived,
    Refused,
    RequestId,
    RequestReceived,
)
from backends.protocol.framing import Oversized
from backends.protocol.messages import PROTOCOL_VERSION, Hello, Request, Welcome
from backends.service.base import CALLER, Caller, Gate, Service
from backends.service.outlet import Outlet
from backends.transport.base import Channel
from backends.version import VERSION

log = logging.getLogger(__name__)

_HELLO_S = 10.0
_HELLO_FIRST = "a hello with a token has to come first"
_AT_ONCE = 32
"""Messages of one connection that are looked at before others have a turn."""

_MAX_OPEN_BYTES = 32 * 1024 * 1024
"""Bytes of open requests after which a connection is read no further until some have ended."""

MAX_OPEN = 256
"""Requests that one connection may have open at once."""

_NO_LINES = {
    "type": "error",
    "error": "this connection speaks JSON-RPC 2.0, not the original lines",
}

_GOODBYE_S = 1.0
"""How long a peer that was refused, or whose service ends, may take to read why."""


class Session:
    """Serves one channel until it ends; `run` is called once.

    `caller` is who asks, where that is somebody else than the peer, who only passes it on.
    """

    def __init__(
        self, service: Service, channel: Channel, gate: Gate, caller: Caller | None = None
    ) -> None:
        self._service = service
        self._channel = channel
        self._gate = gate
        self._connection = Connection()
        self._tasks: dict[RequestId, asyncio.Task[None]] = {}
        self._is_let_in = channel.peer.is_trusted or channel.peer.has_shown_token
        self._caller = caller or Caller(channel.peer)
        self._one_line_at_a_time = asyncio.Lock()
        self._is_ending = False
        self._hello_by = 0.0
        self._log = logging.getLogger(f"backends.{service.name}")
        self._received = 0
        self._open_bytes = 0

    async def run(self) -> None:
        """Answer until the peer is gone or sent away; then everything it asked is cancelled."""
        self._hello_by = asyncio.get_running_loop().time() + _HELLO_S
        try:
            while (message := await self._receive()) is not None:
                event = self._connection.receive(message)
                if not self._is_let_in:
                    await self._check_stranger(event)
                if isinstance(event, RequestReceived):
                    await self._begin(event, _size_of(message))
                elif isinstance(event, CancelReceived):
                    await asyncio.sleep(0)  # a task that never began would end without an answer
                    if event.id in self._tasks:
                        _cancel(self._tasks[event.id])
                elif isinstance(event, LegacyReceived):
                    await self._begin_line(event)
                elif isinstance(event, Refused) and event.reply:
                    await self._channel.send(event.reply)
            await self._finish_open()
        except ConnectionLost:
            pass  # it is the end that this loop waits for
        finally:
            self._is_ending = True
            for task in self._tasks.values():
                _cancel(task)
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    async def _finish_open(self) -> None:
        """Let open requests end for a peer that sends no more but may still listen."""
        gone = asyncio.ensure_future(self._channel.gone())
        try:
            while self._tasks and not gone.done():
                await asyncio.wait(
                    [gone, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            gone.cancel()

    async def _receive(self) -> bytes | Oversized | None:
        """Wait for the next message; a stranger gets 10 s to say who it is."""
        self._received += 1
        if self._received % _AT_ONCE == 0:
            await asyncio.sleep(0)  # what came in one read would keep everybody else waiting
        while self._open_bytes > _MAX_OPEN_BYTES:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        if self._is_let_in or self._gate.allows_legacy:
            return await self._channel.receive()
        try:
            async with asyncio.timeout_at(self._hello_by):
                return await self._channel.receive()
        except TimeoutError:
            raise ConnectionLost("no hello in time") from None

    def _open(self, number: RequestId, work: Coroutine[Any, Any, None], size: int) -> None:
        task = asyncio.create_task(work)
        self._tasks[number] = task
        self._open_bytes += size
        task.add_done_callback(functools.partial(self._forget, number, size))

    def _forget(self, number: RequestId, size: int, task: asyncio.Task[None]) -> None:
        self._open_bytes -= size
        if self._tasks.get(number) is task:  # the peer may have used the id again already
            del self._tasks[number]

    async def _check_stranger(self, event: ConnectionEvent | None) -> None:
        """End the connection of a stranger that begins with anything but a hello or old lines."""
        if isinstance(event, RequestReceived | LegacyReceived):
            return  # what these say is looked at where they are answered
        if isinstance(event, Refused) and event.reply:
            await self._channel.send(event.reply)
        await self._dismiss(self._unauthorized(_HELLO_FIRST))

    async def _begin(self, received: RequestReceived, size: int) -> None:
        number, request = received.id, received.request
        if isinstance(request, Hello):
            await self._welcome(number, request)
        elif not self._is_let_in:
            await self._send_away(number, _HELLO_FIRST)
        elif request.IS_LOCAL and not self._channel.peer.is_trusted:
            error = Unauthorized(f"{request.METHOD!r} is answered on the Unix socket only")
            await self._channel.send(self._connection.error(number, error))
        elif len(self._tasks) >= MAX_OPEN:
            busy = Busy(f"{MAX_OPEN} requests are open on this connection", "wait for some to end")
            await self._channel.send(self._connection.error(number, busy))
        else:
            self._open(number, self._answer(number, request), size)

    async def _welcome(self, number: RequestId, hello: Hello) -> None:
        if not self._is_let_in:
            if (reason := await self._refusal(hello)) is not None:
                await self._send_away(number, reason)
            self._is_let_in = True
            self._channel.let_in()
        self._caller = Caller(self._caller.peer, hello.token)
        if hello.protocol != PROTOCOL_VERSION:
            reason = f"version {hello.protocol} of the protocol is not spoken here"
            error = ProtocolError(reason, f"say hello with version {PROTOCOL_VERSION}")
            await self._channel.send(self._connection.error(number, error))
            return
        name, version = self._service.name, VERSION
        welcome = Welcome(protocol=PROTOCOL_VERSION, server=name, version=version)
        await self._channel.send(self._connection.result(number, welcome))

    async def _refusal(self, hello: Hello) -> str | None:
        try:
            is_valid = await self._gate.is_valid(hello.token or "", self._channel.peer.where)
        except TektonError as error:
            log.error("nobody is let in: %s", error.message)
            return "its list of tokens cannot be read"
        return None if is_valid else "the token is missing or not valid"

    async def _send_away(self, number: RequestId, reason: str) -> NoReturn:
        error = self._unauthorized(reason)
        await self._channel.send(self._connection.error(number, error))
        await self._dismiss(error)

    def _unauthorized(self, reason: str) -> Unauthorized:
        return Unauthorized(
            f"{self._service.name} refuses the connection: {reason}",
            "make a token with `tekton token create NAME > FILE`, then use --token-file FILE",
        )

    async def _dismiss(self, error: Unauthorized) -> NoReturn:
        # What came along with the hello is answered as well: closing a connection with unread
        # bytes would reset it, and the peer might never see the reason.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while (message := await self._receive()) is not None:
                    event = self._connection.receive(message)
                    if isinstance(event, RequestReceived):
                        await self._channel.send(self._connection.error(event.id, error))
        raise ConnectionLost("sent away")

    async def _answer(self, number: RequestId, request: Request[Any]) -> None:
        began = time.monotonic()
        CALLER.set(self._caller)  # in the context of this task alone
        try:
            reply = self._connection.result(number, await self._result_of(number, request))
        except asyncio.CancelledError:
            reply = self._connection.error(number, self._why_cancelled())
        except ConnectionLost as error:
            reply = self._connection.error(number, error)
        except TektonError as error:
            reply = self._connection.error(number, error)
        except Exception as error:
            log.exception("%s failed in %s", request.METHOD, self._service.name)
            self._service.last_error = f"{type(error).__name__}: {error}"
            is_known = isinstance(error, OSError) and error.strerror
            reason = str(error).partition("] ")[2] if is_known else repr(error)
            bug = TektonError(
                f"{self._service.name} failed: {reason}", "`tekton logs` has the details"
            )
            reply = self._connection.error(number, bug)
        method, peer, elapsed_ms = request.METHOD, self._channel.peer.where, _ms_since(began)
        known = {"method": method, "peer": peer, "elapsed_ms": elapsed_ms}
        self._log.debug("%s from %s took %.1f ms", method, peer, elapsed_ms, extra=known)
        with suppress(ConnectionLost):
            await self._in_time(self._channel.send(reply))

    async def _in_time(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send to the end, unless the session is over: then a peer may never read again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S if self._is_ending else None):
                await sending

    def _why_cancelled(self) -> TektonError:
        if not self._is_ending:
            return Cancelled("cancelled")
        return ConnectionLost(
            f"{self._service.name} was stopped before its answer was complete",
            "`tekton status` shows what runs",
        )

    async def _result_of(self, number: RequestId, request: Request[Any]) -> Any:
        handler = self._service.handler(request)
        if handler is None:
            raise UnknownMethod(f"{self._service.name} does not answer {request.METHOD!r}")
        outcome = handler(request)
        if not isinstance(outcome, AsyncIterator):
            return await outcome
        return await self._stream(number, outcome, type(request).RESULT)

    async def _stream(self, number: RequestId, items: AsyncIterator[Any], result: type[Any]) -> Any:
        async def send(chunk: Any) -> None:
            await self._channel.send(self._connection.chunk(number, chunk))

        outlet = Outlet(send)
        found = None
        try:
            async for item in items:
                if isinstance(item, result):
                    found = item
                    break
                await outlet.put(item)
        finally:
            try:
                await items.aclose()  # type: ignore[attr-defined]
            finally:
                await self._in_time(outlet.close())
        if outlet.failure is not None:
            raise outlet.failure
        if found is None:
            raise RuntimeError("the handler ended without a result")
        return found

    # -- lines of the original protocol ------------------------------------------------------

    async def _begin_line(self, received: LegacyReceived) -> None:
        if not (self._is_let_in or self._gate.allows_legacy):
            await self._send_line(_NO_LINES)
            await self._dismiss(self._unauthorized(_HELLO_FIRST))
        if len(self._tasks) >= MAX_OPEN:
            await self._send_line({"type": "error", "error": f"{MAX_OPEN} requests are open"})
        else:
            size = len(str(received.line.get("content", "")))
            self._open(f"line {id(received)}", self._answer_in_turn(received), size)

    async def _answer_in_turn(self, received: LegacyReceived) -> None:
        async with self._one_line_at_a_time:  # its answers carry no id, so their order counts
            with suppress(ConnectionLost):
                await self._send_line(await self._answer_line(received.line))

    async def _answer_line(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._service.legacy(line) or _NO_LINES
        except TektonError as error:
            return {"type": "error", "error": error.message}
        except Exception as error:
            log.exception("a line of the original protocol failed in %s", self._service.name)
            return {"type": "error", "error": f"{self._service.name} failed: {error!r}"}

    async def _send_line(self, answer: Mapping[str, Any]) -> None:
        await self._channel.send(json.dumps(answer).encode())


def _size_of(message: bytes | Oversized) -> int:
    return len(message) if isinstance(message, bytes) else 0


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1000


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel once: a second time would interrupt the closing of what the task has open."""
    if not task.cancelling():
        task.cancel()
