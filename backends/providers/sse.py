"""Server-sent events out of bytes (HTML standard, section 9.2.6), without any I/O."""

from __future__ import annotations

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a server that sends more in one is broken or means harm."""


class EventDecoder:
    """Collect the data of events from pieces of a stream, however they are cut.

    Names, ids and comments are dropped: the data of the protocols that use this says all.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[str] = []
        self._size = 0
        self._after_return = False

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of each event that this piece completes.

        Raises:
            ValueError: Not UTF-8, or an event is larger than `MAX_EVENT`.
        """
        if self._is_idle() and (data := _whole_event(piece)):
            return [data.decode()]
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r") if piece else self._after_return
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = piece.split(b"\n")
        self._line.append(first)
        self._size += len(piece)
        if self._size > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        if not others:
            return []
        lines = [b"".join(self._line), *others]
        self._line = [lines.pop()]
        complete: list[str] = []
        for line in lines:
            self._take(line, complete)
        if complete:
            self._size = len(self._line[0])
        return complete

    def _is_idle(self) -> bool:
        return not (self._data or self._after_return or any(self._line))

    def _take(self, line: bytes, complete: list[str]) -> None:
        if not line:
            if self._data:
                complete.append("\n".join(self._data))
                self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[6 if line[5:6] == b" " else 5 :].decode())
        elif line == b"data":
            self._data.append("")


def _whole_event(piece: bytes) -> bytes | None:
    """Return the data of a piece that is one event on one line, as nearly all are."""
    if piece[:6] != b"data: " or piece[-2:] != b"\n\n":
        return None
    return None if b"\n" in piece[:-2] or b"\r" in piece else piece[6:-2]
