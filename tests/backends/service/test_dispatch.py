"""One connection of a service, as a peer sees it that speaks the protocol by hand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from backends.errors import ConnectionLost, ModelError, StorageError
from backends.protocol.framing import Oversized
from backends.protocol.messages import (
    Ack,
    Answer,
    Chat,
    Directory,
    Event,
    Info,
    ListAll,
    Piece,
    Subscribe,
)
from backends.service import dispatch
from backends.service.base import Gate, Service, handles
from backends.service.dispatch import MAX_OPEN, Session
from backends.transport.base import Peer
from backends.transport.connect import open_channel
from backends.transport.memory import MemoryChannel, memory_pair
from backends.version import VERSION
from tests.backends.services import (
    DONE,
    OPEN,
    Parrot,
    Script,
    StageContext,
    hold,
    nobody,
    repeat,
    serving,
)
from tests.backends.stage import eventually, is_still, is_stuck, listening, run

STRANGER = Peer(where="tcp 127.0.0.1:1", is_trusted=False, is_local=False)


class Caller:
    """The other end of a session."""

    def __init__(self, channel: MemoryChannel, session: asyncio.Task[None]) -> None:
        self.channel = channel
        self.session = session

    async def send(self, body: Any) -> None:
        await self.channel.send(body if isinstance(body, bytes) else json.dumps(body).encode())

    async def ask(self, number: Any, method: str, **params: Any) -> None:
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    async def cancel(self, number: Any) -> None:
        await self.send({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": number}})

    async def next(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.channel.receive(), 5)
        assert message is not None, "the session has ended"
        found: dict[str, Any] = json.loads(message)
        return found

    async def answer(self) -> tuple[str, dict[str, Any]]:
        """Return the text of the next answer and its last message."""
        text = ""
        while "method" in (found := await self.next()):
            assert found["method"] == "$/chunk"
            text += found["params"]["value"].get("text", "")
        return text, found

    async def error(self) -> tuple[Any, str, str]:
        """Return id, kind and message of the error that must come next."""
        found = await self.next()
        assert "error" in found, found
        return found["id"], found["error"]["data"]["kind"], found["error"]["message"]

    async def is_usable(self) -> None:
        await self.ask("still there?", "info")
        assert (await self.next())["id"] == "still there?"

    async def is_over(self) -> None:
        assert await asyncio.wait_for(self.channel.receive(), 5) is None


@contextlib.asynccontextmanager
async def calling(
    service: Service, gate: Gate = OPEN, peer: Peer | None = None
) -> AsyncIterator[Caller]:
    near, far = memory_pair()
    far.peer = peer or far.peer

    async def serve() -> None:
        try:
            await Session(service, far, gate).run()
        finally:
            await far.close()

    session = asyncio.create_task(serve())
    try:
        yield Caller(near, session)
    finally:
        await near.close()
        await session


def talk(
    script: Script | Service,
    work: Callable[[Caller, Any], Awaitable[None]],
    gate: Gate = OPEN,
    peer: Peer | None = None,
) -> None:
    """Let a caller talk to a service that follows a script."""

    async def main() -> None:
        service = script if isinstance(script, Service) else Parrot(StageContext(), script)
        async with calling(service, gate, peer) as caller:
            await work(caller, service)

    run(main())


# -- answers -----------------------------------------------------------------------------------


def test_chunks_come_before_the_result_and_carry_the_id() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask("α", "chat", prompt="hello")
        text, end = await caller.answer()
        assert (text, end["id"], end["result"]["ci"]) == ("hello", "α", "parrot")

    talk(repeat, work)


def test_answers_come_as_they_are_ready() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat", prompt="slow")
        assert (await caller.next())["params"] == {"id": 1, "value": {"text": "slow"}}
        await caller.ask(2, "info")
        assert (await caller.next())["id"] == 2

    talk(hold, work)


def test_what_nobody_answers_here_is_an_error() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "facts")
        found = await caller.error()
        assert found == (1, "unknown_method", "parrot does not answer 'facts'")
        await caller.is_usable()

    talk(repeat, work)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"rubbish", "protocol"),
        (b"[" * 50_000, "protocol"),
        (b'{"jsonrpc":"2.0","id":1,"method":"nope"}', "unknown_method"),
        (b'{"jsonrpc":"2.0","id":1,"method":"chat","params":{"prompt":1}}', "invalid"),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 15_000_000 + b'"}', "unknown_method"),
        (Oversized(1000), "too_large"),
    ],
    ids=["rubbish", "deep", "unknown", "wrong type", "long name", "oversized"],
)
def test_a_message_that_cannot_be_used_is_named_and_the_connection_stays(
    message: Any, kind: str
) -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.channel.send(message)
        assert (await caller.error())[1] == kind
        await caller.is_usable()

    talk(repeat, work)


def test_what_needs_no_answer_gets_none() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.send({"jsonrpc": "2.0", "method": "$/news"})
        await caller.send({"jsonrpc": "2.0", "id": 99, "result": {}})
        await caller.send({"jsonrpc": "2.0", "id": None, "error": {"message": "?"}})
        await caller.cancel(99)
        await caller.is_usable()

    talk(repeat, work)


# -- errors ------------------------------------------------------------------------------------


def test_an_error_of_a_handler_comes_after_what_it_had_said() -> None:
    async def fail(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")
        raise ModelError("it broke", "mend it")

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        text, end = await caller.answer()
        assert text == "half"
        assert end["error"]["message"] == "it broke"
        assert end["error"]["data"] == {"kind": "model_failed", "hint": "mend it"}
        await caller.is_usable()

    talk(fail, work)


def test_a_bug_of_a_handler_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")
        raise ZeroDivisionError("by zero")

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        text, end = await caller.answer()
        assert text == "half"
        assert end["error"]["data"] == {"kind": "failed", "hint": "`tekton logs` has the details"}
        assert end["error"]["message"] == "parrot failed: ZeroDivisionError('by zero')"
        assert parrot.last_error == "ZeroDivisionError: by zero"
        assert parrot.ended == [""]
        await caller.ask(2, "info")
        assert (await caller.next())["result"]["last_error"] == "ZeroDivisionError: by zero"

    talk(fail, work)
    assert "chat failed in parrot" in caplog.text
    assert "Traceback" in caplog.text


def test_what_the_system_refuses_is_told_in_its_words() -> None:
    async def fail(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/a/file")

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        _, end = await caller.answer()
        assert end["error"]["message"] == "parrot failed: Too many open files: '/a/file'"

    talk(fail, work)


def test_a_handler_that_ends_without_a_result_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stop(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        _, end = await caller.answer()
        assert "the handler ended without a result" in end["error"]["message"]
        await caller.is_usable()

    talk(stop, work)
    assert "chat failed in parrot" in caplog.text


def test_a_result_over_the_limit_is_an_error_of_that_request() -> None:
    async def much(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield dataclasses.replace(DONE, session="x" * 17_000_000)

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        assert (await caller.error())[1] == "too_large"
        await caller.is_usable()

    talk(much, work)


@pytest.mark.parametrize("follows", [0, 5])
def test_a_chunk_over_the_limit_is_an_error_and_never_a_gap(follows: int) -> None:
    async def much(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="x" * 17_000_000)
        for _ in range(follows):
            await asyncio.sleep(0)
            yield Piece(text="y")
        yield DONE

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        assert (await caller.error())[1] == "too_large"
        await caller.is_usable()

    talk(much, work)


def test_a_chunk_that_cannot_be_sent_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def wrong(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text=object())  # type: ignore[arg-type]
        yield DONE

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat")
        assert (await caller.error())[1] == "failed"
        await caller.is_usable()

    talk(wrong, work)
    assert "chat failed in parrot" in caplog.text


# -- cancelling --------------------------------------------------------------------------------


def test_a_cancelled_request_is_closed_and_answered_once() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat", prompt="a")
        assert (await caller.next())["method"] == "$/chunk"
        await caller.cancel(1)
        await caller.cancel(1)
        assert await caller.error() == (1, "cancelled", "cancelled")
        assert parrot.ended == ["a"]
        await caller.is_usable()

    talk(hold, work)


def test_a_request_cancelled_in_the_same_breath_is_answered_all_the_same() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        for number in range(5):
            await caller.ask(number, "chat", prompt="a")
            await caller.cancel(number)
        found = [await caller.answer() for _ in range(5)]
        assert [end["error"]["data"]["kind"] for _, end in found] == ["cancelled"] * 5
        assert sorted(end["id"] for _, end in found) == [0, 1, 2, 3, 4]
        assert parrot.begun == parrot.ended
        await caller.ask(0, "chat", prompt="b")
        assert (await caller.next())["params"]["id"] == 0

    talk(hold, work)


def test_cancelling_one_request_leaves_the_others() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        for number in (1, 2):
            await caller.ask(number, "chat", prompt=str(number))
            assert (await caller.next())["params"]["id"] == number
        await caller.cancel(1)
        assert (await caller.error())[0] == 1
        assert parrot.ended == ["1"]

    talk(hold, work)


def test_a_handler_may_finish_what_it_does_when_it_is_cancelled() -> None:
    finished: list[str] = []

    async def tidy(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        try:
            yield Piece(text="a")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            finished.append(chat.prompt)
        yield DONE

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat", prompt="a")
        await caller.next()
        for _ in range(3):
            await caller.cancel(1)
        assert (await caller.error())[1] == "cancelled"
        assert finished == ["a"]

    talk(tidy, work)


def test_a_lost_connection_cancels_all_that_it_asked() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        for number in range(10):
            await caller.ask(number, "chat", prompt=str(number))
            await caller.next()
        await caller.channel.close()
        await asyncio.wait_for(caller.session, 5)
        assert sorted(parrot.ended) == sorted(map(str, range(10)))

    talk(hold, work)


def test_a_session_that_is_ended_tells_why_its_requests_end() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat", prompt="a")
        await caller.next()
        caller.session.cancel()
        words = "parrot was stopped before its answer was complete"
        assert await caller.error() == (1, "connection_lost", words)
        assert parrot.ended == ["a"]
        with contextlib.suppress(asyncio.CancelledError):
            await caller.session

    async def main() -> None:
        parrot = Parrot(StageContext(), hold)
        near, far = memory_pair()
        session = asyncio.create_task(Session(parrot, far, OPEN).run())
        await work(Caller(near, session), parrot)

    run(main())


def test_a_peer_that_does_not_read_does_not_hold_up_the_end_of_a_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "_GOODBYE_S", 0.05)

    async def endless(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        while True:
            yield Piece(text="x" * 10_000)

    async def main() -> None:
        parrot = Parrot(StageContext(), endless)
        near, far = memory_pair()
        session = asyncio.create_task(Session(parrot, far, OPEN).run())
        caller = Caller(near, session)
        for number in range(3):
            await caller.ask(number, "chat")
        await is_still(lambda: len(far._outbound._waiting))
        session.cancel()
        await asyncio.wait([session], timeout=5)
        assert session.done()
        assert parrot.ended == ["", "", ""]

    run(main())


def test_an_id_may_be_used_again_once_it_is_answered() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        for _ in range(3):
            await caller.ask(7, "chat", prompt="hello")
            assert (await caller.answer())[0] == "hello"

    talk(repeat, work)


def test_an_id_used_again_at_once_can_be_cancelled() -> None:
    """Even while the answer before it is still on its way out."""

    async def once_then_hold(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        if chat.prompt == "hold":
            yield Piece(text="held")
            await asyncio.Event().wait()
        yield DONE

    async def main() -> None:
        parrot = Parrot(StageContext(), once_then_hold)
        near, far = memory_pair()
        is_held = asyncio.Event()
        send = far.send

        async def send_slowly(message: bytes) -> None:
            await send(message)
            if b"result" in message:
                await is_held.wait()

        far.send = send_slowly  # type: ignore[method-assign]
        session = asyncio.create_task(Session(parrot, far, OPEN).run())
        caller = Caller(near, session)
        await caller.ask(1, "chat")
        assert "result" in await caller.next()
        await caller.ask(1, "chat", prompt="hold")
        assert (await caller.next())["method"] == "$/chunk"
        is_held.set()
        await asyncio.sleep(0.01)
        await caller.cancel(1)
        assert (await caller.error())[1] == "cancelled"
        await near.close()
        await session

    run(main())


# -- bounds ------------------------------------------------------------------------------------


def test_only_so_many_requests_may_be_open() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        for number in range(MAX_OPEN):
            await caller.ask(number, "chat")
            assert (await caller.next())["params"]["id"] == number
        await caller.ask("more", "info")
        words = f"{MAX_OPEN} requests are open on this connection"
        assert await caller.error() == ("more", "busy", words)
        await caller.send({"type": "ping"})
        assert (await caller.next())["error"] == f"{MAX_OPEN} requests are open"
        await caller.cancel(0)
        assert (await caller.error())[0] == 0
        await caller.is_usable()

    talk(hold, work)


def test_text_is_joined_for_a_slow_reader_and_bounded() -> None:
    count = 100_000
    said = 0

    async def much(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        nonlocal said
        for _ in range(count):
            yield Piece(text="0123456789")
            said += 1
        yield DONE

    async def main() -> None:
        parrot = Parrot(StageContext(), much)
        async with listening("unix", serving(parrot)) as address:
            channel = await open_channel(address)
            channel._writer.transport.pause_reading()  # type: ignore[attr-defined]
            await channel.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "chat"}).encode())
            await is_still(lambda: said)
            chat = {"jsonrpc": "2.0", "id": 2, "method": "info"}
            other = await open_channel(address)
            await other.send(json.dumps(chat).encode())
            assert b"parrot" in (await other.receive() or b"")  # type: ignore[operator]
            await other.close()
            channel._writer.transport.resume_reading()  # type: ignore[attr-defined]
            text, messages = "", 0
            while "method" in (found := json.loads(await channel.receive() or b"")):  # type: ignore[arg-type]
                text += found["params"]["value"]["text"]
                messages += 1
            assert text == "0123456789" * count
            assert messages < count / 5
            await channel.close()

    run(main())


def test_one_who_never_reads_is_not_listened_to_either() -> None:
    """Rubbish is answered, and the answers to it wait in a bound."""

    async def main() -> None:
        async with listening("unix", serving(Parrot(StageContext(), repeat))) as address:
            channel = await open_channel(address)
            channel._writer.transport.pause_reading()  # type: ignore[attr-defined]
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(200_000):
                    await channel.send(b"rubbish rubbish rubbish rubbish rubbish")
                    sent += 1

            sending = asyncio.create_task(send())
            assert await is_stuck(asyncio.shield(sending)) or sent < 200_000
            await is_still(lambda: sent)
            assert sent < 100_000
            sending.cancel()
            channel._writer.transport.abort()  # type: ignore[attr-defined]
            await asyncio.wait([sending])

    run(main())


@pytest.mark.parametrize("line", [b'{"jsonrpc":"2.0","id":1,"method":"chat"}', b'{"type":"chat"}'])
def test_a_peer_that_only_stopped_sending_gets_its_answers(line: bytes) -> None:
    class Slow(Parrot):
        async def legacy(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "response"}

    async def slowly(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        for text in "abc":
            await asyncio.sleep(0.01)
            yield Piece(text=text)
        yield DONE

    def ask(path: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            client.sendall(line + b"\n")
            client.shutdown(socket.SHUT_WR)
            found = b""
            while data := client.recv(65536):
                found += data
            return found

    async def main() -> None:
        parrot = Slow(StageContext(), slowly)
        async with listening("unix", serving(parrot)) as address:
            lines = (await asyncio.to_thread(ask, address.path)).splitlines()
        assert json.loads(lines[-1]).get("result") or json.loads(lines[-1])["type"] == "response"

    run(main())


def test_a_peer_that_stopped_sending_and_leaves_cancels_what_it_asked() -> None:
    async def main() -> None:
        parrot = Parrot(StageContext(), hold)
        async with listening("unix", serving(parrot)) as address:
            channel = await open_channel(address)
            await channel.send(b'{"jsonrpc":"2.0","id":1,"method":"chat"}')
            channel._writer.write_eof()  # type: ignore[attr-defined]
            await channel.receive()
            assert parrot.ended == []
            await channel.close()
            await eventually(lambda: parrot.ended == [""])

    run(main())


# -- who comes in from outside -----------------------------------------------------------------


async def is_right(token: str, who: str) -> bool:
    return token == "right"


GUARDED = Gate(is_right)


def test_a_stranger_says_hello_with_a_token_first() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", token="right", protocol=1)
        await caller.ask(1, "chat", prompt="hello")
        welcome = {"protocol": 1, "server": "parrot", "version": VERSION}
        assert (await caller.next())["result"] == welcome
        assert (await caller.answer())[0] == "hello"

    talk(repeat, work, GUARDED, STRANGER)


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("hello", {"token": "wrong"}, "the token is missing or not valid"),
        ("hello", {}, "the token is missing or not valid"),
        ("hello", {"token": "right", "client": 5}, None),
        ("chat", {"prompt": "a"}, "a hello with a token has to come first"),
        ("info", {}, "a hello with a token has to come first"),
    ],
)
def test_a_stranger_without_a_token_is_sent_away(
    method: str, params: dict[str, Any], reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, method, **params)
        await caller.ask(1, "chat", prompt="a")
        number, kind, message = await caller.error()
        if reason is None:
            assert (number, kind) == (0, "invalid")
        else:
            assert (number, kind) == (0, "unauthorized")
            assert message == f"parrot refuses the connection: {reason}"
        number, kind, _ = await caller.error()
        assert (number, kind) == (1, "unauthorized")
        await caller.is_over()
        assert parrot.begun == []

    monkeypatch.setattr(dispatch, "_GOODBYE_S", 0.05)
    talk(repeat, work, GUARDED, STRANGER)


def test_a_token_in_the_handshake_is_enough() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.is_usable()

    peer = dataclasses.replace(STRANGER, has_shown_token=True)
    talk(repeat, work, Gate(nobody), peer)


def test_a_stranger_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_HELLO_S", 0.05)

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.is_over()

    talk(repeat, work, GUARDED, STRANGER)


def test_a_stranger_who_says_anything_but_hello_is_not_waited_for_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "_HELLO_S", 0.1)

    async def work(caller: Caller, parrot: Parrot) -> None:
        with pytest.raises(ConnectionLost):
            async with asyncio.timeout(5):
                while True:
                    await caller.send(b"rubbish")
                    await caller.channel.receive()
        await caller.is_over()

    talk(repeat, work, GUARDED, STRANGER)


def test_who_is_let_in_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_HELLO_S", 0.02)

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", token="right")
        await caller.next()
        await asyncio.sleep(0.06)
        await caller.is_usable()

    talk(repeat, work, GUARDED, STRANGER)


def test_a_list_of_tokens_that_cannot_be_read_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "_GOODBYE_S", 0.05)

    async def fail(token: str, who: str) -> bool:
        raise StorageError("cannot read tokens.json")

    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", token="right")
        _, kind, message = await caller.error()
        assert kind == "unauthorized"
        assert "its list of tokens cannot be read" in message
        await caller.is_over()

    talk(repeat, work, Gate(fail), STRANGER)
    assert "cannot read tokens.json" in caplog.text


def test_a_process_of_this_user_needs_no_token() -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", token="wrong")
        assert (await caller.next())["result"]["server"] == "parrot"
        await caller.is_usable()

    talk(repeat, work, Gate(nobody))


@pytest.mark.parametrize("version", [0, 2, -1])
def test_another_version_of_the_protocol_is_refused(version: int) -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", protocol=version)
        words = f"version {version} of the protocol is not spoken here"
        assert await caller.error() == (0, "protocol", words)
        await caller.is_usable()

    talk(repeat, work)


@pytest.mark.parametrize("method", ["publish", "turn.begin", "turn.update"])
def test_some_requests_are_never_answered_to_the_holder_of_a_token(method: str) -> None:
    turn = {"id": "1", "session": "s", "ci": "c", "status": "running", "prompt": ""}
    params = {"subject": "a"} if method == "publish" else {"turn": turn}

    async def refused(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(0, "hello", token="right")
        await caller.next()
        await caller.ask(1, method, **params)
        words = f"{method!r} is answered on the Unix socket only"
        assert await caller.error() == (1, "unauthorized", words)
        await caller.is_usable()

    async def answered(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, method, **params)
        found = await caller.next()
        assert "result" in found or found["error"]["data"]["kind"] == "unknown_method"

    talk(repeat, refused, GUARDED, STRANGER)
    talk(repeat, answered)


# -- lines of the original protocol ------------------------------------------------------------


class Old(Parrot):
    """Answers old lines, each after what it says."""

    async def legacy(self, line: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for _ in range(line.get("turns", 0)):
            await asyncio.sleep(0)
        if line["type"] == "bug":
            raise ZeroDivisionError
        if line["type"] == "model":
            raise ModelError("it is down")
        if line["type"] == "hold":
            self.begun.append("line")
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append("line")
        return {"type": "pong", "n": line.get("n")} if line["type"] == "ping" else None


def old() -> Old:
    return Old(StageContext(), hold)


NOT_SPOKEN = "this connection speaks JSON-RPC 2.0, not the original lines"


def test_old_lines_are_answered_in_their_order() -> None:
    async def main() -> None:
        async with calling(old()) as caller:
            for number in range(20):
                await caller.send({"type": "ping", "n": number, "turns": 20 - number})
            assert [(await caller.next())["n"] for _ in range(20)] == list(range(20))

    run(main())


def test_an_old_line_that_takes_long_holds_up_no_request_and_ends_with_the_connection() -> None:
    async def main() -> None:
        service = old()
        async with calling(service) as caller:
            await caller.send({"type": "hold"})
            await caller.is_usable()
            await eventually(lambda: service.begun == ["line"])
        assert service.ended == ["line"]

    run(main())


def test_an_old_line_that_fails_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with calling(old()) as caller:
            await caller.send({"type": "model"})
            assert await caller.next() == {"type": "error", "error": "it is down"}
            assert caplog.text == ""
            await caller.send({"type": "bug"})
            found = await caller.next()
            assert found == {"type": "error", "error": "parrot failed: ZeroDivisionError()"}
            await caller.is_usable()

    run(main())
    assert "a line of the original protocol failed in parrot" in caplog.text


def test_a_service_that_never_spoke_old_lines_says_so() -> None:
    async def main() -> None:
        async with calling(Parrot(StageContext(), repeat)) as caller:
            await caller.send({"type": "ping"})
            assert await caller.next() == {"type": "error", "error": NOT_SPOKEN}
            await caller.is_usable()

    run(main())


def test_a_stranger_gets_no_old_lines_answered_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with calling(old(), GUARDED, STRANGER) as caller:
            await caller.send({"type": "ping"})
            assert await caller.next() == {"type": "error", "error": NOT_SPOKEN}
        async with calling(old(), Gate(is_right, allows_legacy=True), STRANGER) as caller:
            await caller.send({"type": "ping", "n": 1})
            assert await caller.next() == {"type": "pong", "n": 1}
            await caller.ask(1, "chat")  # only with a token, all the same
            assert (await caller.error())[1] == "unauthorized"

    monkeypatch.setattr(dispatch, "_GOODBYE_S", 0.05)
    run(main())


# -- handlers ----------------------------------------------------------------------------------


class Base(Service):
    """A service with handlers of both kinds."""

    name = "base"

    @handles(ListAll)
    async def directory(self, _: ListAll) -> Directory:
        """Return a result."""
        return Directory(entries=())

    @handles(Subscribe)
    async def subscribe(self, _: Subscribe) -> AsyncGenerator[Event | Ack, None]:
        """Yield a chunk and a result."""
        yield Event(subject="a", at=1.0)
        yield Ack()


class Derived(Base):
    """A service that answers one request in another way."""

    name = "derived"

    @handles(ListAll)
    async def other(self, _: ListAll) -> Directory:
        """Fail."""
        raise ConnectionLost("the other one is gone")


def test_handlers_are_inherited_and_overridden() -> None:
    async def main() -> None:
        async with calling(Base(StageContext())) as caller:
            await caller.ask(1, "list")
            assert (await caller.next())["result"] == {"entries": []}
        async with calling(Derived(StageContext())) as caller:
            await caller.ask(1, "list")
            assert await caller.error() == (1, "connection_lost", "the other one is gone")
            await caller.ask(2, "subscribe")
            assert (await caller.next())["params"]["value"]["subject"] == "a"
            assert (await caller.next())["result"] == {}
            await caller.ask(3, "info")
            found = (await caller.next())["result"]
            assert found["description"] == "A service that answers one request in another way."

    run(main())
    assert Base(StageContext()).handler(Info()) is not None
    assert Base(StageContext()).handler(Chat()) is None


def test_nothing_is_logged_where_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    async def work(caller: Caller, parrot: Parrot) -> None:
        await caller.ask(1, "chat", prompt="hello")
        await caller.answer()
        await caller.ask(2, "nope")
        await caller.error()

    with caplog.at_level(logging.INFO, "backends"):
        talk(repeat, work)
    assert caplog.text == ""
