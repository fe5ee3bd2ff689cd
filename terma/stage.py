"""A person's terminal, lent to what fills all of it, and given back whatever happens."""

from __future__ import annotations

import os
import queue
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_AHEAD = 16
"""Items that are fetched before they are wanted."""

_KEY = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[@-~]|.", re.DOTALL)

QUIT = frozenset({b"q", b"Q", b"\x03"})
"""Keys that end it: q and Ctrl-C."""


class Incoming(Generic[T]):
    """What an iterator that may block yields; fetched in a thread, so that keys count meanwhile."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._ready, self._tell = os.pipe()
        self._fetched: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(_AHEAD)
        threading.Thread(target=self._fetch, daemon=True).start()

    def fileno(self) -> int:
        """Return what can be read from when `take` does not wait."""
        return self._ready

    def take(self) -> list[T]:
        """Wait for the next item; returns it in a list, which is empty at the end.

        Raises:
            BaseException: What the iterator raised.
        """
        os.read(self._ready, 1)
        items, error = self._fetched.get()
        if error is not None:
            raise error
        return items

    def _fetch(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._put([item], None)
        except BaseException as raised:  # noqa: BLE001  # whoever takes it gets it
            error = raised
        self._put([], error)

    def _put(self, items: list[T], error: BaseException | None) -> None:
        self._fetched.put((items, error))
        os.write(self._tell, b".")


class Stage:
    """The terminal behind stdout, and the keys of the one behind stdin if there is one.

    Keys come as they are typed, Ctrl-C too. A signal that ends the program gives it back first.

    Args:
        enter: What prepares the terminal.
        leave: What undoes all that was written to it.
    """

    def __init__(self, enter: bytes, leave: bytes) -> None:
        self._enter = enter
        self._leave = leave
        self._screen = sys.stdout.fileno()
        self._keys = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._resized, self._tell = os.pipe()
        os.set_blocking(self._tell, False)

    @property
    def has_keys(self) -> bool:
        """Whether anybody can press one."""
        return self._keys is not None

    def __enter__(self) -> Self:
        import termios

        sys.stdout.flush()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGWINCH, self._notice)
        self._modes = termios.tcgetattr(self._screen)
        modes = [*self._modes[:6], list(self._modes[6])]
        modes[1] &= ~termios.OPOST  # what is written is meant for a terminal as it is
        if self._keys is not None:
            modes[0] &= ~(termios.ICRNL | termios.IXON)
            modes[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._screen, termios.TCSADRAIN, modes)
        self.write(self._enter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import termios

        try:
            self.write(self._leave)
            termios.tcsetattr(self._screen, termios.TCSAFLUSH, self._modes)
        except (OSError, termios.error):
            pass  # the terminal is gone, and nobody misses its modes

    def write(self, data: bytes) -> None:
        """Write all of that, however long the terminal takes."""
        while data:
            try:
                data = data[os.write(self._screen, data) :]
            except BlockingIOError:
                select.select([], [self._screen], [])

    def size(self) -> tuple[int, int]:
        """Return the columns and rows of the terminal."""
        columns, rows = os.get_terminal_size(self._screen)
        return columns or 80, rows or 24

    def wait(
        self, incoming: Incoming[T] | None = None, timeout_s: float | None = None
    ) -> tuple[list[bytes], bool]:
        """Wait for a key, an item, another size, or a time.

        Returns:
            The keys that were pressed, as the terminal sent them (Ctrl-C where that is gone), and
            whether there is an item.
        """
        files = [self._resized, *([] if self._keys is None else [self._keys])]
        waited = [*files, incoming] if incoming is not None else files
        ready, _, _ = select.select(waited, [], [], timeout_s)
        if self._resized in ready:
            os.read(self._resized, 64)
        typed = b""
        if self._keys is not None and self._keys in ready:
            typed = _read(self._keys) or b"\x03"
        return _KEY.findall(typed), incoming is not None and incoming in ready

    def _notice(self, number: int, frame: FrameType | None) -> None:
        try:
            os.write(self._tell, b".")
        except BlockingIOError:
            pass  # there is enough to read


def _read(keys: int) -> bytes:
    try:
        return os.read(keys, 64)
    except OSError:
        return b""  # it was hung up


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
