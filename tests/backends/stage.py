"""What tests of connections stand on: a loop that must be left clean, and pairs of channels."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backends.transport.address import Address, parse_address
from backends.transport.base import Channel, Peer
from backends.transport.connect import open_channel
from backends.transport.listener import OnChannel, listen_tcp, listen_unix
from backends.transport.memory import memory_pair

if TYPE_CHECKING:
    from websockets.http11 import Request

T = TypeVar("T")

TRANSPORTS = ("memory", "unix", "tcp", "ws")
SOCKETS = ("unix", "tcp", "ws")


def run(work: Coroutine[Any, Any, T], seconds: float = 30) -> T:
    """Run to the end within the time; whatever is still under way then is a failure."""

    async def main() -> T:
        async with asyncio.timeout(seconds):
            found = await work
        await nothing_is_left()
        return found

    found = asyncio.run(main())
    gc.collect(1)  # a socket that nobody closed warns now, and so fails this test
    return found


async def nothing_is_left() -> None:
    """Wait until every other task has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    while others:
        _, pending = await asyncio.wait(others, timeout=5)
        assert not pending, f"still under way: {pending}"
        others = asyncio.all_tasks() - {asyncio.current_task()}


async def eventually(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until something holds that announces nothing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"never: {condition}"
        await asyncio.sleep(0.002)


async def is_still(count: Callable[[], int]) -> None:
    """Wait until a count that others move stands still."""
    before = -1
    while before != count():
        before = count()
        await asyncio.sleep(0.05)


async def is_stuck(work: Awaitable[Any]) -> bool:
    """Tell whether something does not get on, though everything else has had its turn."""
    done, _ = await asyncio.wait([asyncio.ensure_future(work)], timeout=0.1)
    return not done


async def allow(request: Request, peer: Peer) -> tuple[int, str] | None:
    """Let every handshake in."""
    del request, peer
    return None


@contextlib.asynccontextmanager
async def listening(kind: str, on_channel: OnChannel, guard: Any = allow) -> AsyncIterator[Address]:
    """Listen in the way of a transport; yields where."""
    if kind == "unix":
        with tempfile.TemporaryDirectory(prefix="tekton-", dir="/tmp") as folder:
            path = Path(folder) / "x.sock"
            listener = await listen_unix(path, on_channel)
            try:
                yield Address("unix", path=str(path))
            finally:
                await listener.close()
        return
    listener = await listen_tcp("127.0.0.1", 0, on_channel, guard)
    address = parse_address(listener.where)
    try:
        yield address if kind == "tcp" else parse_address(f"ws://{address.host}:{address.port}/ws")
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def channel_pair(kind: str) -> AsyncIterator[tuple[Channel, Channel]]:
    """Give two ends of one connection, the client's first; both are closed afterwards."""
    if kind == "memory":
        near, far = memory_pair()
        yield near, far
        await near.close()
        return
    accepted: asyncio.Queue[Channel] = asyncio.Queue()
    is_over = asyncio.Event()

    async def on_channel(channel: Channel) -> None:
        accepted.put_nowait(channel)
        await is_over.wait()

    async with listening(kind, on_channel) as address:
        client = await open_channel(address)
        try:
            if kind == "tcp":
                await client.send(b'"first"')  # it is not known before what the client speaks
            server = await accepted.get()
            if kind == "tcp":
                assert await server.receive() == b'"first"'
                server.let_in()
            yield client, server
        finally:
            is_over.set()
            await client.close()
