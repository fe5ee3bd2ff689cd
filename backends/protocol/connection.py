"""The state of one connection, without I/O: messages in, events out, bytes to send.

Both ends use the same class: either may ask. The life of a request is a small machine, the same
on both sides:

    (none) ──request──▶ OPEN ──chunk──▶ OPEN ──result or error──▶ (none)
                          └──cancel──▶ CANCELLED ──result or error──▶ (none)

A cancelled request is still answered once, with an error of kind `cancelled` or with the result
that was under way; chunks that arrive after the cancel are dropped.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from backends.errors import (
    InvalidMessage,
    MessageTooLarge,
    ProtocolError,
    TektonError,
    UnknownMethod,
)
from backends.protocol import schema
from backends.protocol.framing import MAX_MESSAGE, Oversized
from backends.protocol.messages import Request

RequestId: TypeAlias = int | str

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
FAILED = -32000
"""Error codes of JSON-RPC 2.0, section 5.1; `kind` in the error's data says more."""

_CODES = {
    "unknown_method": METHOD_NOT_FOUND,
    "invalid": INVALID_PARAMS,
    "protocol": INVALID_REQUEST,
}

_MAX_ID = 256
_MAX_WORDS = 4000
"""Characters of an error's message, or hint, that are sent: it may quote a message of any size."""


@dataclass(frozen=True)
class RequestReceived:
    """The peer asks; answer with chunks and then a result or an error."""

    id: RequestId
    request: Request[Any]


@dataclass(frozen=True)
class CancelReceived:
    """The peer no longer wants the answer to this request of its own."""

    id: RequestId


@dataclass(frozen=True)
class ChunkReceived:
    """The next chunk of the answer to our request; `value` has the request's chunk type."""

    id: RequestId
    value: Any


@dataclass(frozen=True)
class ResultReceived:
    """The answer to our request; `value` has the request's result type."""

    id: RequestId
    value: Any


@dataclass(frozen=True)
class ErrorReceived:
    """Our request failed; an `id` of `None` means that the peer could not read some message."""

    id: RequestId | None
    error: TektonError


@dataclass(frozen=True)
class LegacyReceived:
    """A line of the original protocol: an object with `type` and no `jsonrpc`."""

    line: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A message that cannot be used; `reply` is to be sent, where there is one."""

    error: TektonError
    reply: bytes | None


ConnectionEvent: TypeAlias = (
    RequestReceived
    | CancelReceived
    | ChunkReceived
    | ResultReceived
    | ErrorReceived
    | LegacyReceived
    | Refused
)


class Connection:
    """One end of a connection; every method is pure bookkeeping and returns what is to be sent."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._numbers = itertools.count(1)
        self._asked: dict[RequestId, type[Request[Any]]] = {}
        self._cancelled: set[RequestId] = set()
        self._serving: set[RequestId] = set()

    # -- what we send ------------------------------------------------------------------------

    def request(self, request: Request[Any]) -> tuple[RequestId, bytes]:
        """Ask; returns the request's id and the message.

        Raises:
            MessageTooLarge: Nothing was noted; the connection is as before.
        """
        number = next(self._numbers)
        message = self._dump(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": request.METHOD,
                "params": schema.encode(request),
            }
        )
        self._asked[number] = type(request)
        return number, message

    def cancel(self, number: RequestId) -> bytes | None:
        """Take a question back; `None` where it is answered already or cancelled before."""
        if number not in self._asked or number in self._cancelled:
            return None
        self._cancelled.add(number)
        return self._dump({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": number}})

    def chunk(self, number: RequestId, value: Any) -> bytes:
        """Send the next chunk of the answer to the peer's request."""
        params = {"id": number, "value": schema.encode(value)}
        return self._dump({"jsonrpc": "2.0", "method": "$/chunk", "params": params})

    def result(self, number: RequestId, value: Any) -> bytes:
        """Answer the peer's request; nothing more may be sent for it."""
        message = self._dump({"jsonrpc": "2.0", "id": number, "result": schema.encode(value)})
        self._serving.discard(number)
        return message

    def error(self, number: RequestId | None, error: TektonError) -> bytes:
        """Answer the peer's request with an error."""
        if number is not None:
            self._serving.discard(number)
        data = {"kind": error.kind}
        if error.hint:
            data["hint"] = _cut(error.hint)
        code = _CODES.get(error.kind, FAILED)
        body = {"code": code, "message": _cut(error.message), "data": data}
        return self._dump({"jsonrpc": "2.0", "id": number, "error": body})

    # -- what we receive ---------------------------------------------------------------------

    def receive(self, message: bytes | Oversized) -> ConnectionEvent | None:
        """Take one message; `None` means that there is nothing to do."""
        if isinstance(message, Oversized):
            limit = f"{message.limit} bytes ({message.limit // (1024 * 1024)} MiB)"
            return self._refuse(
                None, MessageTooLarge(f"message larger than the limit of {limit}"), PARSE_ERROR
            )
        try:
            body = json.loads(message)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            return self._refuse(None, ProtocolError(f"not a JSON message: {reason}"), PARSE_ERROR)
        if not isinstance(body, dict):
            return self._refuse(None, ProtocolError("a message must be one JSON object"))
        if "jsonrpc" not in body and isinstance(body.get("type"), str):
            return LegacyReceived(body)
        if body.get("jsonrpc") != "2.0":
            return self._malformed(body, 'a message needs "jsonrpc": "2.0"')
        if "method" in body:
            return self._receive_call(body)
        return self._receive_answer(body)

    def open_requests(self) -> list[RequestId]:
        """The ids of our questions that have no answer yet, oldest first."""
        return list(self._asked)

    def _receive_call(self, body: dict[str, Any]) -> ConnectionEvent | None:
        method, params = body["method"], body.get("params", {})
        if "id" not in body:
            return self._receive_notification(method, params)
        number = _id_of(body)
        if number is None:
            reason = f"an id must be a whole number or a string of at most {_MAX_ID} characters"
            return self._refuse(None, ProtocolError(reason))
        if number in self._serving:
            return self._refuse(None, ProtocolError(f"id {number!r} is in use by an open request"))
        from backends.protocol.requests import REQUESTS  # only who is asked needs them all

        kind = REQUESTS.get(method) if isinstance(method, str) else None
        if kind is None:
            return self._refuse(number, UnknownMethod(f"unknown method {method!r}"))
        try:
            request = schema.decode(kind, params, "params")
        except InvalidMessage as error:
            return self._refuse(number, InvalidMessage(f"{method}: {error.message}"))
        self._serving.add(number)
        return RequestReceived(number, request)

    def _receive_notification(self, method: Any, params: Any) -> ConnectionEvent | None:
        number = _id_of(params) if isinstance(params, dict) else None
        if number is None:
            return None
        if method == "$/cancel":
            return CancelReceived(number) if number in self._serving else None
        if method == "$/chunk":
            if number not in self._asked or number in self._cancelled:
                return None
            kind = self._asked[number].CHUNK
            if kind is None:
                return Refused(ProtocolError(f"{self._asked[number].METHOD} does not stream"), None)
            try:
                return ChunkReceived(number, schema.decode(kind, params.get("value"), "value"))
            except InvalidMessage as error:
                return Refused(error, None)
        return None  # JSON-RPC 2.0, section 4.1: a notification is never answered, known or not

    def _receive_answer(self, body: dict[str, Any]) -> ConnectionEvent | None:
        number = _id_of(body)
        if "error" not in body and "result" not in body:
            return self._malformed(body, "a message needs method, result or error")
        if number is None and "error" in body:
            return ErrorReceived(None, _error_of(body["error"]))
        if number is None or number not in self._asked:
            return None
        kind = self._close(number)
        if "error" in body:
            return ErrorReceived(number, _error_of(body["error"]))
        try:
            return ResultReceived(number, schema.decode(kind.RESULT, body["result"], "result"))
        except InvalidMessage as error:
            return ErrorReceived(number, error)

    def _close(self, number: RequestId) -> type[Request[Any]]:
        self._cancelled.discard(number)
        return self._asked.pop(number)

    def _malformed(self, body: Mapping[str, Any], reason: str) -> ErrorReceived | Refused:
        """End our question where its answer is malformed; refuse everything else."""
        number, error = _id_of(body), ProtocolError(reason)
        if "method" not in body and number in self._asked and number is not None:
            self._close(number)
            return ErrorReceived(number, error)
        # what carries the id of an open request must not look like the answer to it
        return self._refuse(None if number in self._serving else number, error)

    def _refuse(
        self, number: RequestId | None, error: TektonError, code: int | None = None
    ) -> Refused:
        reply = self.error(number, error)
        if code is not None:
            body = json.loads(reply)
            body["error"]["code"] = code
            reply = self._dump(body)
        return Refused(error, reply)

    def _dump(self, body: dict[str, Any]) -> bytes:
        message = json.dumps(body, separators=(",", ":")).encode("ascii")
        if len(message) > self._max_message:
            size = len(message) / (1024 * 1024)
            limit = self._max_message / (1024 * 1024)
            raise MessageTooLarge(
                f"the message is {size:.1f} MiB; the limit is {limit:g} MiB",
                "send less at a time, or send files in parts",
            )
        return message


def _id_of(body: Mapping[str, Any]) -> RequestId | None:
    number = body.get("id")
    if isinstance(number, str):
        return number if len(number) <= _MAX_ID else None
    return number if type(number) is int and abs(number) < 2**63 else None


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"


def _error_of(body: Any) -> TektonError:
    if not isinstance(body, dict):
        return ProtocolError("the peer sent an error that is not an object")
    data = body.get("data")
    data = data if isinstance(data, dict) else {}
    kind, hint = data.get("kind"), data.get("hint")
    message = body.get("message")
    return TektonError.of_kind(
        kind if isinstance(kind, str) else "failed",
        message if isinstance(message, str) else "the peer sent an error without a message",
        hint if isinstance(hint, str) else None,
    )
