"""What a terminal has put out: the last of it in memory, all of it in the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from terma.ptyhost.log import Log
from terma.ptyhost.loop import Loop

_RING = 64 << 10
_RING_ALONE = 256 << 10
_SPARE = 16 << 10
_MAX_SIZES = 1024
_RETRY_S = 1.0


class Output:
    """Bytes by their offset, and the sizes of the terminal in between.

    Args:
        log: Where they are written down; `None` keeps the last of them in memory alone.
        size: Columns and rows at the beginning.
        loop: It has the timer of another try.
        on_error: Called when `error` has changed.
    """

    def __init__(
        self, log: Log | None, size: tuple[int, int], loop: Loop, on_error: Callable[[], None]
    ) -> None:
        self.end = log.end if log else 0
        self.error: str | None = None
        """Why nothing is written down."""
        self.followers: list[Callable[[], None]] = []
        """Called when there is more, or another size."""
        self.sizes_ever = 1
        self._sizes = deque([(self.end, *size)], _MAX_SIZES)
        self._log, self._loop, self._on_error = log, loop, on_error
        self._ring = bytearray()
        self._ring_bytes = _RING if log else _RING_ALONE
        self._retries = self._is_over = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._sizes[-1][1:]

    @property
    def oldest(self) -> int:
        """The offset of the first byte that is kept."""
        if self._log and self._log.segments:
            return min(self.recent, self._log.segments[0].start)
        return self.recent

    @property
    def recent(self) -> int:
        """The offset from which on it is in memory, whatever becomes of the log."""
        return self.end - len(self._ring)

    def take(self, data: bytes) -> None:
        """Keep what was put out, and tell."""
        offset, ring = self.end, self._ring
        ring += data
        self.end += len(data)
        if self._log:
            if self._log.end == offset and not self.error:
                self._write_down(self._log, offset, data)
            elif not self._retries:
                self._catch_up(self._log)
        if len(ring) > self._ring_bytes + _SPARE:
            del ring[: len(ring) - self._ring_bytes]
        self._tell()

    def resize(self, columns: int, rows: int) -> None:
        """Note that the terminal has another size from here on, and tell."""
        self._sizes.append((self.end, columns, rows))
        self.sizes_ever += 1
        if self._log and not self.error:
            try:
                self._log.resize(self.end, time.time(), (columns, rows))
            except OSError as error:
                self._try_later(self._log, error)
        self._tell()

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return output from an offset on, or from the next one that is kept; may be short.

        Raises:
            OSError: It is written down, and cannot be read.
        """
        start = self.recent
        if offset < start and self._log:
            found = self._log.read(offset, limit)
            if found and found[0] < max(start, offset + 1):
                return found
        offset = max(offset, start)
        return offset, bytes(self._ring[offset - start : offset - start + limit])

    def size_at(self, offset: int) -> int:
        """Return which of the sizes ever held at an offset, counted from 0."""
        number = self.sizes_ever
        for begin, _, _ in reversed(self._sizes):
            number -= 1
            if begin <= offset:
                break
        return number

    def size_of(self, number: int) -> tuple[int, int, int, int]:
        """Return a size by that count, or the oldest one kept: count, offset, columns and rows."""
        number = max(number, self.sizes_ever - len(self._sizes))
        return (number, *self._sizes[number - self.sizes_ever + len(self._sizes)])

    def finish(self) -> None:
        """Write down the rest; nothing more comes."""
        if self._log:
            self._is_over = True
            self._catch_up(self._log)
            self._log.close()
            if self.error is None:
                self._ring.clear()

    def complain(self, error: OSError) -> None:
        """Note why something could not be written down."""
        reason = error.strerror or str(error)
        if reason != self.error:
            self.error = reason
            self._on_error()

    def _catch_up(self, log: Log) -> None:
        """Write down what the log has not got, as far as it is still known.

        Where there was an error this shows whether it is over, also where nothing is missing.
        """
        offset = max(self.recent, log.end)
        if offset < self.end or self.error:
            self._write_down(log, offset, bytes(self._ring[offset - self.recent :]))

    def _write_down(self, log: Log, offset: int, data: bytes) -> None:
        try:
            log.append(offset, data, time.time(), self.size)
        except OSError as error:
            self._try_later(log, error)
        else:
            if self.error:
                self.error = None
                self._on_error()

    def _try_later(self, log: Log, error: OSError) -> None:
        self.complain(error)
        if not self._is_over and not self._retries:
            self._retries = True
            self._loop.later(_RETRY_S, lambda: self._retry(log))

    def _retry(self, log: Log) -> None:
        self._retries = False
        if not self._is_over:
            self._catch_up(log)

    def _tell(self) -> None:
        for follower in tuple(self.followers):
            follower()
