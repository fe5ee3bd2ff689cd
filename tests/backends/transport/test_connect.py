"""Connecting: why it failed is always told as an error of ours."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from backends.errors import CannotConnect, TimedOut
from backends.transport import connect
from backends.transport.address import Address, parse_address
from backends.transport.connect import open_channel
from backends.transport.stream import StreamChannel
from tests.backends.stage import run


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_a_port_where_nobody_listens_is_told(scheme: str) -> None:
    address = parse_address(f"{scheme}://127.0.0.1:{free_port()}")
    with pytest.raises(CannotConnect) as raised:
        run(open_channel(address))
    assert raised.value.message == f"cannot connect to {address}: Connection refused"
    assert raised.value.hint is None


@pytest.mark.parametrize("kind", ["missing", "dead", "file", "folder"])
def test_a_socket_where_nobody_listens_is_told(tekton_home: Path, kind: str) -> None:
    path = tekton_home / "x.sock"
    reason = "No such file or directory" if kind == "missing" else "Connection refused"
    if kind == "dead":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(CannotConnect) as raised:
        run(open_channel(Address("unix", path=str(path))))
    assert raised.value.message == f"cannot connect to unix:{path}: {reason}"
    assert raised.value.hint == "`tekton status` shows what runs"


@pytest.mark.parametrize(
    "address",
    [
        Address("unix", path="/" + "x" * 200),
        Address("unix", path="/a\0b"),
        Address("tcp", host="a..b", port=1),
        Address("tcp", host="x" * 64, port=1),
        Address("ws", "/ws", "a..b", 1),
    ],
    ids=lambda address: address.scheme,
)
def test_an_address_that_cannot_be_is_an_error_of_ours(address: Address) -> None:
    with pytest.raises(CannotConnect, match="cannot connect to"):
        run(open_channel(address))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_the_time_until_a_connection_is_bounded(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    monkeypatch.setattr(connect, "open_unix", never)
    address = Address(scheme, path="/x", host="127.0.0.1", port=1)
    with pytest.raises(TimedOut) as raised:
        run(open_channel(address, timeout_s=0.02))
    assert raised.value.message == f"no connection to {address} within 0.02 s"


def test_lines_that_come_together_may_be_read_together(tekton_home: Path) -> None:
    """Who only draws does not need every piece as it comes."""

    async def work() -> None:
        async def send_many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for number in range(200):
                writer.write(b"%d\n" % number)
                await asyncio.sleep(0)
            writer.close()

        server = await asyncio.start_unix_server(send_many, f"{tekton_home}/x.sock")
        channel = await open_channel(Address("unix", path=f"{tekton_home}/x.sock"))
        assert isinstance(channel, StreamChannel)
        channel.gather_s = 0.001
        assert [await channel.receive() for _ in range(200)] == [b"%d" % n for n in range(200)]
        assert await channel.receive() is None
        await channel.close()
        server.close()

    run(work())


def test_a_cancel_is_not_lost_to_a_connection_that_fails_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async def fail(path: str) -> None:
            connecting.cancel()
            raise FileNotFoundError

        async def connect_and_go_on() -> None:
            with pytest.raises(CannotConnect):
                await open_channel(Address("unix", path="/x"))
            await asyncio.sleep(0)

        monkeypatch.setattr(connect, "open_unix", fail)
        connecting = asyncio.create_task(connect_and_go_on())
        await asyncio.wait([connecting])
        assert connecting.cancelled()

    run(work())
