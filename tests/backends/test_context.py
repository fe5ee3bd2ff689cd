"""What the services of one process are given: each other, everybody else, and a bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.client.client import Client
from backends.config import Config
from backends.context import ProcessContext
from backends.errors import CannotConnect, ConnectionLost, NotFound
from backends.hermes.service import Hermes
from backends.paths import find_paths, private_folder
from backends.protocol.messages import Chat, Event, Info, Piece, Subscribe
from backends.service.base import Context, Service
from backends.service.runner import Runner
from backends.transport.address import Address
from backends.transport.base import Channel
from tests.backends.services import DONE, OPEN, Parrot, hold, repeat
from tests.backends.stage import allow, eventually, run


@contextlib.asynccontextmanager
async def process(*makes: Any, grace_s: float = 2.0) -> AsyncIterator[ProcessContext]:
    """Be a process with some services; each is made with the context."""
    paths = find_paths()
    private_folder(paths.runtime)
    context = ProcessContext(Config(), paths)
    context.runner = Runner(context, OPEN, allow)
    for make in makes:
        await context.runner.start(make(context))
    try:
        yield context
    finally:
        await context.runner.stop_all()
        await context.close(grace_s)


def parrot(name: str, script: Any = repeat) -> Any:
    return lambda context: Parrot(context, script, name, is_ci=True)


def found(context: ProcessContext, name: str) -> Parrot:
    service = context.runner.find(name, is_ci=True)
    assert isinstance(service, Parrot)
    return service


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each connection was made: through memory or through a socket."""
    seen: list[str] = []
    serve, connect = Runner.serve, Client.connect

    def note_memory(self: Runner, service: Service, channel: Channel, *more: Any) -> Any:
        seen.append("memory")
        return serve(self, service, channel, *more)

    async def note_socket(address: Address, *options: Any, **more: Any) -> Any:
        if "apollo" in address.path:  # events look for their bus as well
            seen.append("socket")
        return await connect(address, *options, **more)

    monkeypatch.setattr(Runner, "serve", note_memory)
    monkeypatch.setattr(Client, "connect", note_socket)
    return seen


def test_a_service_of_this_process_is_reached_through_memory(
    tekton_home: Path, ways: list[str]
) -> None:
    async def work() -> None:
        async with process(parrot("apollo")) as context:
            for _ in range(3):
                assert (await context.call(Info(ci="apollo"))).name == "apollo"
            assert ways.count("socket") == 0
            assert ways.count("memory") == 1
            items = [item async for item in context.stream(Chat(ci="apollo", prompt="hi"))]
            assert items[-1] == DONE
            assert ways.count("memory") == 2

    run(work())


def test_a_service_of_another_process_is_reached_through_its_socket(
    tekton_home: Path, ways: list[str]
) -> None:
    async def work() -> None:
        async with process(parrot("apollo")), process() as other:
            for _ in range(3):
                assert (await other.call(Info(ci="apollo"))).name == "apollo"
            items = [item async for item in other.stream(Chat(ci="apollo", prompt="hi"))]
            assert items[-1] == DONE
            assert (ways.count("memory"), ways.count("socket")) == (0, 2)
            with pytest.raises(NotFound, match="no CI named 'zeus'"):
                await other.call(Info(ci="zeus"))
            with pytest.raises(NotFound, match="no CI named 'zeus'"):
                await anext(other.stream(Chat(ci="zeus")))

    run(work())


def test_where_nobody_runs_it_is_told(tekton_home: Path) -> None:
    async def work() -> None:
        async with process() as context:
            with pytest.raises(CannotConnect, match="no hub is running"):
                await context.call(Info())

    run(work())


def test_a_service_that_was_stopped_and_started_again_is_reached(tekton_home: Path) -> None:
    async def work() -> None:
        async with process(parrot("apollo")) as context:
            before = found(context, "apollo")
            assert (await context.call(Info(ci="apollo"))).name == "apollo"
            asking = asyncio.create_task(context.call(Chat(ci="apollo")))
            await asking
            await context.runner.stop(before)
            await context.runner.start(Parrot(context, repeat, "apollo", is_ci=True))
            async with asyncio.timeout(5):
                assert await context.call(Chat(ci="apollo", prompt="again")) == DONE
            assert found(context, "apollo").begun == ["again"]

    run(work())


def test_what_is_open_when_its_service_stops_is_told(tekton_home: Path) -> None:
    async def work() -> None:
        async with process(parrot("apollo", hold)) as context:
            calling = asyncio.create_task(context.call(Chat(ci="apollo", prompt="a")))
            items = context.stream(Chat(ci="apollo", prompt="b"))
            await anext(items)
            await eventually(lambda: len(found(context, "apollo").begun) == 2)
            await context.runner.stop_all()
            for open_ in (calling, anext(items)):
                with pytest.raises(ConnectionLost):
                    await open_

    run(work())


@pytest.mark.parametrize("is_inside", [True, False])
def test_closing_a_stream_cancels(tekton_home: Path, is_inside: bool) -> None:
    async def work() -> None:
        async with process(parrot("apollo", hold)) as context, process() as other:
            items = (context if is_inside else other).stream(Chat(ci="apollo", prompt="a"))
            assert await anext(items) == Piece(text="a")
            await items.aclose()
            await eventually(lambda: found(context, "apollo").ended == ["a"])

    run(work())


def test_a_stream_that_nobody_reads_holds_up_no_call(tekton_home: Path) -> None:
    async def endless(chat: Chat) -> Any:
        while True:
            yield Piece(text="x" * 10_000)

    async def work() -> None:
        async with process(parrot("apollo", endless)) as context:
            items = context.stream(Chat(ci="apollo"))
            await anext(items)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(5):
                assert (await context.call(Info(ci="apollo"))).name == "apollo"
            await items.aclose()

    run(work())


# -- events ------------------------------------------------------------------------------------


def hermes(context: Context) -> Hermes:
    return Hermes(context)


@pytest.mark.parametrize("is_inside", [True, False])
def test_events_arrive_in_their_order(tekton_home: Path, is_inside: bool) -> None:
    async def work() -> None:
        async with process(hermes) as context, process() as other:
            sender = context if is_inside else other
            items = context.stream(Subscribe(subject="test.>"))
            first = asyncio.ensure_future(anext(items))
            bus = context.runner.find("hermes", is_ci=False)
            assert isinstance(bus, Hermes)
            await eventually(lambda: bus._bus._subscriptions)
            for number in range(100):
                sender.publish(f"test.{number}", n=number, nothing=None)
            events: list[Event] = [await first] + [await anext(items) for _ in range(99)]
            assert [event.data for event in events] == [{"n": number} for number in range(100)]
            await items.aclose()

    run(work())


def test_without_a_bus_events_are_lost_quietly_and_later_ones_are_not(
    tekton_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with process() as context:
            with caplog.at_level("DEBUG", "backends.context"):
                context.publish("test.lost")
                await eventually(lambda: "event test.lost is lost: no hub" in caplog.text)
            await context.runner.start(Hermes(context))
            items = context.stream(Subscribe(subject="test.>"))
            first = asyncio.ensure_future(anext(items))
            bus = context.runner.find("hermes", is_ci=False)
            assert isinstance(bus, Hermes)
            await eventually(lambda: bus._bus._subscriptions)
            context.publish("test.found")
            assert (await first).subject == "test.found"
            await items.aclose()

    run(work())
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


# -- the end -----------------------------------------------------------------------------------


def test_closing_waits_for_background_work_and_for_nothing_else(tekton_home: Path) -> None:
    async def work() -> None:
        done: list[str] = []

        async def finish() -> None:
            await asyncio.sleep(0.02)
            done.append("finished")

        loop = asyncio.get_running_loop()
        async with process() as context:
            context.background(finish())
            began = loop.time()
        assert done == ["finished"]
        assert loop.time() - began < 1.5

    run(work())


def test_background_work_that_does_not_end_is_ended_after_the_grace(tekton_home: Path) -> None:
    async def work() -> None:
        ended: list[str] = []

        async def never() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("ended")

        async with process(grace_s=0.02) as context:
            context.background(never())
        await eventually(lambda: ended == ["ended"])

    run(work())


def test_background_work_that_fails_is_logged(
    tekton_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        async with process() as context:
            context.background(fail())

    run(work())
    assert "background work failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_the_time_is_that_of_the_clock(tekton_home: Path) -> None:
    async def work() -> None:
        async with process() as context:
            assert context.now() > 1_700_000_000

    run(work())
