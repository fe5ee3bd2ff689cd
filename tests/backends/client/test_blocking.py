"""The door for programs without asyncio: the same answers and errors, over every transport."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.client.blocking import BlockingTekton
from backends.errors import (
    CannotConnect,
    ConnectionLost,
    MessageTooLarge,
    ModelError,
    NotFound,
    ProtocolError,
    TektonError,
    TimedOut,
    Unauthorized,
)
from backends.protocol import framing
from backends.protocol.conversations import History
from backends.protocol.messages import Answer, Chat, Info, ListAll, Measure, Piece, Request
from backends.service.base import Gate
from backends.transport.base import Channel
from tests.backends.services import (
    DONE,
    Parrot,
    Script,
    StageContext,
    elsewhere,
    hold,
    repeat,
    running,
    serving,
)
from tests.backends.stage import SOCKETS, listening
from tests.scenarios import replay
from tests.scenarios.replay import ReplayedCI


async def is_right(token: str, who: str) -> bool:
    return token == "right"


@contextlib.contextmanager
def parrot_at(kind: str, script: Script) -> Iterator[tuple[BlockingTekton, Parrot]]:
    """Serve a parrot in another thread; gives a door that leads to it."""
    parrot = Parrot(StageContext(), script)
    token = parrot.context.paths.config.with_name("token")
    token.write_text("right")
    with elsewhere(lambda: listening(kind, serving(parrot, Gate(is_right)))) as address:
        with BlockingTekton(str(address), token) as tekton:
            yield tekton, parrot


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("kind", SOCKETS)
def test_a_request_is_answered(kind: str) -> None:
    with parrot_at(kind, repeat) as (tekton, _):
        for _ in range(2):
            items = list(tekton.stream(Chat(prompt="hello")))
            assert "".join(item.text for item in items[:-1]) == "hello"
            assert items[-1] == DONE
            assert tekton.call(Chat(prompt="hello")) == DONE
            assert tekton.call(Info()).name == "parrot"


@pytest.mark.parametrize("kind", SOCKETS)
def test_a_megabyte_comes_back_as_it_went(kind: str) -> None:
    prompt = "ünï 😀 \x00 \x1b[0m \r\n" * 60_000
    with parrot_at(kind, repeat) as (tekton, _):
        items = tekton.stream(Chat(prompt=prompt))
        assert "".join(item.text for item in items if isinstance(item, Piece)) == prompt


@pytest.mark.parametrize("kind", SOCKETS)
def test_an_error_comes_back_as_its_class_after_what_had_come(kind: str) -> None:
    async def fail(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")
        raise ModelError("the model is down", "start it")

    with parrot_at(kind, fail) as (tekton, _):
        items = tekton.stream(Chat())
        assert next(items) == Piece(text="half")
        with pytest.raises(ModelError) as raised:
            next(items)
        assert (raised.value.message, raised.value.hint) == ("the model is down", "start it")


@pytest.mark.parametrize("kind", SOCKETS)
def test_closing_a_stream_closes_what_answers_it(kind: str) -> None:
    with parrot_at(kind, hold) as (tekton, parrot):
        items = tekton.stream(Chat(prompt="a"))
        assert next(items) == Piece(text="a")
        items.close()  # type: ignore[attr-defined]
        wait_until(lambda: parrot.ended == ["a"])


def test_without_its_token_it_is_refused() -> None:
    with parrot_at("tcp", repeat) as (tekton, _):
        with BlockingTekton(str(tekton._remote)) as stranger, pytest.raises(Unauthorized):
            stranger.call(Info())


def test_on_this_machine_each_request_finds_its_service(tekton_home: Path) -> None:
    context = StageContext()
    parrot = Parrot(context, repeat, is_ci=True)
    with elsewhere(lambda: running(context, parrot)), BlockingTekton() as tekton:
        assert tekton.call(Info(ci="parrot")).name == "parrot"
        with pytest.raises(NotFound) as raised:
            tekton.call(Info(ci="parot"))
        assert raised.value.hint == "did you mean 'parrot'? `aish list` shows all"


def test_without_a_hub_it_is_told(tekton_home: Path) -> None:
    with BlockingTekton() as tekton, pytest.raises(CannotConnect, match="no hub is running"):
        tekton.call(Info())


def test_nobody_at_the_address_is_told(tekton_home: Path) -> None:
    with BlockingTekton(f"unix:{tekton_home}/x.sock") as tekton:
        with pytest.raises(CannotConnect, match=r"cannot connect to unix:.*: No such file"):
            tekton.call(Info())


def test_a_request_over_the_limit_is_refused_before_it_is_sent(tekton_home: Path) -> None:
    with BlockingTekton(f"unix:{tekton_home}/x.sock") as tekton, pytest.raises(MessageTooLarge):
        tekton.call(Chat(prompt="x" * 17_000_000))


# -- what breaks -------------------------------------------------------------------------------


@contextlib.contextmanager
def scripted(*messages: bytes) -> Iterator[BlockingTekton]:
    """A door to somebody who answers the first request with these bytes, and leaves."""

    async def on_channel(channel: Channel) -> None:
        await channel.receive()
        for message in messages:
            await channel.send(message)

    with elsewhere(lambda: listening("unix", on_channel)) as address:
        with BlockingTekton(str(address)) as tekton:
            yield tekton


def result(number: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": {"name": "x"}}).encode()


def test_a_connection_lost_before_the_answer_is_told() -> None:
    with scripted() as tekton, pytest.raises(ConnectionLost, match="before the answer was compl"):
        tekton.call(Info())


def test_what_nobody_asked_for_is_passed_over() -> None:
    with scripted(result(99), result(1)) as tekton:
        assert tekton.call(Info()).name == "x"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"rubbish", ProtocolError),
        (b'{"jsonrpc":"2.0","id":null,"error":{"message":"no"}}', TektonError),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', ProtocolError),
    ],
)
def test_a_service_that_breaks_the_protocol_is_an_error(
    message: bytes, kind: type[TektonError]
) -> None:
    with scripted(message, result(1)) as tekton, pytest.raises(kind):
        tekton.call(Info())


def test_an_answer_over_the_limit_is_an_error_and_not_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = threading.Event()

    async def on_channel(channel: Channel) -> None:
        await channel.receive()
        await channel.send(b"x" * 2000)
        await channel.receive()
        is_over.set()

    monkeypatch.setattr(framing.LineFramer.__init__, "__defaults__", (1000,))
    with elsewhere(lambda: listening("unix", on_channel)) as address:
        with BlockingTekton(str(address)) as tekton, pytest.raises(MessageTooLarge):
            tekton.call(Info())
        assert is_over.wait(5)


def test_a_unix_socket_needs_no_asyncio() -> None:
    """It takes longer to import than most answers take to come."""
    program = "import sys, backends.client.blocking; print('asyncio' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"False\n"


@contextlib.asynccontextmanager
async def failing() -> AsyncIterator[int]:
    yield int("no number")


def test_the_stage_itself_tells_what_failed_elsewhere() -> None:
    with pytest.raises(ValueError, match="no number"), elsewhere(failing):
        pass


@contextlib.contextmanager
def deaf(path: Path, backlog: int = 5) -> Iterator[socket.socket]:
    """Listen, as a process does that is stopped: connections are taken, nothing is answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(backlog)
        yield server


def test_a_service_that_is_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with deaf(tmp_path / "s"), BlockingTekton(f"unix:{tmp_path}/s", patience_s=0.05) as tekton:
        requests: list[Request[Any]] = [ListAll(), History(), Measure()]
        for request in requests:
            with pytest.raises(TimedOut, match=r"does not answer within 0\.05 s"):
                tekton.call(request)


def test_a_service_that_takes_no_connection_is_silent_too(tmp_path: Path) -> None:
    with deaf(tmp_path / "s", backlog=0), contextlib.ExitStack() as others:
        while True:
            other = others.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            other.setblocking(False)
            try:
                other.connect(str(tmp_path / "s"))
            except BlockingIOError:
                break
        with BlockingTekton(f"unix:{tmp_path}/s", patience_s=0.05) as tekton:
            with pytest.raises(TimedOut):
                tekton.call(ListAll())


def test_the_process_behind_a_silent_service_is_named(tekton_home: Path) -> None:
    with ReplayedCI(tekton_home, {"": []}, "mute"), BlockingTekton(patience_s=0.05) as tekton:
        with pytest.raises(TimedOut, match="mute does not answer within") as caught:
            tekton.call(Info(ci="mute"))
        assert f"kill -CONT {os.getpid()}" in (caught.value.hint or "")


def test_a_prompt_and_a_subscription_wait_as_long_as_it_takes(tmp_path: Path) -> None:
    with deaf(tmp_path / "s") as server:
        with BlockingTekton(f"unix:{tmp_path}/s", patience_s=0.01) as tekton:

            def answer() -> None:
                for _ in range(2):
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(65536)
                        assert not select.select([peer], [], [], 0.1)[0], "it has given up"
                        peer.sendall(replay.result())

            thread = threading.Thread(target=answer)
            thread.start()
            assert tekton.call(Chat(prompt="hello"))
            assert list(tekton.stream(Chat(prompt="hello")))
            thread.join()


def test_whether_somebody_listens_can_be_known_without_asking(tekton_home: Path) -> None:
    with ReplayedCI(tekton_home, {"": []}, "mute") as mute, BlockingTekton() as tekton:
        tekton.check("mute", is_ci=True)
        with pytest.raises(NotFound, match="no CI named 'nobody'"):
            tekton.check("nobody", is_ci=True)
        assert not mute.received
