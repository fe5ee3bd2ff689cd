"""Lines in and out: one JSON object a line, as stream transports carry it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_MESSAGE = 16 * 1024 * 1024
"""Largest message, in bytes, without its line end."""


@dataclass(frozen=True)
class Oversized:
    """Stands where a message was larger than the limit (bytes); its own bytes are gone."""

    limit: int


class LineFramer:
    """Splits a stream of bytes into messages; keeps at most one message of the limit.

    Empty lines are passed over, and a carriage return before the newline is dropped. A message
    over the limit is thrown away up to its newline and reported once; the stream stays usable.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._discarding = False

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """Take the next bytes; return the messages that they complete, in order."""
        messages: list[bytes | Oversized] = []
        scanned = len(self._buffer)
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", max(start, scanned))) >= 0:
            line = bytes(self._buffer[start:end]).removesuffix(b"\r")
            start = end + 1
            if self._discarding:
                self._discarding = False
            elif len(line) > self.limit:
                messages.append(Oversized(self.limit))
            elif line:
                messages.append(line)
        del self._buffer[:start]
        if self._discarding:
            self._buffer.clear()
        elif len(self._buffer) > self.limit + 1:  # the one byte more may be a carriage return
            self._buffer.clear()
            self._discarding = True
            messages.append(Oversized(self.limit))
        return messages


def frame(message: bytes) -> bytes:
    """Give a message its line end."""
    return message + b"\n"
