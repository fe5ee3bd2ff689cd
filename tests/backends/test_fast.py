"""The fast path's rules: what it does itself, what it leaves, and what it repeats of others."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import errors, fast
from backends.errors import TektonError
from backends.protocol.framing import MAX_MESSAGE
from backends.runtime import RESERVED
from tests.scenarios.replay import chunk, error, result


def kinds(base: type[TektonError]) -> Iterator[type[TektonError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from kinds(subclass)


def test_every_kind_of_error_has_the_same_exit_status_as_elsewhere() -> None:
    found = {kind.kind: kind.exit_status for kind in kinds(TektonError)}
    assert {kind: fast.EXIT_STATUS.get(kind, 1) for kind in found} == found
    assert set(fast.EXIT_STATUS) <= set(found)


def test_it_knows_the_same_limit_as_elsewhere() -> None:
    assert fast._MAX_MESSAGE == MAX_MESSAGE


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is no terminal."""
    monkeypatch.setattr(os, "isatty", lambda descriptor: False)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["apollo", "hi"], ("apollo", "hi", {})),
        (["Apollo-CI", "hi", "there"], ("apollo", "hi there", {})),
        (["a-b2"], ("a-b2", "", {})),
        (["apollo", "-q", "hi"], ("apollo", "hi", {"-q": "-q"})),
        (["apollo", "--quiet", "hi"], ("apollo", "hi", {"-q": "--quiet"})),
        (["apollo", "-", "--no-stdin"], ("apollo", "", {"-": "-", "--no-stdin": "--no-stdin"})),
        (["apollo", "-m", "x", "--system", "y"], ("apollo", "", {"m": "x", "s": "y"})),
    ],
)
def test_a_plain_prompt_is_its_own(
    piped: None, arguments: list[str], found: tuple[str, str, dict[str, str]]
) -> None:
    assert fast._parse(arguments) == found


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([word] for word in sorted(RESERVED)),
        ["@all", "hi"],
        ["apollo,athena", "hi"],
        ["../apollo", "hi"],
        ["x" * 33, "hi"],
        ["", "hi"],
        ["apollo", "--json", "hi"],
        ["apollo", "--", "-hi"],
        ["apollo", "-m"],
        ["apollo", "-m", "", "hi"],
        ["apollo", "--model=x", "hi"],
        ["apollo", "-5"],
        ["apollo", "--help"],
    ],
)
def test_everything_else_is_left_to_the_full_client(piped: None, arguments: list[str]) -> None:
    with pytest.raises(fast.Left):
        fast._parse(arguments)


def test_a_terminal_or_an_address_is_left_to_the_full_client(
    monkeypatch: pytest.MonkeyPatch, piped: None
) -> None:
    monkeypatch.setenv("TEKTON_URL", "unix:x")
    with pytest.raises(fast.Left):
        fast._parse(["apollo", "hi"])
    monkeypatch.delenv("TEKTON_URL")
    monkeypatch.setattr(os, "isatty", lambda descriptor: True)
    with pytest.raises(fast.Left):
        fast._parse(["apollo", "hi"])


def test_a_ci_that_is_not_there_is_left_to_the_full_client(tekton_home: Path) -> None:
    for folder in ("run", "run/ci"):
        with pytest.raises(fast.Left):
            fast.connect("apollo")
        (tekton_home / folder).mkdir(mode=0o700)
    with pytest.raises(fast.Left):
        fast.connect("apollo")


def test_run_returns_where_there_is_nothing_for_it_to_do(tekton_home: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        fast.run(["list"])
        fast.run(["apollo", "hi"])
    finally:
        signal.signal(signal.SIGINT, before)


# -- standard input --------------------------------------------------------------------------


@pytest.fixture
def standard_input() -> Iterator[int]:
    """Standard input is a pipe; its other end."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    yield writing
    os.dup2(kept, 0)
    os.close(kept)
    try:
        os.close(writing)
    except OSError:
        pass  # the test has closed it


def write(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)
    os.close(descriptor)


def test_a_pipe_is_read_to_its_end(standard_input: int) -> None:
    write(standard_input, "é\r\n\0".encode())
    assert fast.read_input(True, False, {}) == "é\r\n\0"


def test_an_empty_pipe_is_no_input(standard_input: int) -> None:
    os.close(standard_input)
    assert fast.read_input(True, False, {}) is None


def test_invalid_utf8_is_replaced_with_a_warning(
    standard_input: int, capfd: pytest.CaptureFixture[str]
) -> None:
    write(standard_input, b"caf\xe9")
    assert fast.read_input(False, False, {}) == "caf\ufffd"
    assert "U+FFFD" in capfd.readouterr().err


def test_silence_is_told_of_only_beside_a_prompt(
    standard_input: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "_IDLE_NOTICE_MS", 0)
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        write(standard_input, b"late")

    monkeypatch.setattr(fast, "say", hear)
    assert fast.read_input(True, False, {}) == "late"
    assert said == ["aish: waiting for standard input to end (--no-stdin does not read it)"]


def test_a_device_is_read_only_where_that_is_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, null = os.dup(0), os.open("/dev/zero", os.O_RDONLY)
    os.dup2(null, 0)
    try:
        assert fast.read_input(False, False, {}) is None
        with pytest.raises(fast.Failed, match="too_large"):
            fast.read_input(False, True, {})
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(null)


@pytest.mark.parametrize(
    ("argument", "text"),
    [("plain", "plain"), ("é\U0001f600", "é\U0001f600"), ("caf\udce9", "caf\ufffd")],
)
def test_what_the_system_could_not_decode_is_replaced(argument: str, text: str) -> None:
    assert fast.to_unicode(argument) == text


# -- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"", b"  \r", b'{"jsonrpc":"2.0","method":"$/progress","params":{"id":1}}',
     b'{"jsonrpc":"2.0","id":9,"result":{}}'],
)  # fmt: skip
def test_what_the_protocol_lets_one_pass_over_is_passed_over(line: bytes) -> None:
    fast._read_closely(line)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"what?", "protocol"),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', "invalid"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}', "failed"),
        (b'{"jsonrpc":"2.0","id":5,"method":"info","params":{}}', "connection_lost"),
    ],
)
def test_what_cannot_be_passed_over_fails_in_the_words_of_the_protocol(
    line: bytes, kind: str
) -> None:
    with pytest.raises(fast.Failed) as caught:
        fast._read_closely(line)
    assert caught.value.args[0] == kind


def test_the_usual_messages_are_read_without_the_protocol_s_help() -> None:
    scan = fast.scanner()

    def read(line: bytes) -> tuple[bytes, str | None, bool]:
        return fast._read_message(scan(line.decode(), 0)[0])

    assert read(chunk("é")) == ("é".encode(), None, False)
    assert read(chunk(notice="hm")) == (b"", "hm", False)
    assert read(result()) == (b"", None, True)
    with pytest.raises(fast.Failed) as caught:
        read(error("busy", "later", "wait"))
    assert caught.value.args == ("busy", "later", "wait")


def test_errors_are_all_errors() -> None:
    assert issubclass(fast.Failed, Exception)
    assert errors.TektonError.of_kind("busy", "later").exit_status == 1


# -- silence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 2_000_000])
@pytest.mark.parametrize("options", [{}, {"-q": "-q"}])
def test_silence_is_told_of_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], size: int,
    options: dict[str, str],
) -> None:  # fmt: skip
    """Where a long prompt is not even taken, too."""
    monkeypatch.setattr(fast, "PATIENCE_S", 0.02)
    near, far = socket.socketpair()

    def answer() -> None:
        select.select([], [], [], 0.2)
        with far, far.makefile("rb") as stream:
            stream.readline()
            far.sendall(chunk("x") + result())

    thread = threading.Thread(target=answer)
    thread.start()
    with near:
        fast._ask(near, "apollo", "x" * size, None, options)
    thread.join()
    out, err = capfd.readouterr()
    assert out == "x\n"
    assert err == ("" if options else fast.silence_notice("apollo") + "\n")
    assert fast.silence_notice("apollo") == (
        "aish: no answer from apollo yet (Ctrl-C stops waiting; --timeout SECONDS gives up)"
    )


def test_an_answer_that_pauses_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fast, "PATIENCE_S", 0.05)
    near, far = socket.socketpair()
    far.sendall(chunk("x"))
    timer = threading.Timer(0.2, far.sendall, [result()])
    timer.start()
    with near, far:
        fast._ask(near, "apollo", "hi", None, {})
        timer.join()
    assert capfd.readouterr() == ("x\n", "")
