"""Running one process to its end: how long it took, what it cost, what it said and when."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """A process that ended well; `first_byte_at` is a time of `time.monotonic`."""

    wall_s: float
    cpu_s: float
    first_byte_at: float
    output: bytes


def run(command: list[str], environment: Mapping[str, str], *, on_terminal: bool = False) -> Run:
    """Run a process, with its output in a pipe or on a terminal of 100 columns.

    Its standard input is empty, or the terminal. The time begins before the process is made and
    ends when the system has told its end.

    Raises:
        RuntimeError: It failed; the message has what it said.
    """
    complaints = Path(environment["TMPDIR"]) / "stderr"
    reading, writing = pty.openpty() if on_terminal else os.pipe()
    if on_terminal:
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    where = (complaints, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = (
        [(os.POSIX_SPAWN_DUP2, writing, number) for number in range(3)]
        if on_terminal
        else [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.fspath(where[0]), *where[1:]),
        ]
    )
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    os.close(writing)
    try:
        first_byte_at, output = _drain(reading)
    finally:
        os.close(reading)
        _, status, used = os.wait4(pid, 0)
        wall_s = time.perf_counter() - began
    if status:
        said = output if on_terminal else complaints.read_bytes()
        raise RuntimeError(
            f"{Path(command[0]).name} {' '.join(command[1:])} ended with "
            f"{os.waitstatus_to_exitcode(status)}: {said.decode(errors='replace').strip()}"
        )
    cpu_s = used.ru_utime + used.ru_stime
    return Run(wall_s=wall_s, cpu_s=cpu_s, first_byte_at=first_byte_at, output=output)


def _drain(reading: int) -> tuple[float, bytes]:
    first_byte_at, parts = 0.0, []
    while True:
        try:
            part = os.read(reading, 65536)
        except OSError:  # how Linux says that nobody has the terminal open any more
            break
        if not part:
            break
        first_byte_at = first_byte_at or time.monotonic()
        parts.append(part)
    return first_byte_at, b"".join(parts)
