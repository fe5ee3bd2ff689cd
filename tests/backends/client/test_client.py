"""The client of one connection: many requests at once, each ending once and in its own way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from backends import errors
from backends.client import client as client_module
from backends.client.client import Client
from backends.errors import (
    CannotConnect,
    ConnectionLost,
    MessageTooLarge,
    ProtocolError,
    TektonError,
    Unauthorized,
    UnknownMethod,
)
from backends.protocol.messages import (
    Ack,
    Answer,
    Chat,
    Info,
    Measure,
    Piece,
    Publish,
    ServiceInfo,
)
from backends.service.base import Gate
from backends.transport.address import Address
from backends.transport.base import Channel
from backends.transport.memory import MemoryChannel, memory_pair
from tests.backends.services import (
    DONE,
    Parrot,
    StageContext,
    client_of,
    hold,
    nobody,
    repeat,
    serving,
)
from tests.backends.stage import TRANSPORTS, eventually, is_still, is_stuck, listening, run


async def texts(items: AsyncIterator[Any]) -> str:
    return "".join([item.text async for item in items if isinstance(item, Piece)])


@contextlib.asynccontextmanager
async def connected(kind: str, parrot: Parrot) -> AsyncIterator[Client]:
    async def valid(token: str, who: str) -> bool:
        return token == "right"

    if kind == "memory":
        async with client_of(parrot) as client:
            yield client
        return
    async with listening(kind, serving(parrot, Gate(valid))) as address:
        async with await Client.connect(address, "right") as client:
            yield client


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[tuple[Client, MemoryChannel]]:
    """Give a client and the other end of its channel, where the test plays the service."""
    near, far = memory_pair()
    async with Client(near) as client:
        yield client, far


async def received(far: MemoryChannel) -> dict[str, Any]:
    message = await asyncio.wait_for(far.receive(), 5)
    assert message is not None
    found: dict[str, Any] = json.loads(message)
    return found


def chunk(number: Any, text: str) -> bytes:
    params = {"id": number, "value": {"text": text}}
    return json.dumps({"jsonrpc": "2.0", "method": "$/chunk", "params": params}).encode()


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_request_is_answered_over_every_transport(kind: str) -> None:
    async def work() -> None:
        async with connected(kind, Parrot(StageContext(), repeat)) as client:
            assert await client.call(Chat(prompt="hello")) == DONE
            items = [item async for item in client.stream(Chat(prompt="hello"))]
            assert "".join(item.text for item in items[:-1]) == "hello"
            assert items[-1] == DONE
            found = await client.call(Info())
            assert (found.name, found.description) == (
                "parrot",
                "Answers chats by a script, and notes which were closed before their end.",
            )

    run(work())


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_many_requests_share_a_connection_and_are_not_mixed(kind: str) -> None:
    async def work() -> None:
        async with connected(kind, Parrot(StageContext(), repeat)) as client:
            prompts = [f"{number}-" * 50 for number in range(200)]
            asked = (texts(client.stream(Chat(prompt=prompt))) for prompt in prompts)
            assert await asyncio.gather(*asked) == prompts

    run(work())


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_megabyte_comes_back_as_it_went(kind: str) -> None:
    prompt = "ünï 😀 \x00 \x1b[0m \r\n" * 60_000

    async def work() -> None:
        async with connected(kind, Parrot(StageContext(), repeat)) as client:
            assert await texts(client.stream(Chat(prompt=prompt))) == prompt

    run(work())


# -- cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_closing_a_stream_closes_what_answers_it(kind: str) -> None:
    async def work() -> None:
        parrot = Parrot(StageContext(), hold)
        async with connected(kind, parrot) as client:
            items = client.stream(Chat(prompt="a"))
            assert await anext(items) == Piece(text="a")
            assert parrot.ended == []
            await items.aclose()
            await eventually(lambda: parrot.ended == ["a"])
            assert (await client.call(Info())).name == "parrot"

    run(work())


def test_cancelling_the_caller_cancels_the_request() -> None:
    async def work() -> None:
        parrot = Parrot(StageContext(), hold)
        async with client_of(parrot) as client:
            calling = asyncio.create_task(client.call(Chat(prompt="a")))
            await eventually(lambda: parrot.begun)
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled()
            await eventually(lambda: parrot.ended == ["a"])

    run(work())


def test_a_stream_that_is_dropped_without_closing_is_cancelled_too() -> None:
    async def work() -> None:
        parrot = Parrot(StageContext(), hold)
        async with client_of(parrot) as client:
            async for _ in client.stream(Chat(prompt="a")):
                break
            await eventually(lambda: parrot.ended == ["a"])

    run(work())


def test_a_caller_cancelled_while_its_request_is_sent_leaves_the_connection_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_GOODBYE_S", 0.05)

    async def work() -> None:
        async with bare() as (client, far):
            has_room, send = asyncio.Event(), MemoryChannel.send

            async def send_later(self: MemoryChannel, message: bytes) -> None:
                if self is not far:
                    await has_room.wait()
                await send(self, message)

            monkeypatch.setattr(MemoryChannel, "send", send_later)
            calling = asyncio.create_task(client.call(Chat(prompt="a")))
            await asyncio.sleep(0)
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled()
            has_room.set()
            asking = asyncio.create_task(client.call(Info()))
            number = (await received(far))["id"]
            for _ in range(2 * client_module._OPEN_CHUNKS):
                await far.send(chunk(number - 1, "to the one who is gone"))
            await far.send(b'{"jsonrpc":"2.0","id":%d,"result":{"name":"x"}}' % number)
            assert await asking == ServiceInfo(name="x")

    run(work())


def test_a_slow_caller_holds_the_service_back_and_loses_nothing() -> None:
    sent = 0

    async def count(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        nonlocal sent
        for number in range(3000):
            yield Piece(text=f"{number} ", notice="")  # with a notice they are not joined
            sent += 1
        yield DONE

    async def work() -> None:
        async with client_of(Parrot(StageContext(), count)) as client:
            items = client.stream(Chat())
            first = await anext(items)
            await is_still(lambda: sent)
            assert sent < 1500
            found = first.text + await texts(items)
            assert found.split() == [str(number) for number in range(3000)]

    run(work())


def test_a_full_stream_can_be_closed_and_lets_the_others_on() -> None:
    sent = 0

    async def endless(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        nonlocal sent
        while True:
            yield Piece(text="x", notice="")
            sent += 1

    async def work() -> None:
        parrot = Parrot(StageContext(), endless)
        async with client_of(parrot) as client:
            items = client.stream(Chat(prompt="a"))
            await anext(items)
            await is_still(lambda: sent)
            asking = asyncio.create_task(client.call(Info()))
            assert await is_stuck(asyncio.shield(asking))  # it is read no further
            await items.aclose()
            assert (await asking).name == "parrot"
            await eventually(lambda: parrot.ended == ["a"])

    run(work())


# -- the end of a connection -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unix", "tcp", "ws"])
def test_a_connection_lost_in_the_middle_is_told_after_what_had_come(kind: str) -> None:
    async def vanish(channel: Channel) -> None:
        while isinstance(message := await channel.receive(), bytes):
            asked = json.loads(message)
            if asked["method"] == "chat":
                await channel.send(chunk(asked["id"], "half"))
                return

    async def work() -> None:
        async with listening(kind, vanish) as address:
            async with await Client.connect(address) as client:
                items = client.stream(Chat())
                assert await anext(items) == Piece(text="half")
                with pytest.raises(ConnectionLost, match="lost before the answer was complete"):
                    await anext(items)
                await eventually(lambda: not client.is_open)
                with pytest.raises(ConnectionLost):
                    await client.call(Info())

    run(work())


def test_all_that_came_before_the_connection_was_lost_is_delivered() -> None:
    count = client_module._OPEN_CHUNKS

    async def work() -> None:
        async with bare() as (client, far):
            items = client.stream(Chat())
            first = asyncio.create_task(anext(items))
            number = (await received(far))["id"]
            for text in range(count + 1):
                await far.send(chunk(number, f"{text} "))
            found = [(await first).text]
            await far.close()
            await eventually(lambda: not client.is_open)
            with pytest.raises(ConnectionLost):
                while True:
                    found.append((await anext(items)).text)
            assert "".join(found).split() == [str(text) for text in range(count + 1)]

    run(work())


def test_closing_fails_what_is_open() -> None:
    async def work() -> None:
        async with bare() as (client, far):
            calls = [asyncio.create_task(client.call(Chat())) for _ in range(3)]
            for _ in calls:
                await received(far)
            await client.close()
            for call in calls:
                with pytest.raises(ConnectionLost, match="the connection was closed"):
                    await call
            with pytest.raises(ConnectionLost, match="the connection was closed"):
                await client.call(Info())
            await client.close()

    run(work())


def test_a_peer_that_does_not_read_does_not_hold_up_who_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "_GOODBYE_S", 0.05)
    is_over = asyncio.Event()

    async def never_read(channel: Channel) -> None:
        channel._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await is_over.wait()

    async def work() -> None:
        async with listening("unix", never_read) as address:
            client = await Client.connect(address)
            calling = asyncio.create_task(client.call(Chat(prompt="x" * 10_000_000)))
            assert await is_stuck(asyncio.shield(calling))
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled()
            await asyncio.wait_for(client.close(), 5)
            is_over.set()

    run(work())


def test_a_lost_connection_is_closed_on_this_side_as_well() -> None:
    is_over = asyncio.Event()

    async def stop_sending(channel: Channel) -> None:
        channel._writer.write_eof()  # type: ignore[attr-defined]
        while await channel.receive() is not None:
            pass
        is_over.set()

    async def work() -> None:
        async with listening("unix", stop_sending) as address:
            client = await Client.connect(address)
            await asyncio.wait_for(is_over.wait(), 5)
            assert not client.is_open
            await client.close()

    run(work())


# -- errors ------------------------------------------------------------------------------------


def kinds() -> list[type[TektonError]]:
    found = [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, TektonError)
    ]
    return sorted(found, key=lambda item: item.__name__)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_each_kind_of_error_comes_back_as_its_class(kind: type[TektonError]) -> None:
    async def fail(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        yield Piece(text="half")
        raise kind("what happened", "what to do")

    async def work() -> None:
        async with client_of(Parrot(StageContext(), fail)) as client:
            items = client.stream(Chat())
            assert (await anext(items)).text == "half"
            with pytest.raises(kind) as raised:
                await anext(items)
            assert type(raised.value) is kind
            assert (raised.value.message, raised.value.hint) == ("what happened", "what to do")
            assert client.is_open

    run(work())


def test_a_request_that_nobody_answers_there_is_an_error() -> None:
    async def work() -> None:
        async with client_of(Parrot(StageContext(), repeat)) as client:
            with pytest.raises(UnknownMethod, match="parrot does not answer 'facts'"):
                await client.call(Measure())

    run(work())


def test_a_request_over_the_limit_leaves_the_connection_as_it_was() -> None:
    async def work() -> None:
        async with client_of(Parrot(StageContext(), repeat)) as client:
            with pytest.raises(MessageTooLarge, match=r"the message is 16\.\d MiB"):
                await client.call(Chat(prompt="x" * 17_000_000))
            assert await client.call(Publish(subject="a")) == Ack()

    run(work())


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"rubbish", ProtocolError),
        (b'{"jsonrpc":"2.0","id":7,"method":"list"}', ConnectionLost),
        (b'{"type":"error","error":"what is this"}', ConnectionLost),
        (b'{"jsonrpc":"2.0","id":null,"error":{"message":"no","data":{"kind":"too_large"}}}',
         MessageTooLarge),
        (chunk(1, "x").replace(b'"x"', b"5"), ProtocolError),
    ],
)  # fmt: skip
def test_a_service_that_breaks_the_protocol_fails_every_request_and_is_left(
    message: bytes, kind: type[TektonError]
) -> None:
    async def work() -> None:
        async with bare() as (client, far):
            calls = [asyncio.create_task(client.call(Chat())) for _ in range(2)]
            for _ in calls:
                await received(far)
            await far.send(message)
            for call in calls:
                with pytest.raises(kind):
                    await call
            assert not client.is_open
            assert await asyncio.wait_for(far.receive(), 5) is None

    run(work())


def test_answers_that_nobody_waits_for_are_passed_over() -> None:
    async def work() -> None:
        async with bare() as (client, far):
            await far.send(b'{"jsonrpc":"2.0","id":99,"result":{}}')
            await far.send(chunk(99, "x"))
            call = asyncio.create_task(client.call(Info()))
            number = (await received(far))["id"]
            await far.send(b'{"jsonrpc":"2.0","id":%d,"result":{"name":"x"}}' % number)
            await far.send(b'{"jsonrpc":"2.0","id":%d,"result":{"name":"y"}}' % number)
            assert (await call).name == "x"
            assert client.is_open

    run(work())


# -- connecting --------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "wrong"])
@pytest.mark.parametrize("requests", [1, 3])
def test_a_refused_hello_fails_the_request_that_follows_with_the_reason(
    token: str | None, requests: int
) -> None:
    async def work() -> None:
        parrot = Parrot(StageContext(), repeat)
        async with listening("tcp", serving(parrot, Gate(nobody))) as address:
            async with await Client.connect(address, token) as client:
                calls = [client.call(Chat(prompt="a")) for _ in range(requests)]
                for found in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(found, Unauthorized)
                    assert "parrot refuses the connection" in found.message
        assert parrot.begun == []

    run(work())


def test_nobody_at_the_address_cannot_be_connected_to() -> None:
    async def work() -> None:
        with pytest.raises(CannotConnect, match=r"cannot connect to unix:/nowhere/x.sock: No such"):
            await Client.connect(Address("unix", path="/nowhere/x.sock"))

    run(work())


def test_who_closes_before_the_hello_is_sent_leaves_nothing_open() -> None:
    async def work() -> None:
        with pytest.MonkeyPatch.context() as patch:

            async def lose(self: Client, message: bytes) -> None:
                raise ConnectionLost("gone")

            patch.setattr(Client, "_send", lose)
            async with listening("tcp", serving(Parrot(StageContext(), repeat))) as address:
                with pytest.raises(ConnectionLost, match="gone"):
                    await Client.connect(address, "token")

    run(work())
