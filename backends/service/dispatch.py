"""One connection of a service: requests become tasks, and answers go back as they are ready."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

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
    LegacyReceived,
    Refused,
    RequestId,
    RequestReceived,
)
from backends.protocol.framing import Oversized
from backends.protocol.messages import PROTOCOL_VERSION, Hello, Request, Welcome
from backends.service.base import Gate, Service
from backends.service.outlet import Outlet
from backends.transport.base import Channel
from backends.version import VERSION

log = logging.getLogger(__name__)

_HELLO_S = 10.0
MAX_OPEN = 256
"""Requests that one connection may have open at once."""

_GOODBYE_S = 1.0
"""How long a peer that was refused may stay to read why."""


class Session:
    """Serves one channel until it ends; `run` is called once."""

    def __init__(self, service: Service, channel: Channel, gate: Gate) -> None:
        self._service = service
        self._channel = channel
        self._gate = gate
        self._connection = Connection()
        self._tasks: dict[RequestId, asyncio.Task[None]] = {}
        self._is_let_in = channel.peer.is_trusted or channel.peer.has_shown_token
        self._one_line_at_a_time = asyncio.Lock()
        self._is_ending = False

    async def run(self) -> None:
        """Answer until the peer is gone or sent away; then everything it asked is cancelled."""
        try:
            while (message := await self._receive()) is not None:
                event = self._connection.receive(message)
                if isinstance(event, RequestReceived):
                    await self._begin(event)
                elif isinstance(event, CancelReceived) and event.id in self._tasks:
                    _cancel(self._tasks[event.id])
                elif isinstance(event, LegacyReceived):
                    self._open(f"legacy {id(event)}", self._answer_legacy(event))
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
        if self._is_let_in or self._gate.allows_legacy:
            return await self._channel.receive()
        try:
            async with asyncio.timeout(_HELLO_S):
                return await self._channel.receive()
        except TimeoutError:
            raise ConnectionLost("no hello in time") from None

    def _open(self, number: RequestId, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _begin(self, received: RequestReceived) -> None:
        number, request = received.id, received.request
        if isinstance(request, Hello):
            await self._welcome(number, request)
        elif not self._is_let_in:
            await self._send_away(number, "a hello with a token has to come first")
        elif request.IS_LOCAL and not self._channel.peer.is_trusted:
            error = Unauthorized(f"{request.METHOD!r} is answered on the Unix socket only")
            await self._channel.send(self._connection.error(number, error))
        elif len(self._tasks) >= MAX_OPEN:
            busy = Busy(f"{MAX_OPEN} requests are open on this connection", "wait for some to end")
            await self._channel.send(self._connection.error(number, busy))
        else:
            self._open(number, self._answer(number, request))

    async def _welcome(self, number: RequestId, hello: Hello) -> None:
        if not self._is_let_in:
            if not await self._gate.is_valid(hello.token or "", self._channel.peer.where):
                await self._send_away(number, "the token is missing or not valid")
            self._is_let_in = True
        if hello.protocol != PROTOCOL_VERSION:
            reason = f"version {hello.protocol} of the protocol is not spoken here"
            error = ProtocolError(reason, f"say hello with version {PROTOCOL_VERSION}")
            await self._channel.send(self._connection.error(number, error))
            return
        name, version = self._service.name, VERSION
        welcome = Welcome(protocol=PROTOCOL_VERSION, server=name, version=version)
        await self._channel.send(self._connection.result(number, welcome))

    async def _send_away(self, number: RequestId, reason: str) -> None:
        error = Unauthorized(
            f"{self._service.name} refuses the connection: {reason}",
            "make a token with `tekton token create NAME > FILE`, then use --token-file FILE",
        )
        await self._channel.send(self._connection.error(number, error))
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
            bug = TektonError(
                f"{self._service.name} failed: {error!r}", "`tekton logs` has the details"
            )
            reply = self._connection.error(number, bug)
        with suppress(ConnectionLost):
            await self._channel.send(reply)

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
        try:
            async for item in items:
                if isinstance(item, result):
                    return item
                await outlet.put(item)
            raise RuntimeError("the handler ended without a result")
        finally:
            try:
                await items.aclose()  # type: ignore[attr-defined]
            finally:
                await outlet.close()

    async def _answer_legacy(self, received: LegacyReceived) -> None:
        async with self._one_line_at_a_time:  # its answers carry no id, so their order counts
            await self._answer_line(received)

    async def _answer_line(self, received: LegacyReceived) -> None:
        answer = None
        if self._is_let_in or self._gate.allows_legacy:
            answer = await self._service.legacy(received.line)
        if answer is None:
            answer = {
                "type": "error",
                "error": "this connection speaks JSON-RPC 2.0, not the original lines",
            }
        with suppress(ConnectionLost):
            await self._channel.send(json.dumps(answer).encode())


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel once: a second time would interrupt the closing of what the task has open."""
    if not task.cancelling():
        task.cancel()
