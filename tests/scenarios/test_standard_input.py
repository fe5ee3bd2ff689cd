"""Standard input: what is read, what is not, and how long anybody waits."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.scenarios.tekton_process import PATIENCE_S, Ran, TektonProcess

NOTICE = "aish: waiting for standard input to end (--no-stdin does not read it)\n"
FULL = ["--timeout", "60"]
BOTH = pytest.mark.parametrize("options", [[], FULL], ids=["fast", "full"])


def finish(process: subprocess.Popen[bytes]) -> Ran:
    """Wait for a program's end, and close nothing before."""
    assert process.stdout
    assert process.stderr
    out, err = process.stdout.read(), process.stderr.read()
    return Ran(process.wait(PATIENCE_S), out, err.decode())


@BOTH
def test_a_file_is_read_to_its_end(
    tekton: TektonProcess, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"line\n" * 50_000)
    with file.open("rb") as stream:
        ran = tekton.aish("mirror", *options, stdin=stream.fileno())
    assert ran == Ran(0, b"line\n" * 50_000, "")


@BOTH
def test_a_late_producer_is_waited_for(tekton: TektonProcess, options: list[str]) -> None:
    """60 kB that come in two halves, both late, arrive whole."""
    late = Idle(tekton, *options)
    half = b"0123456789abcde\n" * 1875
    time.sleep(0.2)  # what is waited for is silence
    os.write(late.writing, half)
    time.sleep(0.2)
    assert late.end(half) == Ran(0, half * 2, "")


class Idle:
    """A program beside a pipe or socket into which nobody has written yet."""

    def __init__(self, tekton: TektonProcess, *arguments: str, is_socket: bool = False) -> None:
        if is_socket:
            near, far = socket.socketpair()
            reading, self.writing = near.detach(), far.detach()
        else:
            reading, self.writing = os.pipe()
        self.process = tekton.begin("mirror", *arguments, stdin=reading)
        os.close(reading)

    def stderr(self) -> str:
        """What it says next on stderr."""
        assert self.process.stderr
        return self.process.stderr.read(1000).decode()

    def end(self, text: bytes = b"") -> Ran:
        """Write a text, end the input and wait for the program's end."""
        os.write(self.writing, text)
        os.close(self.writing)
        return finish(self.process)


def test_an_idle_pipe_or_socket_beside_a_prompt_is_told_of_after_two_seconds_and_once(
    tekton: TektonProcess,
) -> None:
    began = time.monotonic()
    beside = [
        Idle(tekton, "hi", *options, is_socket=is_socket)
        for options in ([], FULL)
        for is_socket in (False, True)
    ]
    silent_later = [Idle(tekton, "hi", *options) for options in ([], FULL)]
    alone = [Idle(tekton, *options) for options in ([], FULL)]
    quiet = [Idle(tekton, "hi", "-q", *options) for options in ([], FULL)]
    for idle in silent_later:
        os.write(idle.writing, b"a beginning")
    for idle in beside + silent_later:
        assert idle.stderr() == NOTICE
        assert 1.9 < time.monotonic() - began < 10
        assert idle.process.poll() is None
    for idle in beside:
        assert idle.end() == Ran(0, b"hi\n", "")
    for idle in silent_later:
        assert idle.end(b" and an end\n") == Ran(0, b"hi\n\na beginning and an end\n", "")
    for idle in alone:
        assert idle.end(b"text\n") == Ran(0, b"text\n", ""), "it is all there is to wait for"
    for idle in quiet:
        assert idle.end() == Ran(0, b"hi\n", "")


@BOTH
def test_a_socket_is_read(tekton: TektonProcess, options: list[str]) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"through a socket\n")
        far.shutdown(socket.SHUT_WR)
        ran = tekton.aish("mirror", "hi", *options, stdin=near.fileno())
    assert ran == Ran(0, b"hi\n\nthrough a socket\n", "")


@BOTH
def test_a_pipe_that_does_not_block_is_waited_for(
    tekton: TektonProcess, options: list[str]
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = tekton.begin("mirror", *options, stdin=reading)
    os.close(reading)
    time.sleep(0.3)  # it has found nothing to read by then
    os.write(writing, b"later\n")
    os.close(writing)
    assert finish(process) == Ran(0, b"later\n", "")


@BOTH
def test_no_stdin_does_not_read(tekton: TektonProcess, options: list[str]) -> None:
    idle = Idle(tekton, "hi", "--no-stdin", *options)
    assert finish(idle.process) == Ran(0, b"hi\n", "")
    os.close(idle.writing)
    assert tekton.aish("mirror", "hi", "--no-stdin", *options, input=b"text").out == b"hi\n"


@BOTH
def test_a_device_is_not_read_unless_insisted_on(tekton: TektonProcess, options: list[str]) -> None:
    assert tekton.aish("mirror", "hi", *options) == Ran(0, b"hi\n", "")
    with open("/dev/zero", "rb") as zeros:
        assert tekton.aish("mirror", "hi", *options, stdin=zeros.fileno()).out == b"hi\n"
        endless = tekton.aish("mirror", "hi", "-", *options, stdin=zeros.fileno())
    assert (endless.status, endless.out) == (1, b"")
    assert "the limit is 16 MiB" in endless.err


@BOTH
def test_a_dash_reads_as_usual(tekton: TektonProcess, options: list[str]) -> None:
    assert tekton.aish("mirror", "-", *options, input=b"text\n") == Ran(0, b"text\n", "")
    assert tekton.aish("mirror", "hi", "-", *options, input=b"text\n").out == b"hi\n\ntext\n"


@BOTH
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_closed_stream_is_like_dev_null(
    tekton: TektonProcess, closed: str, options: list[str]
) -> None:
    """Else the next socket would get its number, and be read or written in its place."""
    ran = tekton.shell(f"aish mirror hi {' '.join(options)} {closed}")
    assert ran == Ran(0, b"hi\n", "")


@BOTH
@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
def test_an_answer_that_goes_nowhere_is_a_failure(
    tekton: TektonProcess, closed: str, options: list[str]
) -> None:
    ran = tekton.shell(f"aish mirror hi {' '.join(options)} {closed}")
    assert ran == Ran(1, b"", "error: cannot write the answer: standard output is closed\n")


@pytest.mark.parametrize("command", ["aish list", "aish --help", "aish history --json"])
def test_a_table_that_goes_nowhere_is_a_failure(tekton: TektonProcess, command: str) -> None:
    ran = tekton.shell(f"{command} >&-")
    assert ran == Ran(1, b"", "error: cannot write the answer: standard output is closed\n")


@BOTH
@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_an_error_that_nobody_can_read_keeps_its_status(
    tekton: TektonProcess, where: str, options: list[str]
) -> None:
    for prompt, status in (("nobody hi", 3), ("mirror", 2), ("mirror --bad", 2)):
        ran = tekton.shell(f"aish {prompt} {' '.join(options)} </dev/null {where}")
        assert ran == Ran(status, b"", "")


@BOTH
def test_nothing_to_say_and_a_closed_stdin(tekton: TektonProcess, options: list[str]) -> None:
    ran = tekton.shell(f"aish mirror {' '.join(options)} <&-")
    assert (ran.status, ran.out) == (2, b"")


@BOTH
def test_an_input_that_cannot_be_read(
    tekton: TektonProcess, tmp_path: Path, options: list[str]
) -> None:
    file = os.open(tmp_path / "write-only", os.O_WRONLY | os.O_CREAT)
    try:
        ran = tekton.aish("mirror", "hi", *options, stdin=file)
    finally:
        os.close(file)
    assert ran == Ran(1, b"", "error: cannot read standard input: Bad file descriptor\n")


@BOTH
def test_an_output_that_does_not_block(tekton: TektonProcess, options: list[str]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"0123456789abcde\n" * 40_000
    with open(reading, "rb") as stream:
        process = tekton.begin("mirror", *options, stdin=subprocess.PIPE, stdout=writing)
        os.close(writing)
        assert process.stdin
        process.stdin.write(data)
        process.stdin.close()
        assert stream.read() == data
    assert process.wait(PATIENCE_S) == 0
