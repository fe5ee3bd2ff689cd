"""The page about the protocol: its exchanges, its client, its rules and its numbers."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.config import PORTS
from backends.errors import TektonError
from backends.paths import find_paths
from backends.protocol import framing, schema
from backends.protocol.connection import Connection, ErrorReceived
from backends.protocol.messages import Info, ServiceInfo
from backends.runtime import MAX_NAME, MAX_SOCKET_PATH, runtime_folder
from backends.service.dispatch import MAX_OPEN
from tests.docs.pages import DOCS, blocks, files
from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess

PAGE = DOCS / "reference" / "protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXCHANGES = [block for block in blocks(PAGE) if block.name.endswith(".sock")]
ANY = {"session", "turn", "timestamp", "latency", "elapsed_s", "time_to_first_token_s"}
"""Fields whose values differ from run to run."""


@pytest.fixture(scope="module")
def tekton() -> Iterator[TektonProcess]:
    free = "\n".join(f"{name} = 0" for name in PORTS)
    with TektonProcess(f"[tcp]\nenabled = true\n[tcp.ports]\n{free}") as tekton:
        tekton.start()
        yield tekton


@pytest.fixture(scope="module")
def token(tekton: TektonProcess) -> str:
    return tekton.tekton("token", "create", "test").text.strip()


def known(message: Any) -> Any:
    """A message without the values that differ from run to run."""
    if isinstance(message, dict):
        return {key: type(value) if key in ANY else known(value) for key, value in message.items()}
    return message


@pytest.mark.parametrize("number", range(len(EXCHANGES)))
def test_an_exchange_goes_as_it_is_shown(tekton: TektonProcess, number: int) -> None:
    exchange = EXCHANGES[number]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(f"{tekton.home}/run/{exchange.name}")
        answers = connection.makefile("rb")
        for line in exchange.text.splitlines():
            direction, _, message = line.partition(" ")
            if direction == "→":
                connection.sendall(message.encode() + b"\n")
            else:
                assert known(json.loads(answers.readline())) == known(json.loads(message))


def test_there_are_exchanges_to_show() -> None:
    assert {one.name for one in EXCHANGES} == {"ci/mirror.sock", "hermes.sock"}


def test_the_client_prompts_a_ci(tekton: TektonProcess, tmp_path: Path) -> None:
    file = tmp_path / "client.py"
    file.write_text(files(PAGE)["client.py"], encoding="utf-8")
    assert len(file.read_text().splitlines()) <= 33
    ran = tekton.run([sys.executable, str(file), "mirror", "hé\nllo"])
    assert (ran.status, ran.out, ran.err) == (0, "hé\nllo".encode(), "")
    ran = tekton.run([sys.executable, str(file), "apollo", "hello"])
    assert (ran.status, ran.out) == (1, b"")
    assert ran.err.startswith("error: no model is there to answer")


# -- finding a socket --------------------------------------------------------------------------


def folder_by_the_page(environment: dict[str, str], platform: str) -> str:
    """The runtime folder, by the four rules of the page."""
    if environment.get("TEKTON_HOME"):
        folder = os.path.abspath(environment["TEKTON_HOME"]) + "/run"
    else:
        parent = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        owned = os.path.exists(parent) and os.stat(parent).st_uid == os.getuid()
        usable = platform == "linux" and parent.startswith("/") and owned
        folder = f"{parent}/tekton" if usable else f"/tmp/tekton-{os.getuid()}"
    if len(folder.encode()) > 49:
        number = 0xCBF29CE484222325
        for byte in folder.encode():
            number = (number ^ byte) * 0x100000001B3 % 2**64
        folder = f"/tmp/tekton-{os.getuid()}-{number:016x}"
    return folder


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("home", [None, "", "/tmp/x", "relative", "/tmp/" + "ö" * 30])
@pytest.mark.parametrize("parent", [None, "", "/tmp", "relative", "/nowhere", "HERE", "HERE/long"])
def test_the_runtime_folder_is_found_by_the_rules_of_the_page(
    monkeypatch: pytest.MonkeyPatch,
    tekton_home: Path,
    home: str | None,
    parent: str | None,
    platform: str,
) -> None:
    long = tekton_home / ("long" * 10)
    long.mkdir()
    places = {"HERE": str(tekton_home), "HERE/long": str(long)}
    given = {"TEKTON_HOME": home, "XDG_RUNTIME_DIR": places.get(parent or "", parent)}
    environment = {name: value for name, value in given.items() if value is not None}
    for name in given:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert runtime_folder() == folder_by_the_page(environment, platform)


def test_the_example_of_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"path `(\S+)/run` has\nthe hash `(\w+)`", TEXT)
    assert found
    path, digest = found.groups()
    monkeypatch.setenv("TEKTON_HOME", path)
    assert runtime_folder() == f"/tmp/tekton-{os.getuid()}-{digest}"


def test_the_records_are_where_the_page_says(
    tekton: TektonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEKTON_HOME", str(tekton.home))
    folder = tekton.home / "state" / "ai_registry"
    assert find_paths().registry == folder
    for name, path in (
        ("mirror-ci", "run/ci/mirror.sock"),
        ("numa-ci", "run/ci/numa.sock"),
        ("rhetor-ci", "run/ci/rhetor.sock"),
        ("rhetor", "run/rhetor.sock"),
    ):
        record = schema.decode(ServiceInfo, json.loads((folder / f"{name}.json").read_bytes()))
        assert record.socket == str(tekton.home / path)


# -- rules and numbers -------------------------------------------------------------------------


def test_the_limits_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", TEXT, re.MULTILINE))
    assert rows["a message"].startswith(f"16 MiB ({framing.MAX_MESSAGE:,} bytes)")
    assert rows["open requests of a connection"].startswith(str(MAX_OPEN))
    assert f"at most {MAX_NAME} characters" in TEXT
    assert f"more than {MAX_SOCKET_PATH}" in TEXT


def test_an_oversized_line_leaves_the_connection_usable(tekton: TektonProcess) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(tekton.socket("mirror")))
        answers = connection.makefile("rb")
        connection.sendall(b'{"x":"' + b"x" * framing.MAX_MESSAGE + b'"}\n')
        refused = json.loads(answers.readline())
        assert (refused["id"], refused["error"]["code"]) == (None, -32700)
        assert refused["error"]["data"]["kind"] == "too_large"
        connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"info"}\n')
        assert json.loads(answers.readline())["result"]["name"] == "mirror"


def test_the_error_shown_is_read_as_one() -> None:
    [shown] = [block.text for block in blocks(PAGE) if block.language == "json"]
    connection = Connection()
    number, _ = connection.request(Info())
    answer = {"jsonrpc": "2.0", "id": number, "error": json.loads(shown)}
    event = connection.receive(json.dumps(answer).encode())
    assert isinstance(event, ErrorReceived)
    assert isinstance(event.error, TektonError)
    assert (event.error.kind, event.error.exit_status) == ("not_found", 3)


# -- WebSocket ---------------------------------------------------------------------------------


def handshake(tekton: TektonProcess, token: str, changes: dict[str, str | None]) -> socket.socket:
    """Send the handshake of the page, changed; a header `None` is left out."""
    record = json.loads((tekton.home / "state" / "ai_registry" / "rhetor.json").read_bytes())
    port = int(record["urls"][0].rpartition(":")[2])
    [shown] = [block.text for block in blocks(PAGE) if block.language == "http"]
    first, *lines = shown.replace("TOKEN", token).splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    text = changes.get("first") or first
    for key in headers | changes:
        value = changes.get(key, headers.get(key))
        text += "" if value is None or key == "first" else f"\r\n{key}: {value}"
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    connection.sendall(text.encode() + b"\r\n\r\n")
    return connection


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (101, {}),
        (101, {"Host": "localhost"}),
        (401, {"Authorization": None}),
        (401, {"Authorization": "Bearer wrong"}),
        (403, {"Origin": "https://example.com", "Authorization": None}),
        (404, {"first": "GET / HTTP/1.1", "Authorization": None}),
        (405, {"first": "POST /ws HTTP/1.1"}),
        (421, {"Host": "example.com", "Origin": "https://example.com"}),
        (421, {"Host": "127.0.0.1.example.com:8003"}),
        (421, {"Host": "localhost\r\nHost: localhost"}),
        (421, {"Host": None}),
        (426, {"Upgrade": None}),
    ],
)
def test_a_handshake_is_answered_as_the_page_says(
    tekton: TektonProcess, token: str, status: int, changes: dict[str, str | None]
) -> None:
    with handshake(tekton, token, changes) as connection:
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 %d " % status)
    assert f"| {status} |" in TEXT


def frame(opcode: int, payload: bytes, is_masked: bool = True) -> bytes:
    """One frame (RFC 6455, section 5.2), masked with zeros."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, is_masked << 7 | size])
    else:
        head = bytes([0x80 | opcode, is_masked << 7 | 127]) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" * is_masked + payload


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (1000, frame(8, (1000).to_bytes(2, "big"))),
        (1002, frame(1, b"{}", is_masked=False)),
        (1007, frame(1, b"\xff")),
        (1009, frame(1, b"x" * (framing.MAX_MESSAGE + 1))[:1000]),
    ],
)
def test_a_websocket_is_closed_as_the_page_says(
    tekton: TektonProcess, token: str, code: int, sent: bytes
) -> None:
    with handshake(tekton, token, {}) as connection:
        answers = connection.makefile("rb")
        while answers.readline().strip():
            pass
        connection.sendall(frame(1, b'{"jsonrpc":"2.0","id":1,"method":"info"}'))
        assert answers.read(2)[0] == 0x81
        connection.sendall(sent)
        rest = answers.read()
        assert b"\x88" in rest
        assert code.to_bytes(2, "big") in rest
    assert f"| {code} |" in TEXT
