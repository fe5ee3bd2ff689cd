"""The terminal of a person: raw while one is attached, and as it was before afterwards."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from typing import Any

from backends.errors import TektonError
from terma.attach.keys import BURST
from terma.attach.modes import POP_TITLE, PUSH_TITLE

_PIECE = 1 << 16
_MAX_OUTPUT = 1 << 18
"""Bytes that wait for a slow terminal before no more are taken."""

_LAST_S = 1.0
"""How long a terminal that takes nothing is waited for at the end."""


class Person:
    """The terminal that is our standard input and output.

    `enter` makes it raw; `leave` restores it, and may be called at any time, more than once.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._output = bytearray()
        self._is_gone = False
        self._shares_flags = False
        self.has_dropped = False
        """Whether something was never shown."""
        self.writing = -1

    def enter(self) -> None:
        """Make the terminal raw, so that each key arrives as it is."""
        try:
            before = termios.tcgetattr(0)
        except termios.error as error:
            raise TektonError(f"the terminal cannot be used: {error.args[-1]}") from error
        self.writing = self._open()
        self._before = before
        self.make_raw()
        self.put(PUSH_TITLE)

    def make_raw(self) -> None:
        """Make it raw again, for example after somebody stopped this process."""
        try:
            self._make_raw()
        except termios.error:  # a window that is closed sends SIGCONT as well as SIGHUP
            self._is_gone = True

    def _make_raw(self) -> None:
        raw = termios.tcgetattr(0)
        raw[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
            | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        raw[1] &= ~termios.OPOST
        raw[2] = (raw[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSANOW, raw)

    def _open(self) -> int:
        """Open the terminal anew: flags of ours on standard output would be the shell's too."""
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            found = os.open(os.ttyname(1), flags)
            if os.fstat(found).st_rdev == os.fstat(1).st_rdev:
                return found
            os.close(found)
        except OSError:
            pass  # its name belongs to another namespace, as in a container
        self._shares_flags = True
        os.set_blocking(1, False)
        return 1

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and rows; 80 and 24 where it does not know."""
        try:
            rows, columns = termios.tcgetwinsize(1)
        except termios.error:
            return 80, 24
        return columns or 80, rows or 24

    @property
    def is_gone(self) -> bool:
        """Whether it has been closed."""
        return self._is_gone

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be shown."""
        return bool(self._output) and not self._is_gone

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more should be taken."""
        return len(self._output) > _MAX_OUTPUT

    @property
    def unread(self) -> int:
        """How many bytes were typed that nobody has read."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, bytes(4)))[0])
        except OSError:
            return 0

    def read(self, key: bytes) -> bytes:
        """Return what was typed; nothing where the terminal is gone.

        Of what fingers type nothing is read behind `key`: it may belong to whoever reads next,
        and what was read cannot be given back.
        """
        count = self.unread
        if count > BURST:
            return self._read(_PIECE)
        data = self._read(1)
        while len(data) < count and not data.endswith(key) and not self._is_gone:
            data += self._read(1)
        return data

    def _read(self, count: int) -> bytes:
        try:
            data = os.read(0, count)
        except OSError:
            data = b""
        self._is_gone |= not data
        return data

    def put(self, data: bytes) -> None:
        """Show something, at once as far as the terminal takes it."""
        self._output += data
        self.flush()

    def flush(self) -> None:
        """Show what waits, as far as the terminal takes it."""
        try:
            while self._output and not self._is_gone:
                del self._output[: os.write(self.writing, self._output[:_PIECE])]
        except BlockingIOError:
            pass
        except OSError:
            self._is_gone = True

    def forget(self) -> None:
        """Show nothing of what still waits."""
        if self._output:
            self._drop()
            self._output.clear()
            self.has_dropped = True

    def leave(self, end: bytes, keeps_typed: bool) -> None:
        """Restore the terminal; what still waited is not shown any more.

        Args:
            end: What undoes all that was shown.
            keeps_typed: Leave what was typed and not read to whoever reads next. Reports of a
                mouse would become a command line there.
        """
        if self._before is None:
            return
        before, self._before = self._before, None
        self.forget()
        self._output[:] = end + POP_TITLE
        self._flush_within(_LAST_S)
        if self._output:
            self._drop()
            self._flush_within(0)
        try:
            if not keeps_typed:
                termios.tcflush(0, termios.TCIFLUSH)
            termios.tcsetattr(0, termios.TCSANOW, before)
        except termios.error:
            self._is_gone = True
        if self._shares_flags:
            os.set_blocking(1, True)
        else:
            os.close(self.writing)

    def _drop(self) -> None:
        """Forget what the terminal has been given and has not taken."""
        try:
            termios.tcflush(self.writing, termios.TCOFLUSH)
        except termios.error:
            self._is_gone = True

    def _flush_within(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self.flush()
        while self.is_behind and (left := deadline - time.monotonic()) > 0:
            select.select([], [self.writing], [], left)
            self.flush()
