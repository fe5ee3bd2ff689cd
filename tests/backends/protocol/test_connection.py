"""The life of requests on one connection, as two ends and everything between them live it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backends.errors import InvalidMessage, MessageTooLarge, NotFound, TektonError, Unauthorized
from backends.protocol.connection import (
    CancelReceived,
    ChunkReceived,
    Connection,
    ConnectionEvent,
    ErrorReceived,
    LegacyReceived,
    Refused,
    RequestId,
    RequestReceived,
    ResultReceived,
)
from backends.protocol.framing import LineFramer, Oversized, frame
from backends.protocol.messages import (
    Ack,
    Answer,
    Chat,
    Directory,
    Event,
    Info,
    ListAll,
    Piece,
    Publish,
    Request,
    ServiceInfo,
    Subscribe,
)

LIMIT = 128 * 1024


def dump(body: Any) -> bytes:
    return json.dumps(body).encode()


def refused(event: ConnectionEvent | None) -> tuple[TektonError, dict[str, Any]]:
    assert isinstance(event, Refused)
    assert event.reply is not None
    reply = json.loads(event.reply)
    assert isinstance(reply, dict)
    return event.error, reply


# -- two ends ----------------------------------------------------------------------------------

RESULTS: Mapping[type[Request[Any]], Any] = {
    Chat: Answer(ci="apollo", model="echo/echo"),
    Info: ServiceInfo(name="apollo"),
    ListAll: Directory(entries=()),
    Publish: Ack(),
    Subscribe: Ack(),
}
CHUNKS: Mapping[type[Request[Any]], Any] = {Subscribe: Event(subject="a", at=0.0)}

requests = st.one_of(
    st.builds(Chat, prompt=st.text(), ci=st.none() | st.text(max_size=5)),
    st.builds(Publish, subject=st.text(), data=st.dictionaries(st.text(), st.integers(-9, 9))),
    st.just(Info()),
    st.just(ListAll()),
    st.just(Subscribe(subject=">")),
)

broken = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"x" * (LIMIT + 2),
            b'{"jsonrpc":"2.0","id":"long","method":"' + b"m" * (LIMIT - 60) + b'"}',
            b'{"jsonrpc":"2.0","id":"wide","method":"' + "é".encode() * 40000 + b'"}',
            b"\xff\xfe",
            b"9" * 5000,
            b"null",
            b'"text"',
            dump([{"jsonrpc": "2.0", "id": "batch", "method": "list"}]),
            dump({"jsonrpc": "1.0", "id": "old", "method": "list"}),
            dump({"jsonrpc": "2.0", "id": "nothing"}),
            dump({"jsonrpc": "2.0", "id": "?", "method": 5}),
            dump({"jsonrpc": "2.0", "id": "?", "method": "list", "params": [1]}),
            dump({"jsonrpc": "2.0", "id": None, "method": "list"}),
            dump({"jsonrpc": "2.0", "id": True, "method": "list"}),
            dump({"jsonrpc": "2.0", "id": [1], "method": "list"}),
            dump({"jsonrpc": "2.0", "id": 10**30, "method": "list"}),
            dump({"jsonrpc": "2.0", "id": "x" * 1000, "method": "list"}),
            dump({"jsonrpc": "2.0", "id": "nobody's", "result": {}}),
            dump({"jsonrpc": "2.0", "id": -1, "error": {"message": "no"}}),
            dump({"jsonrpc": "2.0", "id": None, "error": "no"}),
            dump({"jsonrpc": "2.0", "method": "$/cancel"}),
            dump({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": "nobody's"}}),
            dump({"jsonrpc": "2.0", "method": "$/chunk", "params": {"id": -1, "value": {}}}),
            dump({"jsonrpc": "2.0", "method": "$/chunk", "params": []}),
            dump({"jsonrpc": "2.0", "method": "$/unknown", "params": {}}),
            dump({"jsonrpc": "2.0", "method": {}}),
            dump({"type": "ping"}),
            dump({"type": 5}),
            dump({}),
        ]
    ),
)


class End:
    """One end, with what a faithful bookkeeper knows of it."""

    def __init__(self) -> None:
        self.connection = Connection(LIMIT)
        self.framer = LineFramer(LIMIT)
        self.arriving = bytearray()
        self.asked: dict[RequestId, type[Request[Any]]] = {}
        self.cancelled: set[RequestId] = set()
        self.answered: set[RequestId] = set()
        self.serving: dict[RequestId, type[Request[Any]]] = {}


class TwoEnds(RuleBasedStateMachine):
    """Both ends ask, answer and cancel at will, while rubbish comes in between.

    However the bytes between them are cut, each request is answered once and nothing raises.
    """

    @initialize()
    def connect(self) -> None:
        self.ends = (End(), End())

    def other(self, end: End) -> End:
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def send(self, end: End, message: bytes) -> None:
        assert len(message) <= LIMIT
        assert b"\n" not in message
        self.other(end).arriving += frame(message)

    def end(self, number: int) -> End:
        return self.ends[number]

    # -- what the ends do

    @rule(number=st.integers(0, 1), request=requests)
    def ask(self, number: int, request: Request[Any]) -> None:
        end = self.end(number)
        found, message = end.connection.request(request)
        assert found not in end.asked
        assert found not in end.answered
        end.asked[found] = type(request)
        self.send(end, message)

    @rule(number=st.integers(0, 1))
    def ask_too_much(self, number: int) -> None:
        end = self.end(number)
        before = end.connection.open_requests()
        with pytest.raises(MessageTooLarge, match=r"the limit is 0\.125 MiB"):
            end.connection.request(Chat(prompt="x" * LIMIT))
        assert end.connection.open_requests() == before

    @rule(number=st.integers(0, 1), data=st.data())
    def cancel(self, number: int, data: st.DataObject) -> None:
        end = self.end(number)
        chosen = data.draw(st.sampled_from([*end.asked, *end.answered, "nobody's", 12345]))
        message = end.connection.cancel(chosen)
        assert (message is not None) == (chosen in end.asked and chosen not in end.cancelled)
        if message is not None:
            end.cancelled.add(chosen)
            self.send(end, message)

    @rule(number=st.integers(0, 1), data=st.data(), how=st.sampled_from("crRe"))
    def answer(self, number: int, data: st.DataObject, how: str) -> None:
        end = self.end(number)
        if not end.serving:
            return
        chosen = data.draw(st.sampled_from([*end.serving]))
        kind = end.serving[chosen]
        if how == "c":
            if kind.CHUNK is not None:
                chunk = CHUNKS.get(kind, Piece(text="hello"))
                self.send(end, end.connection.chunk(chosen, chunk))
            return
        if how == "R":
            with pytest.raises(MessageTooLarge):
                end.connection.result(chosen, Answer(ci="x" * LIMIT, model=""))
            return  # it is open still, and can be answered with an error
        del end.serving[chosen]
        if how == "e":
            self.send(end, end.connection.error(chosen, NotFound("é" * LIMIT, "hint" * LIMIT)))
        else:
            self.send(end, end.connection.result(chosen, RESULTS[kind]))

    # -- what comes in between

    @rule(number=st.integers(0, 1), message=broken)
    def send_rubbish(self, number: int, message: bytes) -> None:
        self.end(number).arriving += message.replace(b"\n", b"") + b"\n"

    @rule(number=st.integers(0, 1), data=st.data(), version=st.sampled_from(["1.0", "2.0", None]))
    def repeat_an_open_id(self, number: int, data: st.DataObject, version: str | None) -> None:
        end = self.end(number)
        if not end.serving:
            return
        body = {"id": data.draw(st.sampled_from([*end.serving])), "jsonrpc": version}
        extra = data.draw(st.sampled_from([{}, {"method": "list"}, {"method": "unknown"}]))
        if extra or body["id"] not in end.asked:
            end.arriving += frame(dump(body | extra))

    @rule(number=st.integers(0, 1), data=st.data())
    def answer_with_rubbish(self, number: int, data: st.DataObject) -> None:
        end = self.end(number)
        if not end.asked:
            return
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": data.draw(st.sampled_from([*end.asked]))}
        end.arriving += frame(
            dump(
                body
                | data.draw(
                    st.sampled_from(
                        [{}, {"result": 5}, {"error": []}, {"error": {"data": 1}}, {"jsonrpc": 2}]
                    )
                )
            )
        )

    # -- the wire

    @rule(number=st.integers(0, 1), size=st.integers(1, 3 * LIMIT))
    def deliver(self, number: int, size: int) -> None:
        end = self.end(number)
        data = bytes(end.arriving[:size])
        del end.arriving[:size]
        for message in end.framer.feed(data):
            self.take(end, end.connection.receive(message), message)

    def take(self, end: End, event: ConnectionEvent | None, message: bytes | Oversized) -> None:
        match event:
            case RequestReceived(found, request):
                assert found not in end.serving
                end.serving[found] = type(request)
            case CancelReceived(found):
                assert found in end.serving
            case ChunkReceived(found, value):
                assert found in end.asked
                assert found not in end.cancelled
                assert isinstance(value, end.asked[found].CHUNK or object)
            case ResultReceived(found, value):
                assert isinstance(value, end.asked[found].RESULT)
                self.close(end, found)
            case ErrorReceived(found, error):
                assert isinstance(error, TektonError)
                if found is not None:
                    self.close(end, found)
            case LegacyReceived(line):
                assert "jsonrpc" not in line
            case Refused(error, reply):
                if isinstance(message, Oversized):
                    assert isinstance(error, MessageTooLarge)
                if reply is not None:
                    assert json.loads(reply)["id"] not in end.serving
                    self.send(end, reply)

    def close(self, end: End, number: RequestId) -> None:
        """An answer has come: the first for an open request."""
        del end.asked[number]
        end.cancelled.discard(number)
        assert number not in end.answered
        end.answered.add(number)

    @invariant()
    def open_requests_are_those_without_an_answer(self) -> None:
        for end in getattr(self, "ends", ()):
            assert end.connection.open_requests() == list(end.asked)

    def settle(self) -> None:
        """Deliver all that is on its way."""
        while any(end.arriving for end in self.ends):
            for number in (0, 1):
                self.deliver(number, 10 * LIMIT)

    def teardown(self) -> None:
        """Let everything be answered; then both ends are as good as new."""
        if not hasattr(self, "ends"):
            return
        self.settle()
        for end in self.ends:
            for number, kind in list(end.serving.items()):
                del end.serving[number]
                self.send(end, end.connection.result(number, RESULTS[kind]))
        self.settle()
        for end in self.ends:
            assert end.asked == {}
            self.ask_once_more(end)

    def ask_once_more(self, end: End) -> None:
        other = self.other(end)
        found, message = end.connection.request(Info())
        assert other.connection.receive(message) == RequestReceived(found, Info())
        answer = other.connection.result(found, ServiceInfo(name="x"))
        assert end.connection.receive(answer) == ResultReceived(found, ServiceInfo(name="x"))


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=60, stateful_step_count=40)


# -- the words of each refusal -----------------------------------------------------------------


@pytest.fixture
def server() -> Connection:
    return Connection()


def asked(server: Connection, number: RequestId = 1, method: str = "list") -> None:
    message = dump({"jsonrpc": "2.0", "id": number, "method": method})
    assert isinstance(server.receive(message), RequestReceived)


@pytest.mark.parametrize(
    ("message", "kind", "code", "words", "number"),
    ids=lambda part: "" if isinstance(part, bytes) else None,
    argvalues=[
        (
            Oversized(1 << 20),
            "too_large",
            -32700,
            "message larger than the limit of 1048576 b",
            None,
        ),
        (b"hello", "protocol", -32700, "not a JSON message: Expecting value", None),
        (b"\xff", "protocol", -32700, "not a JSON message: 'utf-8' codec can't decode", None),
        (b"[" * 100_000, "protocol", -32700, "not a JSON message: nested too deeply", None),
        (b"[]", "protocol", -32600, "a message must be one JSON object", None),
        (dump({"id": 4}), "protocol", -32600, 'a message needs "jsonrpc": "2.0"', 4),
        (
            dump({"jsonrpc": "2.0", "id": 4}),
            "protocol",
            -32600,
            "a message needs method, result or error",
            4,
        ),
        (
            dump({"jsonrpc": "2.0", "id": 1.5, "method": "list"}),
            "protocol",
            -32600,
            "an id must be a whole number or a string of at most 256 characters",
            None,
        ),
        (
            dump({"jsonrpc": "2.0", "id": 4, "method": "nope"}),
            "unknown_method",
            -32601,
            "unknown method 'nope'",
            4,
        ),
        (
            dump({"jsonrpc": "2.0", "id": "a", "method": "chat", "params": {"prompt": 5}}),
            "invalid",
            -32602,
            "chat: params.prompt must be a string, not a whole number",
            "a",
        ),
    ],
)
def test_a_message_that_cannot_be_used_is_named(
    server: Connection,
    message: bytes | Oversized,
    kind: str,
    code: int,
    words: str,
    number: RequestId | None,
) -> None:
    error, reply = refused(server.receive(message))
    assert error.kind == kind
    assert reply["error"]["data"]["kind"] == kind
    assert reply["error"]["code"] == code
    assert reply["error"]["message"].startswith(words)
    assert reply["id"] == number
    asked(server)


def test_an_id_in_use_is_refused_without_answering_for_it(server: Connection) -> None:
    asked(server, 7)
    for body in (
        {"jsonrpc": "2.0", "id": 7, "method": "list"},
        {"jsonrpc": "1.0", "id": 7},
        {"jsonrpc": "2.0", "id": 7},
    ):
        _, reply = refused(server.receive(dump(body)))
        assert reply["id"] is None
    assert json.loads(server.result(7, Ack()))["id"] == 7
    asked(server, 7)


def test_an_error_that_quotes_a_message_of_any_size_is_cut(server: Connection) -> None:
    _, reply = refused(server.receive(dump({"jsonrpc": "2.0", "id": 1, "method": "é" * 3_000_000})))
    assert reply["error"]["message"].startswith("unknown method 'ééé")
    assert len(reply["error"]["message"]) < 5000


def test_a_cancel_counts_for_open_requests_only(server: Connection) -> None:
    cancel = dump({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": 1}})
    assert server.receive(cancel) is None
    asked(server, 1)
    assert server.receive(cancel) == CancelReceived(1)
    server.error(1, NotFound("gone"))
    assert server.receive(cancel) is None


def test_kind_message_and_hint_of_an_error_arrive(server: Connection) -> None:
    client = Connection()
    number, message = client.request(ListAll())
    server.receive(message)
    event = client.receive(server.error(number, Unauthorized("no", "ask")))
    assert isinstance(event, ErrorReceived)
    assert type(event.error) is Unauthorized
    assert (event.error.message, event.error.hint) == ("no", "ask")


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("no", "protocol", "the peer sent an error that is not an object"),
        ({}, "failed", "the peer sent an error without a message"),
        ({"message": 1, "data": 2}, "failed", "the peer sent an error without a message"),
        ({"message": "m", "data": {"kind": 1, "hint": 2}}, "failed", "m"),
        ({"message": "m", "data": {"kind": "from a newer peer"}}, "failed", "m"),
        ({"message": "m", "data": {"kind": "busy"}}, "busy", "m"),
    ],
)
def test_an_error_of_any_form_is_understood(body: Any, kind: str, words: str) -> None:
    client = Connection()
    number, _ = client.request(ListAll())
    event = client.receive(dump({"jsonrpc": "2.0", "id": number, "error": body}))
    assert isinstance(event, ErrorReceived)
    assert (event.id, event.error.kind, event.error.message) == (number, kind, words)


def malformed_answers() -> Iterator[dict[str, Any]]:
    yield {"jsonrpc": "2.0"}
    yield {"jsonrpc": "1.0", "result": {}}
    yield {"jsonrpc": "2.0", "result": {"entries": 5}}


@pytest.mark.parametrize("body", malformed_answers(), ids=str)
def test_a_malformed_answer_ends_the_request_instead_of_leaving_it_open(
    body: dict[str, Any],
) -> None:
    client = Connection()
    number, _ = client.request(ListAll())
    event = client.receive(dump(body | {"id": number}))
    assert isinstance(event, ErrorReceived)
    assert event.id == number
    assert client.open_requests() == []


def test_answers_to_nothing_are_passed_over() -> None:
    client = Connection()
    number, _ = client.request(Publish(subject="a"))
    answer = dump({"jsonrpc": "2.0", "id": number, "result": {}})
    assert client.receive(answer) == ResultReceived(number, Ack())
    assert client.receive(answer) is None
    assert client.receive(dump({"jsonrpc": "2.0", "id": number, "error": {}})) is None


def test_a_chunk_that_cannot_be_used_is_refused_without_an_answer() -> None:
    client = Connection()
    plain, _ = client.request(ListAll())
    streaming, _ = client.request(Chat())

    def chunk(number: RequestId, value: Any) -> ConnectionEvent | None:
        params = {"id": number, "value": value}
        return client.receive(dump({"jsonrpc": "2.0", "method": "$/chunk", "params": params}))

    for event, words in (
        (chunk(plain, {}), "list does not stream"),
        (chunk(streaming, 5), "value must be an object, not a whole number"),
        (chunk(streaming, {"text": 5}), "value.text must be a string, not a whole number"),
    ):
        assert isinstance(event, Refused)
        assert (event.error.message, event.reply) == (words, None)
    assert chunk(streaming, {"text": "a"}) == ChunkReceived(streaming, Piece(text="a"))


def test_a_message_over_the_limit_is_never_sent() -> None:
    connection = Connection(max_message=2 * 1024 * 1024)
    with pytest.raises(MessageTooLarge) as raised:
        connection.request(Chat(prompt="x" * 3_000_000))
    assert raised.value.message == "the message is 2.9 MiB; the limit is 2 MiB"
    with pytest.raises(MessageTooLarge):
        connection.chunk(1, Piece(text="x" * 3_000_000))
    assert connection.open_requests() == []


def test_an_invalid_message_is_a_protocol_error() -> None:
    assert InvalidMessage("x").kind == "invalid"
