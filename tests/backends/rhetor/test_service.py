"""The gateway: it passes on requests, chunks, errors and cancels, and answers little itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from backends.errors import NoModel, NotFound, Unauthorized, UsageError
from backends.protocol.conversations import History
from backends.protocol.messages import (
    Ack,
    Answer,
    Chat,
    Directory,
    Event,
    Info,
    ListAll,
    Measure,
    Piece,
    Publish,
    Request,
    ServiceInfo,
    Subscribe,
)
from backends.rhetor.service import Rhetor
from backends.service.base import Gate
from backends.service.dispatch import Session
from backends.transport.base import Peer
from backends.transport.memory import memory_pair
from tests.backends.services import DONE, StageContext, client_of
from tests.backends.stage import run

Stream = Callable[[Request[Any]], AsyncIterator[Any]]


def gateway(stream: Stream) -> tuple[StageContext, Rhetor]:
    context = StageContext()
    context.stream_of = stream
    return context, Rhetor(context)


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (ListAll(), Directory(entries=())),
        (Publish(subject="a"), Ack()),
        (History(ci="apollo"), None),
        (Info(ci="apollo"), ServiceInfo(name="apollo")),
        (Info(service="hermes"), ServiceInfo(name="hermes")),
        (Measure(), None),
    ],
)
def test_a_request_is_passed_on_as_it_is(request_: Request[Any], result: Any) -> None:
    async def answer(request: Request[Any]) -> AsyncGenerator[Any, None]:
        if result is None:
            raise NotFound("passed on")
        yield result

    async def work() -> None:
        context, rhetor = gateway(answer)
        async with client_of(rhetor) as client:
            if result is None:
                with pytest.raises(NotFound, match="passed on"):
                    await client.call(request_)
            else:
                assert await client.call(request_) == result
        assert context.asked == [request_]

    run(work())


def test_an_answer_streams_through() -> None:
    async def answer(request: Request[Any]) -> AsyncGenerator[Any, None]:
        yield Piece(text="hel")
        yield Piece(notice="wait")
        yield Piece(text="lo")
        yield DONE

    async def work() -> None:
        _, rhetor = gateway(answer)
        async with client_of(rhetor) as client:
            items = [item async for item in client.stream(Chat(ci="apollo", prompt="hi"))]
        assert items == [Piece(text="hel"), Piece(notice="wait"), Piece(text="lo"), DONE]

    run(work())


def test_events_stream_through() -> None:
    async def events(request: Request[Any]) -> AsyncGenerator[Any, None]:
        assert request == Subscribe(subject="ci.>")
        for number in range(3):
            yield Event(subject=f"ci.{number}", at=0.0)
        yield Ack()

    async def work() -> None:
        _, rhetor = gateway(events)
        async with client_of(rhetor) as client:
            items = [item async for item in client.stream(Subscribe(subject="ci.>"))]
        assert [item.subject for item in items[:-1]] == ["ci.0", "ci.1", "ci.2"]

    run(work())


def test_an_error_keeps_its_kind_and_hint_and_what_came_before() -> None:
    async def fail(request: Request[Any]) -> AsyncGenerator[Any, None]:
        yield Piece(text="half")
        raise NoModel("no model is there", "start one")

    async def work() -> None:
        _, rhetor = gateway(fail)
        async with client_of(rhetor) as client:
            items = client.stream(Chat(ci="apollo"))
            assert await anext(items) == Piece(text="half")
            with pytest.raises(NoModel, match="no model is there") as raised:
                await anext(items)
            assert raised.value.hint == "start one"

    run(work())


def test_a_cancel_goes_all_the_way() -> None:
    is_closed = asyncio.Event()

    async def hold(request: Request[Any]) -> AsyncGenerator[Any, None]:
        try:
            yield Piece(text="a")
            await asyncio.Event().wait()
        finally:
            is_closed.set()
        yield DONE

    async def work() -> None:
        _, rhetor = gateway(hold)
        async with client_of(rhetor) as client:
            items: AsyncGenerator[Piece | Answer, None] = client.stream(Chat(ci="apollo"))
            await anext(items)
            assert not is_closed.is_set()
            await items.aclose()
            await asyncio.wait_for(is_closed.wait(), 5)

    run(work())


def test_the_gateway_answers_who_it_is_itself() -> None:
    async def work() -> None:
        context, rhetor = gateway(lambda request: pytest.fail("asked somebody else"))
        async with client_of(rhetor) as client:
            for request in (Info(), Info(service="rhetor")):
                found = await client.call(request)
                assert (found.name, found.is_ci, found.is_service) == ("rhetor", False, True)
                assert found.description.startswith("Gateway: passes each request on")
        assert context.asked == []

    run(work())


def test_a_prompt_needs_the_name_of_a_ci() -> None:
    async def work() -> None:
        _, rhetor = gateway(lambda request: pytest.fail("asked somebody else"))
        async with client_of(rhetor) as client:
            with pytest.raises(UsageError, match="chat: the gateway needs the name of a CI"):
                await client.call(Chat(prompt="hi"))

    run(work())


def test_what_is_local_is_not_passed_on_for_a_stranger() -> None:
    async def work() -> None:
        context, rhetor = gateway(lambda request: pytest.fail("passed on"))
        near, far = memory_pair()
        far.peer = Peer(
            where="tcp 127.0.0.1:1", is_trusted=False, is_local=False, has_shown_token=True
        )

        async def nobody(token: str, who: str) -> bool:
            return False

        from backends.client.client import Client

        session = asyncio.create_task(Session(rhetor, far, Gate(nobody)).run())
        async with Client(near) as client:
            with pytest.raises(Unauthorized, match="'publish' is answered on the Unix socket only"):
                await client.call(Publish(subject="a"))
        await session
        assert context.asked == []

    run(work())
