"""Who is let in: sockets, folders, tokens, and pages in a browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backends.transport.listener import _MAX_STRANGERS
from tests.scenarios.tekton_process import Ran, TektonProcess


@pytest.fixture(scope="module")
def more_config() -> str:
    names = "hermes engram rhetor numa athena apollo dionysus hephaestus".split()
    ports = "\n".join(f"{name} = 0" for name in names)
    return f'[tcp]\nenabled = true\norigins = ["https://good.example"]\n[tcp.ports]\n{ports}\n'


@pytest.fixture(scope="module")
def token(shared_tekton: TektonProcess) -> str:
    return shared_tekton.tekton("token", "create", "phone").text.strip()


def port_of(tekton: TektonProcess, name: str = "rhetor") -> int:
    record = json.loads((tekton.home / "state" / "ai_registry" / f"{name}.json").read_text())
    return int(record["urls"][0].rpartition(":")[2])


def shake_hands(port: int, *headers: str, path: str = "/ws", host: str | None = None) -> int:
    """Open a WebSocket by hand; returns the status of the answer."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}", *headers, "", "",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall("\r\n".join(lines).encode())
        return int(client.makefile("rb").readline().split()[1])


def test_a_websocket_needs_a_token(tekton: TektonProcess, token: str) -> None:
    port = port_of(tekton)
    assert shake_hands(port, f"Authorization: Bearer {token}") == 101
    assert shake_hands(port) == 401
    assert shake_hands(port, "Authorization: Bearer wrong") == 401
    elsewhere = shake_hands(port, f"Authorization: Basic {token}", path=f"/ws?token={token}")
    assert elsewhere == 401, "a token has no place in a URL, nor in another scheme"


def test_a_page_opens_a_websocket_only_from_an_origin_that_is_listed(
    tekton: TektonProcess, token: str
) -> None:
    port, known = port_of(tekton), f"Authorization: Bearer {token}"
    assert shake_hands(port, known, "Origin: https://good.example") == 101
    for origin in (
        "https://evil.example", "null", "http://127.0.0.1", "https://good.example.evil.example",
        "http://good.example",
    ):  # fmt: skip
        assert shake_hands(port, known, f"Origin: {origin}") == 403
        assert shake_hands(port, f"Origin: {origin}") == 403, "the origin is looked at first"


def test_a_name_that_somebody_pointed_here_is_not_ours(tekton: TektonProcess, token: str) -> None:
    port, known = port_of(tekton), f"Authorization: Bearer {token}"
    assert shake_hands(port, known, host=f"localhost:{port}") == 101
    for host in (
        f"evil.example:{port}", f"localhost.evil.com:{port}", f"127.0.0.1.evil.com:{port}",
        f"127.0.0.1:{port}@evil.com", "",
    ):  # fmt: skip
        assert shake_hands(port, known, host=host or " ") in (421, 400), host
    assert shake_hands(port, known, f"Host: 127.0.0.1:{port}") in (421, 400), "named twice"


def test_lines_over_tcp_need_a_token_first(tekton: TektonProcess, token: str) -> None:
    def answers(*messages: dict[str, object]) -> list[dict[str, object]]:
        with socket.create_connection(("127.0.0.1", port_of(tekton)), timeout=10) as client:
            for message in messages:
                client.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            client.shutdown(socket.SHUT_WR)
            return [json.loads(line) for line in client.makefile("rb")]

    prompt = {"id": 2, "method": "chat", "params": {"ci": "mirror", "prompt": "hi"}}
    for hello in ({"token": "wrong"}, {}):
        refused = answers({"id": 1, "method": "hello", "params": hello}, prompt)
        assert {reply["id"]: reply["error"]["data"]["kind"] for reply in refused} == {  # type: ignore[index]
            1: "unauthorized", 2: "unauthorized",
        }  # fmt: skip
    [refused_at_once] = answers(prompt)
    assert refused_at_once["error"]["data"]["kind"] == "unauthorized"  # type: ignore[index]
    old = answers({"jsonrpc": "", "type": "ping"})
    assert "pong" not in json.dumps(old)


def test_what_is_local_is_not_for_the_holder_of_a_token(tekton: TektonProcess, token: str) -> None:
    with socket.create_connection(("127.0.0.1", port_of(tekton)), timeout=10) as client:
        stream = client.makefile("rwb")
        for message in (
            {"id": 1, "method": "hello", "params": {"token": token}},
            {"id": 2, "method": "publish", "params": {"subject": "ci.apollo.died"}},
        ):
            stream.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        stream.flush()
        replies = [json.loads(stream.readline()) for _ in range(2)]
    assert "result" in replies[0]
    assert replies[1]["error"]["data"]["kind"] == "unauthorized"


def test_a_revoked_token_opens_nothing(tekton: TektonProcess) -> None:
    secret = tekton.tekton("token", "create", "lost").text.strip()
    known = f"Authorization: Bearer {secret}"
    assert shake_hands(port_of(tekton), known) == 101
    assert tekton.tekton("token", "revoke", "lost").status == 0
    assert shake_hands(port_of(tekton), known) == 401
    assert secret not in (tekton.home / "config" / "tokens.json").read_text()
    assert secret not in tekton.log()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_what_is_private_has_a_private_mode(tekton: TektonProcess, token: str) -> None:
    tekton.aish("mirror", "hi")
    sockets = list(tekton.home.glob("run/**/*.sock"))
    assert len(sockets) > 10
    assert {mode(file) for file in sockets} == {0o600}
    assert mode(tekton.home / "config" / "tokens.json") == 0o600
    for folder in ("run", "run/ci", "state", "state/ai_registry", "state/logs"):
        assert mode(tekton.home / folder) == 0o700, folder
    for file in tekton.home.glob("state/engram.db*"):
        assert mode(file) == 0o600, file


def test_nothing_listens_on_tcp_by_default() -> None:
    with TektonProcess() as tekton:
        pid = tekton.start()
        assert tekton.aish("numa", "hi").status == 0
        open_sockets = psutil.Process(pid).net_connections("inet")
        assert [found for found in open_sockets if found.status == psutil.CONN_LISTEN] == []
        assert not [found for found in open_sockets if found.type == socket.SOCK_DGRAM]


def test_on_tcp_only_loopback_listens(tekton: TektonProcess) -> None:
    assert tekton.hub
    found = [
        found
        for found in psutil.Process(tekton.hub.pid).net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    ]
    assert len(found) == 8
    assert {found.laddr.ip for found in found} == {"127.0.0.1"}


# -- a folder that somebody else has made ----------------------------------------------------


@pytest.fixture
def squatted() -> Iterator[TektonProcess]:
    """A home whose folder of sockets is not made yet."""
    with TektonProcess() as tekton:
        yield tekton


def all_refuse(tekton: TektonProcess) -> None:
    """Neither the clients nor the hub use the folder."""
    for arguments in (["mirror", "hi"], ["mirror", "hi", "--timeout", "9"], ["list"]):
        ran = tekton.aish(*arguments)
        assert (ran.status, ran.out) == (4, b""), ran
        assert str(tekton.home / "run") in ran.err
    up = tekton.tekton("up")
    assert (up.status, up.out) == (1, b"")
    assert str(tekton.home / "run") in up.err
    assert "Traceback" not in up.err
    assert list(tekton.processes()) == []


def test_a_link_in_place_of_the_folder_of_sockets(squatted: TektonProcess, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (squatted.home / "run").symlink_to(tmp_path)
    all_refuse(squatted)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_nowhere_in_place_of_the_folder_of_sockets(
    squatted: TektonProcess, tmp_path: Path
) -> None:
    (squatted.home / "run").symlink_to(tmp_path / "nowhere")
    up = squatted.tekton("up")
    assert (up.status, up.out) == (1, b"")
    assert str(squatted.home / "run") in up.err
    assert "Traceback" not in up.err
    assert not (tmp_path / "nowhere").exists()
    assert squatted.aish("mirror", "hi").status == 4


def test_a_file_in_place_of_the_folder_of_sockets(squatted: TektonProcess) -> None:
    (squatted.home / "run").write_text("")
    up = squatted.tekton("up")
    assert (up.status, up.out) == (1, b"")
    assert str(squatted.home / "run") in up.err
    assert "Traceback" not in up.err
    assert squatted.aish("mirror", "hi").status == 4


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_somebody_else_s_folder_of_sockets(squatted: TektonProcess) -> None:
    (squatted.home / "run").mkdir(mode=0o700)
    os.chown(squatted.home / "run", 12345, 12345)
    all_refuse(squatted)


def test_an_open_folder_of_sockets_is_not_used_by_clients_and_closed_by_the_hub(
    squatted: TektonProcess,
) -> None:
    (squatted.home / "run").mkdir()
    (squatted.home / "run").chmod(0o777)
    assert squatted.aish("mirror", "hi").status == 4
    squatted.start()
    assert mode(squatted.home / "run") == 0o700
    assert squatted.aish("mirror", "hi") == Ran(0, b"hi\n", "")
    (squatted.home / "run").chmod(0o770)
    refused = squatted.aish("mirror", "hi")
    assert refused.status == 4
    assert "not this user's alone" in refused.err
    (squatted.home / "run").chmod(0o700)


def test_a_live_socket_is_never_taken_over(squatted: TektonProcess) -> None:
    path = squatted.socket("mirror")
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o700)
    path.parent.parent.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        up = squatted.tekton("up")
        assert up.status == 1
        assert str(path) in up.err
        assert path.exists()
    assert squatted.tekton("up", "-q").status == 0, "what a dead process left is replaced"
    assert squatted.aish("mirror", "hi").out == b"hi\n"
    assert squatted.tekton("down").status == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_served(tekton: TektonProcess) -> None:
    """Even where the modes of folder and socket would let him in."""
    path = tekton.home / "run" / "rhetor.sock"
    changed = [tekton.home, tekton.home / "run", path]
    before = [stat.S_IMODE(file.stat().st_mode) for file in changed]
    program = (
        "import os, socket, sys; os.setgid(12345); os.setuid(12345)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n"
        "try:\n"
        '    s.sendall(b\'{"jsonrpc":"2.0","id":1,"method":"info","params":{}}\\n\')\n'
        "    sys.exit(len(s.recv(1000)))\n"
        "except ConnectionError:\n"
        "    pass\n"
    )
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3"
    try:
        for file in changed:
            file.chmod(0o777)
        ran = tekton.run([python, "-c", program, str(path)])
    finally:
        for file, found in zip(changed, before, strict=True):
            file.chmod(found)
    assert ran.status == 0, ran
    assert "refused a process of another user" in tekton.log()


# -- one connection does not keep the others waiting, nor fill the memory ----------------------


def stranger(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def is_closed(client: socket.socket) -> bool:
    """Read to the end; a reset is one, too."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


def test_a_stranger_has_one_small_message_to_say_who_it_is(tekton: TektonProcess) -> None:
    port = port_of(tekton)
    for said in (b"x\n" * 1000, b"x" * 100_000, b"[[]]\n", b'{"jsonrpc":"2.0","method":"x"}\n'):
        with stranger(port) as client:
            client.sendall(said)
            assert is_closed(client)


def test_strangers_who_wait_are_so_many_and_no_more(tekton: TektonProcess, token: str) -> None:
    port = port_of(tekton, "engram")
    clients = [stranger(port) for _ in range(200)]
    for client in clients:
        client.sendall(b"{")
    refused = 0
    for client in clients:
        client.settimeout(0.02)
        try:
            refused += not client.recv(1)
        except ConnectionError:
            refused += 1
        except TimeoutError:
            pass
    for client in clients:
        client.close()
    assert 200 - _MAX_STRANGERS <= refused < 150


def test_requests_of_many_bytes_wait_for_each_other(tekton: TektonProcess) -> None:
    """A hundred of 4 MB, none of them read: the hub takes in a few."""
    assert tekton.hub
    hub = psutil.Process(tekton.hub.pid)
    before = hub.memory_info().rss
    message = json.dumps(
        {"jsonrpc": "2.0", "id": 0, "method": "chat", "params": {"prompt": "x" * 4_000_000}}
    ).encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tekton.socket("mirror")))
        client.settimeout(1)
        sent = 0
        try:
            for number in range(100):
                client.sendall(message.replace(b'"id": 0', b'"id": %d' % number) + b"\n")
                sent += 1
        except TimeoutError:
            pass
        assert sent < 40
        assert tekton.aish("mirror", "hi").out == b"hi\n"
        assert hub.memory_info().rss - before < 400_000_000


def test_a_flood_of_lines_leaves_others_their_turn(tekton: TektonProcess) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tekton.socket("mirror")))
        client.settimeout(20)
        flood = threading.Thread(target=client.sendall, args=(b"x\n" * 300_000,))
        drain = threading.Thread(target=lambda: [client.recv(1 << 20) for _ in range(200)])
        flood.start()
        drain.start()
        try:
            assert tekton.aish("mirror", "hi", "--timeout", "5").out == b"hi\n"
        finally:
            client.shutdown(socket.SHUT_RDWR)
            flood.join()
            drain.join()


def test_a_form_that_a_page_posts_is_refused(tekton: TektonProcess) -> None:
    with stranger(port_of(tekton)) as client:
        client.sendall(
            b"POST /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 415 ")
