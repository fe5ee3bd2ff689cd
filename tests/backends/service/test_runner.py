"""Running services: sockets and records while they run, and nothing of them afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from backends.client.client import Client
from backends.config import Config, Tcp
from backends.errors import AlreadyRunning, ConnectionLost, StorageError, TektonError
from backends.protocol.messages import Chat, Health, Info, Piece, ServiceInfo
from backends.service.base import Gate
from backends.service.runner import Runner
from backends.transport import stream
from backends.transport.address import Address, parse_address
from backends.transport.connect import open_channel
from backends.transport.memory import memory_pair
from tests.backends.services import OPEN, Parrot, StageContext, hold, nobody, repeat, running
from tests.backends.stage import allow, eventually, run


@pytest.fixture
def context(tekton_home: Path) -> StageContext:
    found = StageContext()
    found.paths.runtime.mkdir(mode=0o700)
    return found


def socket_of(parrot: Parrot, context: StageContext) -> Address:
    return Address("unix", path=str(context.paths.socket(parrot.name, parrot.is_ci)))


def test_a_running_service_has_a_socket_and_a_record(context: StageContext) -> None:
    async def work() -> None:
        parrot = Parrot(context, repeat, is_ci=True)
        async with running(context, parrot) as runner:
            record = context.registry.find("parrot", is_ci=True)
            assert record is not None
            assert (record.pid, record.socket) == (os.getpid(), socket_of(parrot, context).path)
            assert (record.health, record.is_ci, record.is_service) == (Health.ALIVE, True, True)
            assert record.started_at > 1000
            assert record.urls == ()
            assert runner.services == [parrot]
            assert runner.find("parrot", is_ci=True) is parrot
            assert runner.find("parrot", is_ci=False) is None
            async with await Client.connect(socket_of(parrot, context)) as client:
                assert await client.call(Info()) == record
        assert context.registry.find("parrot", is_ci=True) is None
        assert not os.path.exists(socket_of(parrot, context).path)
        assert runner.services == []
        subjects = [subject for subject, _ in context.events]
        assert subjects == ["ci.parrot.started", "ci.parrot.stopped"]
        assert context.events[0][1] == {"pid": os.getpid()}

    run(work())


def test_services_stop_in_the_reverse_order_of_their_starts(context: StageContext) -> None:
    async def work() -> None:
        names = ["a", "b", "c"]
        async with running(context, *(Parrot(context, repeat, name) for name in names)):
            context.events.clear()
        stopped = [subject for subject, _ in context.events]
        assert stopped == ["service.c.stopped", "service.b.stopped", "service.a.stopped"]

    run(work())


def test_a_record_that_is_left_tells_when_the_service_ended(context: StageContext) -> None:
    async def work() -> None:
        async with running(context, Parrot(context, repeat)) as runner:
            await runner.stop_all(leaves_records=True)
        record = context.registry.find("parrot", is_ci=False)
        assert record is not None
        assert (record.health, record.reason) == (Health.ENDED, "it was stopped")
        assert record.ended_at is not None
        assert record.ended_at > record.started_at

    run(work())


@pytest.mark.parametrize("leaves_record", [False, True])
def test_a_service_that_is_stopping_never_looks_dead(
    context: StageContext, leaves_record: bool
) -> None:
    seen: list[ServiceInfo] = []

    class Slow(Parrot):
        async def stop(self) -> None:
            seen.extend(context.registry.live_records())

    async def work() -> None:
        async with running(context, Slow(context, repeat)) as runner:
            await runner.stop_all(leaves_record)

    run(work())
    assert [record.health for record in seen] == ([Health.ENDED] if leaves_record else [])


def test_the_record_of_a_successor_is_left_alone(context: StageContext) -> None:
    async def work() -> None:
        parrot = Parrot(context, repeat)
        async with running(context, parrot):
            other = dataclasses.replace(parrot.record, pid=1)
            context.registry.write(other)
        assert context.registry.find("parrot", is_ci=False) == other

    run(work())


@pytest.mark.parametrize("has_socket", [False, True])
def test_open_requests_end_when_their_service_does(context: StageContext, has_socket: bool) -> None:
    async def work() -> None:
        parrot = Parrot(context, hold)
        async with running(context, parrot) as runner:
            if has_socket:
                client = await Client.connect(socket_of(parrot, context))
            else:
                near, far = memory_pair()
                runner.serve(parrot, far)
                client = Client(near)
            items = client.stream(Chat(prompt="a"))
            assert await anext(items) == Piece(text="a")
            await runner.stop(parrot)
            assert parrot.ended == ["a"]
            with pytest.raises(ConnectionLost, match="parrot was stopped before its answer"):
                await anext(items)
            await eventually(lambda: not client.is_open)
            await client.close()

    run(work())


def test_stopping_with_open_connections_leaves_no_complaints(
    context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        parrot = Parrot(context, hold)
        async with running(context, parrot) as runner:
            clients = [await Client.connect(socket_of(parrot, context)) for _ in range(3)]
            asking = [asyncio.create_task(client.call(Chat())) for client in clients]
            await eventually(lambda: len(parrot.begun) == 3)
            await runner.stop(parrot)
            await asyncio.gather(*asking, return_exceptions=True)
            for client in clients:
                await client.close()

    run(work())
    assert caplog.text == ""


def test_a_service_that_cannot_start_leaves_nothing(context: StageContext) -> None:
    async def work() -> None:
        stopped: list[str] = []

        class Broken(Parrot):
            async def describe(self) -> Any:
                raise StorageError("broken")

            async def stop(self) -> None:
                stopped.append(self.name)

        broken = Broken(context, repeat)
        runner = Runner(context, OPEN, allow)
        with pytest.raises(StorageError, match="broken"):
            await runner.start(broken)
        assert stopped == ["parrot"]
        assert runner.services == []
        assert context.registry.find("parrot", is_ci=False) is None
        assert not os.path.exists(socket_of(broken, context).path)
        assert context.events == []

    run(work())


def test_a_name_that_is_served_already_is_not_taken_over(context: StageContext) -> None:
    async def work() -> None:
        parrot = Parrot(context, repeat)
        async with running(context, parrot):
            with pytest.raises(AlreadyRunning):
                await Runner(context, OPEN, allow).start(Parrot(context, hold))
            async with await Client.connect(socket_of(parrot, context)) as client:
                assert await client.call(Info()) == parrot.record

    run(work())


def test_one_that_does_not_stop_well_does_not_keep_the_others(
    context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Parrot):
        async def stop(self) -> None:
            raise ZeroDivisionError

    async def work() -> None:
        async with running(context, Parrot(context, repeat, "a"), Stubborn(context, repeat, "b")):
            pass
        assert context.registry.find("a", is_ci=False) is None
        assert not os.path.exists(context.paths.socket("a", is_ci=False))

    run(work())
    assert "b did not stop well" in caplog.text


# -- who is let in -----------------------------------------------------------------------------


def test_a_process_of_another_user_is_not_served(
    context: StageContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        parrot = Parrot(context, repeat)
        async with running(context, parrot):
            monkeypatch.setattr(stream, "_credentials", lambda found: (os.getuid() + 1, 4321))
            async with await Client.connect(socket_of(parrot, context)) as client:
                with pytest.raises(ConnectionLost):
                    await client.call(Chat(prompt="a"))
        assert parrot.begun == []

    run(work())
    assert "refused a process of another user (unix pid 4321)" in caplog.text


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_a_tcp_port_is_opened_only_where_the_configuration_says_so(
    context: StageContext, kind: str
) -> None:
    async def is_right(token: str, who: str) -> bool:
        return token == "right"

    async def work() -> None:
        tcp = Tcp(enabled=True, ports={"parrot": 0})
        context.config = Config(tcp=tcp)
        parrot = Parrot(context, repeat)
        runner = Runner(context, Gate(is_right), allow)
        await runner.start(parrot)
        record = context.registry.find("parrot", is_ci=False)
        assert record is not None
        (url,) = record.urls
        address = parse_address(url)
        assert (address.scheme, address.host) == ("tcp", "127.0.0.1")
        if kind == "ws":
            address = parse_address(f"ws://127.0.0.1:{address.port}/ws")
        async with await Client.connect(address, "right") as client:
            assert (await client.call(Info())).name == "parrot"
        await runner.stop_all()

    run(work())


def test_a_service_without_a_port_listens_on_its_unix_socket_alone(context: StageContext) -> None:
    async def work() -> None:
        context.config = Config(tcp=Tcp(enabled=True))
        async with running(context, Parrot(context, repeat)):
            record = context.registry.find("parrot", is_ci=False)
            assert record is not None
            assert record.urls == ()

    run(work())


def test_a_port_that_is_taken_keeps_the_service_from_starting(context: StageContext) -> None:
    async def work() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        context.config = Config(tcp=Tcp(enabled=True, ports={"parrot": port}))
        parrot = Parrot(context, repeat)
        with pytest.raises(TektonError, match="Address already in use"):
            await Runner(context, OPEN, allow).start(parrot)
        assert not os.path.exists(socket_of(parrot, context).path)
        server.close()

    run(work())


def test_the_ci_rhetor_does_not_take_the_port_of_the_gateway(context: StageContext) -> None:
    class Persona(Parrot):
        is_service = False

    async def work() -> None:
        context.config = Config(tcp=Tcp(enabled=True, ports={"rhetor": 0, "parrot-ci": 0}))
        async with running(
            context,
            Parrot(context, repeat, "rhetor"),
            Persona(context, repeat, "rhetor", is_ci=True),
        ):
            gateway = context.registry.find("rhetor", is_ci=False)
            persona = context.registry.find("rhetor", is_ci=True)
            assert gateway is not None
            assert persona is not None
            assert (len(gateway.urls), len(persona.urls)) == (1, 0)

    run(work())


def test_a_channel_of_this_process_is_closed_when_its_session_ends(context: StageContext) -> None:
    async def work() -> None:
        parrot = Parrot(context, repeat)
        async with running(context, parrot) as runner:
            near, far = memory_pair()
            session = runner.serve(parrot, far)
            async with Client(near) as client:
                assert (await client.call(Info())).name == "parrot"
            await asyncio.wait_for(session, 5)

    run(work())


def test_old_lines_over_tcp_need_the_switch(context: StageContext) -> None:
    async def work() -> None:
        context.config = Config(tcp=Tcp(enabled=True, ports={"parrot": 0}))
        for is_allowed in (False, True):

            class Old(Parrot):
                async def legacy(self, line: object) -> dict[str, str]:
                    return {"type": "pong"}

            runner = Runner(context, Gate(nobody, allows_legacy=is_allowed), allow)
            parrot = Old(context, repeat)
            await runner.start(parrot)
            channel = await open_channel(parse_address(parrot.record.urls[0]))
            await channel.send(b'{"type":"ping"}')
            assert (await channel.receive() == b'{"type": "pong"}') is is_allowed
            await channel.close()
            await runner.stop_all()

    run(work())
