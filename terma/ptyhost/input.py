"""What waits to be typed into a terminal: in order, bounded, and counted."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable

from terma.ptyhost.failure import Failure
from terma.ptyhost.frames import MAX_LINE

_MAX_QUEUE = 1 << 20

_LINE_END = re.compile(rb"[\r\n]")

Done = Callable[[Failure | None], None]

Source = tuple[object, int]
"""A client, and the id of its request."""


class _Entry:
    """Bytes that wait, of whom, and whom to tell.

    Where they are whole lines, `begun` is the length of a line that was begun before them.
    """

    __slots__ = ("begun", "data", "done", "is_lines", "source", "typed")

    def __init__(self, source: Source, data: bytes, done: Done) -> None:
        self.source, self.data, self.done = source, memoryview(data), done
        self.typed = self.begun = 0
        self.is_lines = False

    @property
    def left(self) -> int:
        """Bytes that are not typed yet."""
        return len(self.data) - self.typed

    @property
    def line_end(self) -> int:
        """Where it can end so that no line is cut."""
        if not self.is_lines or not self.typed or self.data[self.typed - 1] in b"\r\n":
            return self.typed
        found = _LINE_END.search(self.data, self.typed)
        return found.end() if found else len(self.data)


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

    def add(self, source: Source, data: bytes, done: Done) -> None:
        """Queue bytes; `done` is called once the terminal has taken them, or never will.

        Raises:
            Failure: Too much waits already.
        """
        if self._queue and self._waiting + len(data) > _MAX_QUEUE:
            raise Failure("busy", f"{self._waiting} bytes wait to be typed", input=self.count)
        self._queue.append(_Entry(source, data, done))
        self._waiting += len(data)
        self._unfinished = 0

    def add_lines(self, source: Source, data: bytes, done: Done) -> None:
        """Queue bytes for a terminal that reads whole lines.

        Raises:
            Failure: The kernel would cut a line, or too much waits.
        """
        # What keys make of a line cannot be told; only lines that came in pieces this way count.
        begun = self._unfinished
        lengths = _lengths(data, begun)
        if max(lengths) > MAX_LINE:
            raise Failure(
                "line_too_long",
                f"a line has {max(lengths)} bytes, and the terminal takes {MAX_LINE} in one",
            )
        self.add(source, data, done)
        self._queue[-1].begun, self._queue[-1].is_lines = begun, True
        self._unfinished = lengths[-1]

    def drop(self, client: object) -> None:
        """Forget what waits of a client that is gone; `count` tells how far it came."""
        self._queue = deque(entry for entry in self._queue if entry.source[0] is not client)
        self._waiting = sum(entry.left for entry in self._queue)

    def cancel(self, source: Source) -> int:
        """Forget what waits of a request, but for the rest of a line that is typed in part.

        Returns how many bytes will not be typed; those that asked for them are told so.
        """
        entry = next((one for one in self._queue if one.source == source), None)
        dropped = len(entry.data) - entry.line_end if entry else 0
        if not entry or not dropped:
            return 0
        wanted, kept = len(entry.data), len(entry.data) - dropped
        if entry.is_lines and entry is self._queue[-1]:
            self._unfinished = _lengths(bytes(entry.data[:kept]), entry.begun)[-1]
        entry.data = entry.data[:kept]
        if not entry.left:
            self._queue.remove(entry)
        self._waiting -= dropped
        done, entry.done = entry.done, _tell_nobody
        done(Failure("cancelled", f"{kept} of {wanted} bytes were typed", input=self.count))
        return dropped

    def type_into(self, master: int, limit: int) -> None:
        """Type as much as the terminal takes at once, up to a limit."""
        while self._queue and limit > 0:
            entry = self._queue[0]
            try:
                piece = entry.data[entry.typed : entry.typed + limit]
                taken = os.write(master, piece) if piece else 0
            except BlockingIOError:
                return
            except OSError as error:
                self.fail(f"it cannot be typed into: {error.strerror}")
                return
            limit -= taken
            self.count += taken
            self._waiting -= taken
            entry.typed += taken
            if not entry.left:
                self._queue.popleft()
                entry.done(None)

    def fail(self, reason: str) -> None:
        """Answer everybody who waits that nothing more is taken."""
        entries, self._queue, self._waiting = self._queue, deque(), 0
        for entry in entries:
            entry.done(Failure("ended", reason, input=self.count))


def _lengths(data: bytes, begun: int) -> list[int]:
    """Return how long the lines are, the first of which was begun before, without their ends."""
    lengths = [len(line) for line in data.replace(b"\r", b"\n").split(b"\n")]
    lengths[0] += begun
    return lengths


def _tell_nobody(_: Failure | None) -> None:
    """What is left of an entry whose end was told."""
