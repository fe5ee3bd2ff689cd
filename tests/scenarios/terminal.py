"""A program on a pseudo-terminal, watched from its other side."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# The terminal becomes the controlling one, so that a typed Ctrl-C is a signal.
_ATTACH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_COLUMNS = 80


class Terminal:
    """Runs a program with a terminal as its standard input, output and error."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], folder: Path, rows: int = 24
    ) -> None:
        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (rows, _COLUMNS))
        self.shown = b""
        """All that the program has written to the terminal so far."""
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _ATTACH, *command],
            stdin=slave, stdout=slave, stderr=slave, env=dict(environment), cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    @property
    def is_lent(self) -> bool:
        """Whether a shell has lent it to what it runs, so that Ctrl-C, Ctrl-D and Ctrl-Z count."""
        makes_lines = termios.tcgetattr(self._master)[3] & termios.ICANON
        return bool(makes_lines) and os.tcgetpgrp(self._master) != self._process.pid

    def type(self, text: str) -> None:
        """Type something; character 3 is Ctrl-C, and 4 is Ctrl-D."""
        os.write(self._master, text.encode())

    def hang_up(self) -> int:
        """Close the terminal under the program; returns its status, negative for a signal."""
        os.close(self._master)
        self._master = -1
        return self._process.wait(20.0)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, of which the program is told by SIGWINCH."""
        termios.tcsetwinsize(self._master, (rows, columns))

    def wait_for(self, text: bytes, timeout_s: float = 20.0) -> None:
        """Wait until the program has written a text."""
        deadline = time.monotonic() + timeout_s
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} is not in {self.shown!r}"

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    def read_for(self, seconds: float) -> None:
        """Take what the program writes within a time."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass

    def wait_for_more(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until the program has written more than so many bytes."""
        deadline = time.monotonic() + timeout_s
        while len(self.shown) <= count:
            assert self._read(deadline), f"nothing came after {self.shown!r}"

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds; reads meanwhile, for shells wait until all is read."""
        deadline = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < deadline, f"it did not come: {what}; shown: {self.shown!r}"
            self._read(time.monotonic() + 0.01)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the program's end; returns its status, negative for a signal."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        return self._process.wait(max(deadline - time.monotonic(), 0.1))

    def close(self) -> None:
        """End the program, if it still runs, and the terminal."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False  # Linux says EIO where the last program has closed the terminal
        self.shown += data
        return bool(data)
