"""The door to all: each request finds its service, over as few connections as that takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backends.client.client import Client
from backends.client.tekton import Tekton
from backends.errors import CannotConnect, ConnectionLost, NotFound, Unauthorized
from backends.protocol.messages import Ack, Chat, Info, Piece, Publish
from backends.service.base import Gate
from backends.transport.address import Address
from backends.transport.base import Channel
from tests.backends.services import DONE, Parrot, StageContext, hold, repeat, running, serving
from tests.backends.stage import eventually, listening, run


def both(context: StageContext) -> tuple[Parrot, Parrot]:
    return Parrot(context, repeat, "apollo", is_ci=True), Parrot(context, repeat, "hermes")


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Every address that was connected to."""
    found: list[Address] = []
    connect = Client.connect

    async def note(address: Address, *options: Any, **more: Any) -> Client:
        found.append(address)
        await asyncio.sleep(0)
        return await connect(address, *options, **more)

    monkeypatch.setattr(Client, "connect", note)
    return found


def test_each_request_finds_its_service(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()
        async with running(context, *both(context)), Tekton() as tekton:
            assert (await tekton.call(Info(ci="Apollo-ci"))).name == "apollo"
            assert (await tekton.call(Info())).name == "hermes"
            assert await tekton.call(Publish(subject="a")) == Ack()
            items = [item async for item in tekton.chat("APOLLO", "hello")]
            assert items[-1] == DONE
            assert "".join(item.text for item in items if isinstance(item, Piece)) == "hello"
            with pytest.raises(NotFound, match="no CI named 'zeus'"):
                await tekton.call(Chat(ci="zeus"))

    run(work())


def test_requests_at_once_share_one_connection(tekton_home: Path, connects: list[Address]) -> None:
    async def work() -> None:
        context = StageContext()
        async with running(context, *both(context)), Tekton() as tekton:
            await asyncio.gather(*(tekton.call(Info(ci="apollo")) for _ in range(20)))
            await tekton.call(Info(ci="apollo"))
            assert len(connects) == 1
            await tekton.call(Info())
            assert len(connects) == 2

    run(work())


def test_a_lost_connection_is_made_anew_for_the_next_request(
    tekton_home: Path, connects: list[Address]
) -> None:
    async def work() -> None:
        context = StageContext()
        async with Tekton() as tekton:
            for _ in range(2):
                async with running(context, *both(context)):
                    assert (await tekton.call(Info(ci="apollo"))).name == "apollo"
                await eventually(lambda: not next(iter(tekton._clients.values())).is_open)
            assert len(connects) == 2
            with pytest.raises(CannotConnect, match="no hub is running"):
                await tekton.call(Info(ci="apollo"))

    run(work())


def test_a_service_that_does_not_answer_does_not_hold_up_the_others(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Client.connect
    is_held = asyncio.Event()

    async def slow(address: Address, *options: Any, **more: Any) -> Client:
        if "apollo" in address.path:
            await is_held.wait()
        return await connect(address, *options, **more)

    monkeypatch.setattr(Client, "connect", slow)

    async def work() -> None:
        context = StageContext()
        async with running(context, *both(context)), Tekton() as tekton:
            waiting = asyncio.create_task(tekton.call(Info(ci="apollo")))
            await asyncio.sleep(0)
            assert (await tekton.call(Info())).name == "hermes"
            is_held.set()
            assert (await waiting).name == "apollo"

    run(work())


def test_closing_a_stream_closes_what_answers_it(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()
        parrot = Parrot(context, hold)
        async with listening("unix", serving(parrot)) as address, Tekton(str(address)) as tekton:
            items = tekton.stream(Chat(prompt="a"))
            await anext(items)
            await items.aclose()
            await eventually(lambda: parrot.ended == ["a"])

    run(work())


# -- elsewhere ---------------------------------------------------------------------------------


async def is_right(token: str, who: str) -> bool:
    return token == "right"


@pytest.mark.parametrize("kind", ["unix", "tcp", "ws"])
def test_with_an_address_everything_goes_there(
    kind: str, tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tekton_home / "token").write_text("right\n")

    async def work() -> None:
        context = StageContext()
        here = Parrot(context, repeat, "apollo", is_ci=True)
        async with (
            running(context, here),
            listening(kind, serving(Parrot(context, repeat), Gate(is_right))) as address,
        ):
            async with Tekton(str(address), tekton_home / "token") as tekton:
                assert (await tekton.call(Info(ci="apollo"))).name == "parrot"
            monkeypatch.setenv("TEKTON_URL", str(address))
            monkeypatch.setenv("TEKTON_TOKEN_FILE", str(tekton_home / "token"))
            async with Tekton() as tekton:
                assert (await tekton.call(Info(ci="apollo"))).name == "parrot"
            async with Tekton(is_local=True) as tekton:
                assert (await tekton.call(Info(ci="apollo"))).name == "apollo"

    run(work())


def test_without_its_token_it_is_refused(tekton_home: Path) -> None:
    async def work() -> None:
        parrot = Parrot(StageContext(), repeat)
        async with listening("tcp", serving(parrot, Gate(is_right))) as address:
            async with Tekton(str(address)) as tekton:
                with pytest.raises(Unauthorized):
                    await tekton.call(Info())

    run(work())


def test_a_token_is_not_read_where_none_is_needed(tekton_home: Path) -> None:
    Tekton(token_file=tekton_home / "missing")
    with pytest.raises(NotFound, match="cannot read the token file"):
        Tekton("tcp://127.0.0.1:1", tekton_home / "missing")


def test_a_connection_lost_in_the_middle_is_told(tekton_home: Path) -> None:
    async def vanish(channel: Channel) -> None:
        await channel.receive()

    async def work() -> None:
        async with listening("unix", vanish) as address, Tekton(str(address)) as tekton:
            found: list[Any] = []
            with pytest.raises(ConnectionLost):
                async for item in tekton.stream(Chat()):
                    found.append(item)
            assert found == []

    run(work())
