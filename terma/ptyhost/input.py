"""What waits to be typed into a terminal: in order, bounded, and counted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from terma.ptyhost.failure import Failure

MAX_LINE = 4095
"""Bytes before the end of a line that the kernel keeps in canonical mode (termios(3))."""

_MAX_QUEUE = 1 << 20

Done = Callable[[Failure | None], None]


class _Entry:
    """Bytes that wait, of whom, and whom to tell."""

    __slots__ = ("done", "rest", "source")

    def __init__(self, source: object, data: bytes, done: Done) -> None:
        self.source, self.rest, self.done = source, memoryview(data), done


class Input:
    """A queue; `count` are the bytes that the terminal has ever taken."""

    def __init__(self) -> None:
        self.count = 0
        self._queue: deque[_Entry] = deque()
        self._waiting = self._unfinished = 0

    @property
    def waits(self) -> bool:
        """Whether anything is left to be typed."""
        return bool(self._queue)

    def add(self, source: object, data: bytes, done: Done) -> None:
        """Queue bytes; `done` is called once the terminal has taken them, or never will.

        Raises:
            Failure: Too much waits already.
        """
        if self._queue and self._waiting + len(data) > _MAX_QUEUE:
            raise Failure("busy", f"{self._waiting} bytes wait to be typed", input=self.count)
        self._queue.append(_Entry(source, data, done))
        self._waiting += len(data)
        self._unfinished = 0

    def add_lines(self, source: object, data: bytes, done: Done) -> None:
        """Queue bytes for a terminal that reads whole lines.

        Raises:
            Failure: The kernel would cut a line, or too much waits.
        """
        # What keys make of a line cannot be told; only lines that came in pieces this way count.
        lengths = [len(line) for line in data.replace(b"\r", b"\n").split(b"\n")]
        lengths[0] += self._unfinished
        if max(lengths) > MAX_LINE:
            raise Failure(
                "line_too_long",
                f"a line has {max(lengths)} bytes, and the terminal takes {MAX_LINE} in one",
            )
        self.add(source, data, done)
        self._unfinished = lengths[-1]

    def drop(self, source: object) -> None:
        """Forget what waits of somebody who is gone; `count` tells how far it came."""
        self._queue = deque(entry for entry in self._queue if entry.source is not source)
        self._waiting = sum(len(entry.rest) for entry in self._queue)

    def type_into(self, master: int, limit: int) -> None:
        """Type as much as the terminal takes at once, up to a limit."""
        while self._queue and limit > 0:
            entry = self._queue[0]
            try:
                taken = os.write(master, entry.rest[:limit]) if entry.rest else 0
            except BlockingIOError:
                return
            except OSError as error:
                self.fail(f"it cannot be typed into: {error.strerror}")
                return
            limit -= taken
            self.count += taken
            self._waiting -= taken
            entry.rest = entry.rest[taken:]
            if not entry.rest:
                self._queue.popleft()
                entry.done(None)

    def fail(self, reason: str) -> None:
        """Answer everybody who waits that nothing more is taken."""
        entries, self._queue, self._waiting = self._queue, deque(), 0
        for entry in entries:
            entry.done(Failure("ended", reason, input=self.count))
