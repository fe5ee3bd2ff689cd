"""Listening: who is let in, what is replaced, and that nobody holds up the others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.errors import AlreadyRunning, ConnectionLost, StorageError, TektonError
from backends.transport import listener as listener_module
from backends.transport import stream
from backends.transport.base import Channel
from backends.transport.connect import open_channel
from backends.transport.listener import is_listening, listen_tcp, listen_unix
from tests.backends.stage import allow, channel_pair, eventually, listening, run


async def echo(channel: Channel) -> None:
    """Send back what comes until the peer sends no more, or is gone."""
    with contextlib.suppress(ConnectionLost):
        while isinstance(message := await channel.receive(), bytes):
            await channel.send(message)


async def ignore(channel: Channel) -> None:
    await channel.receive()


def raw_unix(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(os.fspath(path))
    client.settimeout(10)
    return client


# -- Unix --------------------------------------------------------------------------------------


def test_a_unix_socket_is_this_users_alone_from_the_beginning(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"

    async def work() -> None:
        before = os.umask(0)
        try:
            listener = await listen_unix(path, echo)
            assert os.umask(0) == 0
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o600
        assert listener.where == f"unix:{path}"
        await listener.close()
        assert not path.exists()
        await listener.close()

    run(work())


def test_the_socket_of_a_dead_process_is_replaced(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    assert path.is_socket()
    assert not is_listening(path)

    async def work() -> None:
        listener = await listen_unix(path, echo)
        client = await asyncio.to_thread(raw_unix, path)
        await asyncio.to_thread(client.sendall, b"hello\n")
        assert await asyncio.to_thread(client.recv, 100) == b"hello\n"
        client.close()
        await listener.close()

    run(work())


def test_the_socket_of_a_live_process_is_left_alone(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"

    async def work() -> None:
        first = await listen_unix(path, echo)
        assert is_listening(path)
        with pytest.raises(AlreadyRunning, match=f"another process listens on {path}"):
            await listen_unix(path, echo)
        assert is_listening(path)
        await first.close()

    run(work())


def test_a_socket_with_a_full_backlog_is_live(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(os.fspath(path))
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(os.fspath(path))
        assert is_listening(path)
        for client in waiting:
            client.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_not_removed(tekton_home: Path, kind: str) -> None:
    path = tekton_home / "x.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        (tekton_home / "target").write_text("precious")
        path.symlink_to(tekton_home / "target")
    with pytest.raises(TektonError, match=r"x\.sock is in the way: it is not a socket"):
        run(listen_unix(path, echo))
    assert path.exists()


def test_the_socket_of_somebody_else_is_not_removed(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tekton_home / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(TektonError, match="belongs to somebody else"):
        run(listen_unix(path, echo))
    assert path.exists()


def test_closing_leaves_the_socket_of_a_successor(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"

    async def work() -> None:
        first = await listen_unix(path, echo)
        path.unlink()
        successor = await listen_unix(path, echo)
        await first.close()
        assert is_listening(path)
        await successor.close()

    run(work())


def test_two_hundred_connect_at_once(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < 600:
        pytest.skip(f"only {limit} files may be open")

    async def work() -> None:
        listener = await listen_unix(path, echo)
        clients = []
        for _ in range(200):  # the loop accepts none of them before all have come
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect(os.fspath(path))
            clients.append(client)
        loop = asyncio.get_running_loop()
        for number, client in enumerate(clients):
            await loop.sock_sendall(client, b"%d\n" % number)
        for number, client in enumerate(clients):
            assert await loop.sock_recv(client, 100) == b"%d\n" % number
            client.close()
        await listener.close()

    run(work())


def test_a_peer_that_only_stopped_sending_still_gets_its_answer(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"

    async def serve(channel: Channel) -> None:
        messages = []
        while (message := await channel.receive()) is not None:
            messages.append(message)
        await channel.send(b"got %d" % len(messages))

    async def work() -> None:
        listener = await listen_unix(path, serve)
        with await asyncio.to_thread(raw_unix, path) as client:
            client.sendall(b"1\n2\n3\n")
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(client.recv, 100) == b"got 3\n"
            assert await asyncio.to_thread(client.recv, 100) == b""
        await listener.close()

    run(work())


def test_gone_is_told_only_once_the_peer_is_gone_altogether(tekton_home: Path) -> None:
    async def work() -> None:
        async with channel_pair("unix") as (client, server):
            client._writer.write_eof()  # type: ignore[attr-defined]
            assert await server.receive() is None
            gone = asyncio.create_task(server.gone())
            done, _ = await asyncio.wait([gone], timeout=0.25)
            assert not done
            await client.close()
            await asyncio.wait_for(gone, 5)

    run(work())


def test_a_channel_that_is_closed_here_is_gone(tekton_home: Path) -> None:
    async def work() -> None:
        async with channel_pair("unix") as (client, _):
            await client.close()
            await asyncio.wait_for(client.gone(), 5)

    run(work())


# -- who is at the other end -------------------------------------------------------------------


def test_a_process_of_this_user_is_trusted_and_known_by_its_id(tekton_home: Path) -> None:
    async def work() -> None:
        async with channel_pair("unix") as (_, server):
            assert server.peer.is_trusted
            if sys.platform == "linux":
                assert server.peer.where == f"unix pid {os.getpid()}"

    run(work())


@pytest.mark.parametrize("offset", [1, -1, 12345])
def test_a_process_of_another_user_is_not_trusted(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    other = abs(os.getuid() + offset)
    monkeypatch.setattr(stream, "_credentials", lambda found: (other, 4321))

    async def work() -> None:
        async with channel_pair("unix") as (_, server):
            assert not server.peer.is_trusted
            assert server.peer.is_local
            assert server.peer.where == "unix pid 4321"

    run(work())


def test_root_is_trusted_by_everybody(tekton_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_credentials", lambda found: (0, 1))

    async def work() -> None:
        async with channel_pair("unix") as (_, server):
            assert server.peer.is_trusted

    run(work())


AS_NOBODY = """
import os, socket, sys
channel = socket.socket(socket.AF_UNIX)
os.setgid(65534)
os.setuid(65534)
channel.connect(sys.argv[1])
channel.sendall(b"x\\n")
print(channel.recv(100))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")
def test_the_kernel_tells_who_a_real_stranger_is(tekton_home: Path) -> None:
    path = tekton_home / "x.sock"
    peers: list[Any] = []

    async def tell(channel: Channel) -> None:
        await channel.receive()
        peers.append(channel.peer)

    async def work() -> None:
        listener = await listen_unix(path, tell)
        tekton_home.chmod(0o755)
        path.chmod(0o666)  # what keeps strangers out is opened, so that one comes this far
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AS_NOBODY, path, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert output == b"b''\n"
        await listener.close()

    run(work())
    assert [(peer.is_trusted, peer.is_local) for peer in peers] == [(False, True)]


def test_the_credentials_of_other_systems_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unix:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert level == 0
            if option == 2:
                return (77).to_bytes(4, sys.byteorder)
            assert option == 1
            return b"\0\0\0\0" + (501).to_bytes(4, sys.byteorder) + bytes(size - 8)

    monkeypatch.setattr(stream, "_IS_MACOS", True)
    assert stream._credentials(Unix()) == (501, 77)  # type: ignore[arg-type]


def test_a_peer_that_is_gone_before_it_is_served_is_let_go(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(found: object) -> tuple[int, int]:
        raise OSError(errno.ENOTCONN, "gone")

    monkeypatch.setattr(stream, "_credentials", fail)
    path = tekton_home / "x.sock"

    async def work() -> None:
        listener = await listen_unix(path, echo)
        with await asyncio.to_thread(raw_unix, path) as client:
            assert await asyncio.to_thread(client.recv, 100) == b""
        await listener.close()

    run(work())


# -- TCP ---------------------------------------------------------------------------------------


async def tcp(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


def test_lines_and_websockets_share_a_port() -> None:
    async def work() -> None:
        async with listening("tcp", echo) as address:
            for scheme, path in (("tcp", ""), ("ws", "/ws")):
                kind = type(address)(scheme, path, address.host, address.port)
                channel = await open_channel(kind)
                await channel.send(b'"hello"')
                assert await channel.receive() == b'"hello"'
                await channel.close()

    run(work())


def test_a_first_line_in_single_bytes_is_understood() -> None:
    async def work() -> None:
        async with listening("tcp", echo) as address:
            reader, writer = await tcp(address.port)
            for byte in b'{"a":1}\n':
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readline() == b'{"a":1}\n'
            writer.close()
            await writer.wait_closed()

    run(work())


@pytest.mark.parametrize("said", [b"", b"GE", b"GET /ws HTTP/1.1\r\nHost: localhost\r\n"])
def test_who_says_too_little_is_sent_away(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_FIRST_BYTES_S", 0.1)

    async def work() -> None:
        async with listening("tcp", echo) as address:
            reader, writer = await tcp(address.port)
            writer.write(said)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    run(work())


@pytest.mark.parametrize("said", [b"", b"GE", b"GET /ws HTTP/1.1\r\n"])
def test_who_leaves_at_once_leaves_nothing_behind(said: bytes) -> None:
    async def work() -> None:
        async with listening("tcp", echo) as address:
            reader, writer = await tcp(address.port)
            writer.write(said)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    run(work())


def test_a_slow_beginner_does_not_hold_up_the_others() -> None:
    async def work() -> None:
        async with listening("tcp", echo) as address:
            _, slow = await tcp(address.port)
            slow.write(b"G")
            reader, writer = await tcp(address.port)
            writer.write(b"hello\n")
            assert await asyncio.wait_for(reader.readline(), 5) == b"hello\n"
            for end in (slow, writer):
                end.close()
                await end.wait_closed()

    run(work())


@pytest.mark.parametrize("error", [StorageError("no list of tokens"), ZeroDivisionError()])
def test_a_guard_that_fails_lets_nobody_in_and_leaves_no_connection_open(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def guard(request: object, peer: object) -> None:
        raise error

    async def work() -> None:
        async with listening("tcp", echo, guard) as address:
            reader, writer = await tcp(address.port)
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    run(work())
    assert "a connection could not be accepted" in caplog.text


def test_a_port_that_is_taken_is_told() -> None:
    async def work() -> None:
        async with listening("tcp", echo) as address:
            with pytest.raises(TektonError) as raised:
                await listen_tcp("127.0.0.1", address.port, echo, allow)
            words = f"cannot listen on 127.0.0.1:{address.port}: Address already in use"
            assert raised.value.message == words
            assert "`tekton config edit`" in (raised.value.hint or "")

    run(work())


def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(TektonError, match=r"cannot listen on 203\.0\.113\.1:0: "):
        run(listen_tcp("203.0.113.1", 0, echo, allow))


def test_an_address_of_the_newer_kind_can_be_used_as_it_is_told() -> None:
    from backends.transport.address import parse_address

    async def work() -> None:
        try:
            listener = await listen_tcp("::1", 0, echo, allow)
        except TektonError as error:
            pytest.skip(error.message)
        channel = await open_channel(parse_address(listener.where))
        await channel.send(b"hello")
        assert await channel.receive() == b"hello"
        await channel.close()
        await listener.close()

    run(work())


def test_a_handler_that_fails_is_logged_and_its_connection_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(channel: Channel) -> None:
        await channel.receive()
        raise ZeroDivisionError

    async def work() -> None:
        async with listening("unix", fail) as address:
            client = await open_channel(address)
            await client.send(b"{}")
            assert await client.receive() is None
            await client.close()

    run(work())
    assert "connection of unix pid" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_reset_connection_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[bool] = []

    async def serve(channel: Channel) -> None:
        await echo(channel)
        ended.append(True)

    async def work() -> None:
        async with listening("tcp", serve) as address:
            _, writer = await tcp(address.port)
            writer.write(json.dumps({}).encode() + b"\n")
            found = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await writer.drain()
            writer.transport.abort()
            await eventually(lambda: ended)

    run(work())
    assert caplog.text == ""
