"""Hermes: who is up as asked now, deaths that nobody announced, and events to subscribers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from backends.errors import CannotConnect, UsageError
from backends.hermes import service as hermes_module
from backends.hermes.service import Hermes
from backends.protocol.messages import (
    Ack,
    Event,
    Health,
    Info,
    ListAll,
    Publish,
    Request,
    ServiceInfo,
    Subscribe,
)
from tests.backends.services import StageContext, client_of
from tests.backends.stage import eventually, run

CONSTANTS = (hermes_module._ASK_S, hermes_module._WATCH_EVERY_S)


@pytest.fixture
def context(tekton_home: Path) -> StageContext:
    return StageContext()


def write(context: StageContext, name: str, is_ci: bool = True, **fields: Any) -> ServiceInfo:
    socket = context.paths.state / f"{name}-{is_ci}.sock"
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.touch()
    known: dict[str, Any] = {"pid": os.getpid(), "socket": str(socket)} | fields
    record = ServiceInfo(name=name, is_ci=is_ci, **known)
    context.registry.write(record)
    return record


def listed(context: StageContext) -> list[ServiceInfo]:
    async def work() -> list[ServiceInfo]:
        async with client_of(Hermes(context)) as client:
            return list((await client.call(ListAll())).entries)

    return run(work())


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


# -- the directory -----------------------------------------------------------------------------


def test_each_is_asked_for_its_state_now(context: StageContext) -> None:
    async def answer(request: Request[Any]) -> ServiceInfo:
        assert isinstance(request, Info)
        return ServiceInfo(name=request.ci or request.service or "", answering=7)

    context.answer = answer
    for name, is_ci in (("zeus", True), ("apollo", True), ("rhetor", False)):
        write(context, name, is_ci)
    assert [(entry.name, entry.answering) for entry in listed(context)] == [
        ("rhetor", 7),
        ("apollo", 7),
        ("zeus", 7),
    ]
    assert set(context.asked) == {Info(service="rhetor"), Info(ci="apollo"), Info(ci="zeus")}


def test_hermes_does_not_ask_itself_over_a_connection(context: StageContext) -> None:
    write(context, "hermes", is_ci=False)
    (entry,) = listed(context)
    assert (entry.name, entry.description) == (
        "hermes",
        "Directory of services and CIs, and the event bus.",
    )
    assert context.asked == []


def test_the_dead_are_listed_with_the_reason_and_not_asked(context: StageContext) -> None:
    pid = ended_process()
    write(context, "apollo", pid=pid)
    write(context, "athena", socket="/nowhere/athena.sock")
    write(context, "zeus", health=Health.ENDED, reason="it was stopped")
    found = {entry.name: (entry.health, entry.reason) for entry in listed(context)}
    assert found == {
        "apollo": (Health.DEAD, f"its process (pid {pid}) is gone"),
        "athena": (Health.DEAD, "its socket /nowhere/athena.sock is gone"),
        "zeus": (Health.ENDED, "it was stopped"),
    }
    assert context.asked == []


def test_one_that_cannot_be_reached_or_is_silent_is_dead_and_holds_up_nobody(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hermes_module, "_ASK_S", 0.05)

    async def answer(request: Request[Any]) -> ServiceInfo:
        assert isinstance(request, Info)
        if request.ci == "apollo":
            raise CannotConnect("nobody listens there")
        if request.ci == "athena":
            await asyncio.Event().wait()
        return ServiceInfo(name="zeus", is_ci=True)

    context.answer = answer
    for name in ("apollo", "athena", "zeus"):
        write(context, name)
    found = {entry.name: (entry.health, entry.reason) for entry in listed(context)}
    assert found == {
        "apollo": (Health.DEAD, "nobody listens there"),
        "athena": (Health.DEAD, "no answer within 0.05 s"),
        "zeus": (Health.ALIVE, None),
    }


def test_all_are_asked_at_once(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hermes_module, "_ASK_S", 5.0)
    asked = 0
    all_asked = asyncio.Event()

    async def answer(request: Request[Any]) -> ServiceInfo:
        nonlocal asked
        asked += 1
        if asked == 20:
            all_asked.set()
        await all_asked.wait()
        return ServiceInfo(name="x")

    context.answer = answer
    for number in range(20):
        write(context, f"ci{number}")
    assert len(listed(context)) == 20


# -- deaths ------------------------------------------------------------------------------------


class Looks:
    """Counts how often the watch has looked at the records."""

    def __init__(self, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        records = context.registry.records
        monkeypatch.setattr(hermes_module, "_WATCH_EVERY_S", 0.002)

        def counted() -> Iterator[ServiceInfo]:
            self.count += 1
            return records()

        monkeypatch.setattr(context.registry, "records", counted)

    async def more(self) -> None:
        """Wait until it has looked twice more: once at least from beginning to end."""
        before = self.count
        await eventually(lambda: self.count >= before + 2)


def test_a_death_is_noticed_within_two_seconds() -> None:
    assert CONSTANTS == (1.0, 1.0)  # a look each second, and its event at once


def test_each_death_is_told_once(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(context, monkeypatch)

    async def work() -> None:
        hermes = Hermes(context)
        await hermes.start()
        write(context, "athena")
        apollo = write(context, "apollo")
        await looks.more()
        assert context.events == []
        os.unlink(apollo.socket)
        pid = ended_process()
        write(context, "rhetor", is_ci=False, pid=pid)
        await eventually(lambda: len(context.events) == 2)
        reason = f"its socket {apollo.socket} is gone"
        assert ("ci.apollo.died", {"reason": reason, "pid": os.getpid()}) in context.events
        reason = f"its process (pid {pid}) is gone"
        assert ("service.rhetor.died", {"reason": reason, "pid": pid}) in context.events
        await looks.more()
        assert len(context.events) == 2
        Path(apollo.socket).touch()  # it comes back, and dies again
        await looks.more()
        os.unlink(apollo.socket)
        await eventually(lambda: len(context.events) == 3)
        await hermes.stop()

    run(work())


def test_what_was_stopped_in_order_is_no_death(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(context, monkeypatch)

    async def work() -> None:
        hermes = Hermes(context)
        apollo = write(context, "apollo")
        await hermes.start()
        ended = dataclasses.replace(apollo, health=Health.ENDED, pid=ended_process())
        context.registry.write(ended)
        await looks.more()
        context.registry.remove("apollo", is_ci=True)
        await looks.more()
        assert [subject for subject, _ in context.events if "died" in subject] == []
        await hermes.stop()
        await hermes.stop()

    run(work())


def test_the_watch_survives_what_it_finds(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(context, monkeypatch)

    async def work() -> None:
        hermes = Hermes(context)
        await hermes.start()
        write(context, "apollo", pid=2**40)
        (context.paths.registry / "broken.json").write_text("[")
        await looks.more()
        await eventually(lambda: len(context.events) == 1)
        await hermes.stop()

    run(work())


# -- the bus -----------------------------------------------------------------------------------


def test_a_published_event_reaches_its_subscribers_with_its_time(context: StageContext) -> None:
    async def work() -> None:
        hermes = Hermes(context)
        async with client_of(hermes) as client:
            found: list[Event] = []

            async def follow(pattern: str) -> None:
                async with aclosing(client.stream(Subscribe(subject=pattern))) as items:
                    found.append(await anext(items))

            following = [asyncio.create_task(follow(pattern)) for pattern in ("ci.>", ">")]
            await eventually(lambda: len(hermes._bus._subscriptions) == 2)
            request = Publish(subject="ci.apollo.died", data={"reason": "?", "deep": [{"a": 1}]})
            assert await client.call(request) == Ack()
            await asyncio.gather(*following)
            (event,) = set(map(repr, found))
            assert (found[0].subject, found[0].at) == ("ci.apollo.died", 1001.0)
            assert found[0].data == {"reason": "?", "deep": [{"a": 1}]}, event
            await eventually(lambda: not hermes._bus._subscriptions)

    run(work())


def test_a_wrong_pattern_is_told(context: StageContext) -> None:
    async def work() -> None:
        async with client_of(Hermes(context)) as client:
            with pytest.raises(UsageError, match=r"'ci\.\.x' is not a pattern of subjects"):
                await client.call(Subscribe(subject="ci..x"))

    run(work())


def test_a_subscriber_that_does_not_read_loses_events_and_nobody_else_does(
    context: StageContext,
) -> None:
    count = 5000

    async def work() -> None:
        hermes = Hermes(context)
        async with client_of(hermes) as slow, client_of(hermes) as quick:
            slowly, quickly = slow.stream(Subscribe()), quick.stream(Subscribe())
            firsts = [asyncio.ensure_future(anext(items)) for items in (slowly, quickly)]
            await eventually(lambda: len(hermes._bus._subscriptions) == 2)
            seen = await follow_while_publishing(hermes, quickly, firsts[1], count)
            assert seen == count
            got, dropped = 1, (await firsts[0]).dropped
            while got + dropped < count:
                event = await anext(slowly)
                got, dropped = got + 1, dropped + event.dropped
            assert dropped > 0
            assert got + dropped == count
            await slowly.aclose()
            await quickly.aclose()

    run(work())


async def follow_while_publishing(
    hermes: Hermes,
    items: AsyncGenerator[Event, None],
    first: asyncio.Future[Event],
    count: int,
) -> int:
    """Publish and read in step; returns how many events were read, and that none was dropped."""
    seen = 0
    for number in range(count):
        await hermes.publish(Publish(subject="a", data={"n": number}))
        event = await first if number == 0 else await anext(items)
        assert (event.data["n"], event.dropped) == (number, 0)
        seen += 1
    return seen
