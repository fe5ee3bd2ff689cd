"""What every channel does, whatever carries it."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from backends.errors import ConnectionLost
from backends.transport.base import Channel
from backends.transport.stream import StreamChannel
from tests.backends.stage import SOCKETS, TRANSPORTS, channel_pair, eventually, is_stuck, run

every_transport = pytest.mark.parametrize("kind", TRANSPORTS)
every_socket = pytest.mark.parametrize("kind", SOCKETS)

MESSAGES = [b"{}", b'"hello"', b"x" * 70_000, "ünï 😀".encode(), b"\x7f\t", b"y" * 3_000_000, b"5"]


async def send_all(channel: Channel, messages: list[bytes]) -> None:
    for message in messages:
        await channel.send(message)


@every_transport
def test_messages_arrive_whole_and_in_order_both_ways_at_once(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as ends:
            sending = [asyncio.create_task(send_all(end, MESSAGES * 3)) for end in ends]
            for end in ends:
                assert [await end.receive() for _ in MESSAGES * 3] == MESSAGES * 3
            await asyncio.gather(*sending)

    run(work())


@every_transport
def test_many_senders_do_not_mix_their_messages(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            messages = [f'"{number}"'.encode() * random.Random(number).randrange(1, 3000)
                        for number in range(300)]  # fmt: skip
            sending = [asyncio.create_task(client.send(message)) for message in messages]
            found = [await server.receive() for _ in messages]
            assert sorted(map(bytes, found)) == sorted(messages)  # type: ignore[arg-type]
            await asyncio.gather(*sending)

    run(work())


@every_transport
def test_what_was_sent_before_the_end_still_arrives(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            await send_all(client, [b"1", b"2"])
            closing = asyncio.create_task(client.close())
            assert [await server.receive() for _ in range(4)] == [b"1", b"2", None, None]
            await server.close()
            await closing

    run(work())


@every_socket
def test_closing_waits_for_what_is_still_to_be_read(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            sending = asyncio.create_task(client.send(b"x" * 15_000_000))
            assert await is_stuck(asyncio.shield(sending))
            closing = asyncio.create_task(client.close())
            assert await is_stuck(asyncio.shield(closing))
            assert await server.receive() == b"x" * 15_000_000
            assert await server.receive() is None
            await server.close()
            await asyncio.gather(sending, closing)

    run(work())


@every_transport
def test_an_end_that_waits_learns_that_the_other_is_gone(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            waiting = asyncio.create_task(server.receive())
            assert await is_stuck(asyncio.shield(waiting))
            closing = asyncio.create_task(client.close())
            assert await waiting is None
            assert await server.receive() is None
            await asyncio.wait_for(server.gone(), 5)
            await server.close()
            await closing

    run(work())


@every_transport
def test_closing_twice_is_closing(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as ends:
            for _ in range(2):
                await asyncio.gather(*(end.close() for end in ends))

    run(work())


@every_transport
def test_sending_to_a_peer_that_is_gone_is_an_error(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            await asyncio.gather(server.close(), client.receive())
            with pytest.raises(ConnectionLost):
                for _ in range(1000):
                    await client.send(b"x" * 10_000)

    run(work())


@every_transport
def test_sending_after_closing_is_an_error(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as ends:
            await asyncio.gather(*(end.close() for end in ends))
            for end in ends:
                with pytest.raises(ConnectionLost):
                    await end.send(b"x")

    run(work())


@every_transport
def test_a_sender_waits_for_a_reader_that_does_not_read(kind: str) -> None:
    """What waits is bounded: queues and socket buffers, not memory without end."""

    async def work() -> None:
        message, sent = b"x" * 100_000, 0

        async def send(channel: Channel) -> None:
            nonlocal sent
            for _ in range(300):
                await channel.send(message)
                sent += 1

        async with channel_pair(kind) as (client, server):
            sending = asyncio.create_task(send(client))
            assert await is_stuck(asyncio.shield(sending))
            assert sent < 120
            for _ in range(300):
                assert await server.receive() == message
            await sending

    run(work())


@every_transport
def test_a_receiver_that_gives_up_loses_nothing(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            for number in range(20):
                waiting = asyncio.create_task(server.receive())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
                assert waiting.cancelled()
                await client.send(b"%d" % number)
                assert await server.receive() == b"%d" % number

    run(work())


@every_socket
def test_an_end_that_is_closed_while_nobody_reads_can_be_given_up(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            sending = asyncio.create_task(client.send(b"x" * 15_000_000))
            assert await is_stuck(asyncio.shield(sending))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.close()
            assert await server.receive() is None
            await asyncio.wait([sending])

    run(work())


@every_socket
def test_two_ends_that_send_much_before_they_read_do_not_wait_for_each_other(kind: str) -> None:
    """As when an answer and the next long prompt meet."""

    async def work() -> None:
        async with channel_pair(kind) as ends:
            for end in ends:
                found = end._writer.get_extra_info("socket")  # type: ignore[attr-defined]
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    found.setsockopt(socket.SOL_SOCKET, option, 65536)
            sending = [asyncio.create_task(end.send(b"x" * 10_000_000)) for end in ends]
            assert await is_stuck(asyncio.shield(asyncio.gather(*sending)))
            found = await asyncio.gather(*(end.receive() for end in ends))
            assert [len(message or b"") for message in found] == [10_000_000] * 2
            await asyncio.gather(*sending)

    run(work())


@every_transport
def test_peers_are_known_by_the_way_they_came(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            assert client.peer.is_trusted
            assert server.peer.is_trusted == (kind in ("memory", "unix"))
            assert server.peer.is_local == (kind in ("memory", "unix"))
            assert server.peer.has_shown_token == (kind == "ws")

    run(work())


@every_socket
def test_a_peer_that_vanishes_is_noticed_by_who_waits(kind: str) -> None:
    async def work() -> None:
        async with channel_pair(kind) as (client, server):
            client._writer.transport.abort()  # type: ignore[attr-defined]
            assert await server.receive() is None
            await eventually(lambda: server._reader.at_eof())  # type: ignore[attr-defined]

    run(work())


def test_a_reader_that_only_draws_reads_together_what_arrives() -> None:
    async def work() -> None:
        async with channel_pair("unix") as (client, server):
            assert isinstance(client, StreamChannel)
            client.gather_s = 0.05
            reads = []
            read = client._reader.read

            async def counted(size: int) -> bytes:
                reads.append(size)
                return await read(size)

            client._reader.read = counted  # type: ignore[method-assign, assignment]
            numbers = [str(number).encode() for number in range(200)]
            for number in numbers[:20]:
                await server.send(number)
                assert await client.receive() == number

            async def receive_all() -> list[object]:
                return [await client.receive() for _ in numbers[20:]]

            receiving = asyncio.create_task(receive_all())
            for number in numbers[20:]:
                await server.send(number)
                await asyncio.sleep(0)  # each is sent on its own
            assert await receiving == numbers[20:]
            assert len(reads) < 100

    run(work())
