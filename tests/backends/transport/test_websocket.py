"""WebSockets: ours with ours, and each of ours with the other side of the websockets package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.typing import Origin

from backends.config import Tcp
from backends.errors import CannotConnect, ConnectionLost, TimedOut, Unauthorized
from backends.protocol.framing import MAX_MESSAGE
from backends.service.guard import bearer_token, refusal
from backends.transport import websocket
from backends.transport.address import Address, parse_address
from backends.transport.base import Channel, Peer
from backends.transport.connect import open_channel
from backends.transport.websocket import WebSocketChannel
from tests.backends.stage import eventually, listening, run

TOKEN = "right"


async def echo(channel: Channel) -> None:
    with contextlib.suppress(ConnectionLost):
        while isinstance(message := await channel.receive(), bytes):
            await channel.send(message)


async def guard(request: Request, peer: Peer) -> tuple[int, str] | None:
    """What the hub does with a handshake."""
    assert not peer.is_trusted
    refused = refusal(request, Tcp(hosts=("tekton.test",), origins=("https://tekton.test",)))
    if refused is None and bearer_token(request) != TOKEN:
        return 401, "the token is missing or not valid"
    return refused


@contextlib.asynccontextmanager
async def theirs(address: Address, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(str(address), proxy=None, compression=None, **options) as client:
        yield client


# -- our server, their client ------------------------------------------------------------------


def test_their_client_talks_to_our_server() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address:
            async with theirs(address) as client:
                for text in ("{}", "ünï 😀", "x" * 1_000_000):
                    await client.send(text)
                    assert await client.recv() == text
                pong = await client.ping()
                assert await asyncio.wait_for(pong, 5) >= 0
            assert client.close_code == 1000

    run(work())


def test_frames_in_pieces_and_binary_ones_are_messages_too() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address, theirs(address) as client:
            await client.send(["{", '"a":', "1}"])
            assert await client.recv() == '{"a":1}'
            await client.send(b'{"b":2}')
            assert await client.recv() == '{"b":2}'
            await client.send([b"\xc3", b"\xa4", b""])
            assert await client.recv() == "ä"

    run(work())


def test_a_ping_between_the_pieces_of_a_message_is_answered_at_once() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address, theirs(address) as client:
            pongs = []

            async def pieces() -> AsyncIterator[str]:
                yield "a"
                pongs.append(await client.ping())
                await asyncio.wait_for(pongs[0], 5)
                yield "b"

            await client.send(pieces())
            assert await client.recv() == "ab"
            assert pongs

    run(work())


def test_their_compressing_client_is_served_without_compression() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address:
            async with connect(str(address), proxy=None) as client:
                assert client.protocol.extensions == []
                await client.send("hello")
                assert await client.recv() == "hello"

    run(work())


async def end_of(client: ClientConnection, act: Callable[[], Any]) -> int | None:
    """Do something wrong; return the code with which the server ends the connection."""
    with contextlib.suppress(ConnectionClosed):
        await act()
        await asyncio.wait_for(client.recv(), 10)
    await asyncio.wait_for(client.wait_closed(), 10)
    return client.close_code


@pytest.mark.parametrize("data", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_text_that_is_not_utf8_ends_with_1007(data: bytes) -> None:
    async def work() -> None:
        async with listening("ws", echo) as address:
            async with theirs(address) as client:
                assert await end_of(client, lambda: client.send(data, text=True)) == 1007
            async with theirs(address) as client:
                assert await end_of(client, lambda: client.send(data)) == 1007

    run(work())


@pytest.mark.parametrize("pieces", [1, 5])
def test_a_message_over_the_limit_ends_with_1009(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 100_000)

    async def work() -> None:
        async with listening("ws", echo) as address:
            async with theirs(address) as client:
                await client.send("x" * 100_000)
                assert len(await client.recv()) == 100_000
                parts = ["x" * (100_001 // pieces + 1)] * pieces
                assert await end_of(client, lambda: client.send(parts)) == 1009

    run(work())


def test_a_message_far_over_the_limit_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even its sender, who has not finished yet, is told why."""
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 1000)

    async def work() -> None:
        async with listening("ws", echo) as address:
            reader, writer = await handshake(address)
            writer.write(b"\x81\xff" + (20_000_000).to_bytes(8) + bytes(4) + bytes(20_000_000))
            end = await asyncio.wait_for(reader.read(), 10)
            assert end[:1] + end[2:4] == b"\x88" + (1009).to_bytes(2)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    run(work())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(Opcode.CONT, b"x", True)], 1002),
        ([(Opcode.TEXT, b"a", False), (Opcode.TEXT, b"b", True)], 1002),
        ([(Opcode.PING, b"x", False)], 1002),
        ([(Opcode.CLOSE, b"x", True)], 1002),
    ],
)
def test_frames_out_of_order_end_with_1002(
    frames: list[tuple[Opcode, bytes, bool]], code: int
) -> None:
    async def work() -> None:
        async with listening("ws", echo) as address, theirs(address) as client:

            async def send() -> None:
                for opcode, data, is_last in frames:
                    frame = Frame(opcode, data, is_last)
                    head = bytes([(is_last << 7) | opcode, 0x80 | len(data)]) + bytes(4)
                    raw = head + data if len(data) < 126 else frame.serialize(mask=False)
                    client.transport.write(raw)

            assert await end_of(client, send) == code

    run(work())


def test_unmasked_frames_of_a_client_are_refused() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address, theirs(address) as client:

            async def send() -> None:
                client.transport.write(b"\x81\x01x")

            assert await end_of(client, send) == 1002

    run(work())


def test_the_server_learns_of_a_goodbye_before_the_connection_ends() -> None:
    ended = asyncio.Event()

    async def serve_until_none(channel: Channel) -> None:
        assert await channel.receive() is None
        assert await channel.receive() is None
        ended.set()

    async def work() -> None:
        async with listening("ws", serve_until_none) as address:
            reader, writer = await handshake(address)
            writer.write(b"\x88\x82\0\0\0\0\x03\xe8")  # close, 1000; and then nothing
            await asyncio.wait_for(ended.wait(), 5)
            assert await asyncio.wait_for(reader.read(), 5) == b"\x88\x02\x03\xe8"
            writer.close()
            await writer.wait_closed()

    run(work())


def test_a_server_that_closes_says_goodbye() -> None:
    async def close_at_once(channel: Channel) -> None:
        await channel.send(b"bye")

    async def work() -> None:
        async with listening("ws", close_at_once) as address, theirs(address) as client:
            assert await client.recv() == "bye"
            with pytest.raises(ConnectionClosedOK):
                await client.recv()
            assert client.close_code == 1000

    run(work())


def test_a_client_that_does_not_say_goodbye_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "_LINGER_S", 0.05)

    async def close_at_once(channel: Channel) -> None:
        del channel

    async def work() -> None:
        async with listening("ws", close_at_once) as address:
            reader, writer = await handshake(address)
            assert await asyncio.wait_for(reader.read(), 5) == b"\x88\x02\x03\xe8"
            writer.close()
            await writer.wait_closed()

    run(work())


def test_who_is_still_sending_is_read_until_it_has_heard_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing with unread bytes would reset the connection, and the reason might be lost."""
    monkeypatch.setattr(websocket, "_LINGER_S", 10.0)

    def go_on_sending(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(request() + b"\x81\x01x")  # not masked
            found = b""
            while b"\x88" not in found:
                found += client.recv(65536)
            for _ in range(20):
                client.sendall(b"x" * 1000)
                time.sleep(0.002)  # a reset would need this long to come
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                found += data
            return found

    async def work() -> None:
        async with listening("ws", echo) as address:
            found = await asyncio.to_thread(go_on_sending, address.port)
            assert (1002).to_bytes(2) in found

    run(work())


# -- the handshake -----------------------------------------------------------------------------


def request(
    *lines: str, path: str = "/ws", host: str | None = "localhost", token: str | None = TOKEN
) -> bytes:
    fields = [
        f"GET {path} HTTP/1.1",
        *([f"Host: {host}"] if host is not None else []),
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        *([f"Authorization: Bearer {token}"] if token is not None else []),
        *lines,
    ]
    return "".join(f"{field}\r\n" for field in fields).encode("latin-1") + b"\r\n"


async def handshake(
    address: Address, data: bytes | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(data or request())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def answer_to(address: Address, data: bytes) -> bytes:
    """Return all that the server says before it closes."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(data)
    found = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return found


REFUSED = {
    "a wrong path": (request(path="/"), 404),
    "another wrong path": (request(path="/ws/../ws"), 404),
    "no token": (request(token=None), 401),
    "a wrong token": (request(token="wrong"), 401),
    "an empty token": (request(token=""), 401),
    "a token in the address": (request(path=f"/ws?token={TOKEN}", token=None), 401),
    "two tokens": (request(f"Authorization: Bearer {TOKEN}"), 401),
    "another scheme": (request(f"Authorization: Basic {TOKEN}", token=None), 401),
    "a page": (request("Origin: https://evil.com"), 403),
    "a page on this machine": (request("Origin: http://localhost:8003"), 403),
    "a page without a name": (request("Origin: null"), 403),
    "a page that looks alike": (request("Origin: https://tekton.test.evil.com"), 403),
    "an allowed page and another": (
        request("Origin: https://tekton.test", "Origin: https://evil.com"),
        403,
    ),
    "no host": (request(host=None), 421),
    "an empty host": (request(host=""), 421),
    "another host": (request(host="evil.com"), 421),
    "a host that begins like ours": (request(host="localhost.evil.com"), 421),
    "a host that begins like our address": (request(host="127.0.0.1.evil.com"), 421),
    "a host in brackets with a tail": (request(host="[::1].evil.com"), 421),
    "a host with two ports": (request(host="localhost:80:80"), 421),
    "a host with a name for a port": (request(host="localhost:evil"), 421),
    "two hosts": (request("Host: localhost"), 421),
    "two hosts, one foreign": (request("Host: evil.com"), 421),
    "a host and a user": (request(host="localhost@evil.com"), 421),
    "any address": (request(host="0.0.0.0"), 421),
    "bytes that are no text": (request(host="\xff"), 421),
    "a token that is no text": (request(token="\xff"), 401),
    "another method": (b"POST /ws HTTP/1.1\r\nHost: evil.com\r\n\r\n", 421),
    "a form": (request().replace(b"GET", b"POST"), 405),
    "a method that asks first": (request(token=None).replace(b"GET", b"OPTIONS"), 401),
    "no upgrade": (
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode(),
        426,
    ),
    "rubbish": (b"GET \xff\xfe\r\n\r\n", 400),
    "an address without end": (b"GET /" + b"x" * 100_000, 414),
    "a header without end": (b"GET /ws HTTP/1.1\r\nHost: " + b"x" * 100_000, 431),
    "headers without end": (b"GET /ws HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, 431),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_handshake_is_refused_before_it_is_accepted(case: str) -> None:
    data, status = REFUSED[case]

    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            answer = await answer_to(address, data)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode() if status else b"")
            assert bool(answer) == (status is not None)
            assert b"ccess-Control" not in answer
            assert (b"WWW-Authenticate: Bearer" in answer) == (status == 401)

    run(work())


@pytest.mark.parametrize(
    "data",
    [
        request(),
        request(host="localhost:8003"),
        request(host="LocalHost"),
        request(host="127.0.0.1:8003"),
        request(host="[::1]:8003"),
        request(host="[::1]"),
        request(host="tekton.test"),
        request("Origin: https://tekton.test"),
        request(path="/ws?from=here"),
        request(f"Authorization: bearer  {TOKEN} ", token=None),
    ],
)
def test_a_handshake_is_accepted(data: bytes) -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            _, writer = await handshake(address, data)
            writer.close()
            await writer.wait_closed()

    run(work())


def test_frames_that_come_with_the_handshake_are_not_served_before_it_is_accepted() -> None:
    frame = b"\x81\x81\0\0\0\0x"
    served: list[bytes] = []

    async def serve_all(channel: Channel) -> None:
        while isinstance(message := await channel.receive(), bytes):
            served.append(message)

    async def work() -> None:
        async with listening("ws", serve_all, guard) as address:
            refused = await answer_to(address, request(token="wrong") + frame)
            assert refused.startswith(b"HTTP/1.1 401 ")
            assert served == []
            _, writer = await handshake(address, request() + frame)
            writer.close()
            await writer.wait_closed()
            await eventually(lambda: served == [b"x"])

    run(work())


def test_a_handshake_in_single_bytes_is_understood() -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            for byte in request():
                writer.write(bytes([byte]))
                await writer.drain()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.close()
            await writer.wait_closed()

    run(work())


# -- our client, our server --------------------------------------------------------------------


def test_the_token_goes_into_the_handshake() -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            channel = await open_channel(address, TOKEN)
            await channel.send(b"{}")
            assert await channel.receive() == b"{}"
            await channel.close()

    run(work())


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_refused_token_is_unauthorized_with_the_reason(token: str | None) -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            with pytest.raises(Unauthorized) as raised:
                await open_channel(address, token)
            words = f"{address} refused the connection: the token is missing or not valid"
            assert raised.value.message == words
            assert "--token-file" in (raised.value.hint or "")

    run(work())


def test_another_path_is_not_a_tekton() -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            wrong = parse_address(f"ws://127.0.0.1:{address.port}/other")
            with pytest.raises(CannotConnect, match="does not answer as a Tekton WebSocket"):
                await open_channel(wrong, TOKEN)

    run(work())


# -- our client, their server ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def their_server(
    handler: Callable[[ServerConnection], Any], **options: Any
) -> AsyncIterator[Address]:
    server: Server
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield parse_address(f"ws://127.0.0.1:{port}/ws")


async def send_back(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_our_client_talks_to_their_server() -> None:
    async def work() -> None:
        async with their_server(send_back, ping_interval=0.02) as address:
            channel = await open_channel(address)
            for message in (b"{}", "ünï 😀".encode(), b"x" * 1_000_000):
                await channel.send(message)
                assert await channel.receive() == message
            waiting = asyncio.create_task(channel.receive())
            done, _ = await asyncio.wait([waiting], timeout=0.15)
            assert not done  # their pings were answered, or they would have closed
            waiting.cancel()
            await asyncio.wait([waiting])
            await channel.close()

    run(work())


def test_our_client_says_goodbye() -> None:
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async def work() -> None:
        async with their_server(handler) as address:
            channel = await open_channel(address)
            await channel.close()
            await eventually(lambda: codes == [1000])

    run(work())


def test_our_client_hears_their_goodbye() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("last words")

    async def work() -> None:
        async with their_server(handler) as address:
            channel = await open_channel(address)
            assert [await channel.receive() for _ in range(3)] == [b"last words", None, None]
            with pytest.raises(ConnectionLost, match="the connection is closed"):
                await channel.send(b"{}")
            await channel.close()

    run(work())


def test_our_client_is_told_that_its_message_was_too_large() -> None:
    async def work() -> None:
        async with their_server(send_back, max_size=1000) as address:
            channel = await open_channel(address)
            await channel.send(b"x" * 2000)
            assert await channel.receive() is None
            with pytest.raises(ConnectionLost, match="a message was over its limit"):
                await channel.send(b"{}")
            await channel.close()

    run(work())


def test_our_client_refuses_a_message_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 1000)
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * 2000)
        await connection.wait_closed()
        codes.append(connection.close_code)

    async def work() -> None:
        async with their_server(handler) as address:
            channel = await open_channel(address)
            assert await channel.receive() is None
            await channel.close()
            await eventually(lambda: codes == [1009])

    run(work())


def test_the_limit_is_that_of_every_transport() -> None:
    assert vars(websocket)["MAX_MESSAGE"] == MAX_MESSAGE


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP 200"),
        (b"HTTP/1.1 429 Too Many\r\nContent-Length: 5\r\n\r\nslow\n", "slow"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "Forbidden"),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer as a Tekton WebSocket"),
        (b"", "does not answer as a Tekton WebSocket"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "does not answer as a Tekton WebSocket"),
    ],
)
def test_a_server_that_is_none_is_told(said: bytes, reason: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(CannotConnect, match=reason):
                await open_channel(parse_address(f"ws://127.0.0.1:{port}/ws"))

    run(work())


def test_a_server_that_never_answers_is_given_up() -> None:
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            address = parse_address(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
            with pytest.raises(TimedOut, match=r"no connection to ws://.* within 0\.1 s"):
                await open_channel(address, timeout_s=0.1)
            await asyncio.wait_for(gone.wait(), 5)

    run(work())


def test_their_client_sees_our_refusals_as_such() -> None:
    async def work() -> None:
        async with listening("ws", echo, guard) as address:
            with pytest.raises(InvalidStatus) as raised:
                async with theirs(address, origin=Origin("https://evil.com")):
                    pass
            assert raised.value.response.status_code == 403

    run(work())


def test_a_reader_that_never_reads_is_not_written_to_without_end() -> None:
    """Pings are answered within the same bound as messages."""

    async def work() -> None:
        async with listening("ws", echo) as address:
            reader, writer = await handshake(address)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            ping = b"\x89\xfd" + bytes(4) + os.urandom(125)
            sent = 0
            while sent < 64_000_000:
                writer.write(ping * 1000)
                sent += len(ping) * 1000
                try:
                    await asyncio.wait_for(writer.drain(), 0.3)
                except TimeoutError:
                    break
            assert sent < 64_000_000
            writer.transport.abort()
            await asyncio.wait([asyncio.ensure_future(reader.read())])

    run(work())


def test_a_channel_is_typed_by_its_protocol() -> None:
    async def work() -> None:
        async with listening("ws", echo) as address:
            channel = await open_channel(address)
            assert isinstance(channel, WebSocketChannel)
            await channel.close()

    run(work())
