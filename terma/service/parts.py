"""Output on its way to a worker: joined to batches, and cut to what an engine reads at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace

from terma.service.piece import Piece

FAST, SIMPLE = "ghostty", "bittty"
"""The engine that is tried first, and the one that no output can kill."""

BATCH = 256 << 10
"""Bytes of output that are fetched at once."""

FIRST = 1 << 10
"""Bytes that an engine gets at least, and first, when nobody knows how long it takes with them."""

LATE_S = 1.0
"""Processor seconds that an engine may lag behind its rate; after that it is too slow."""

TOO_SLOW = "it takes too long with its output"

_SLICE_S = 0.05
"""Processor seconds that a slice should take at most: others wait for that long."""

_MOST = {FAST: BATCH, SIMPLE: 32 << 10}
_RATES = {FAST: 128 << 10, SIMPLE: 16 << 10}
"""Bytes in a processor second. With what programs put out, each does several times as many."""


@dataclass(frozen=True, slots=True)
class Part:
    """Output from an offset on, for a terminal of a size; without data, a new size."""

    offset: int
    columns: int
    rows: int
    data: bytes = b""
    at: float = 0.0

    def cut(self, start: int, end: int | None = None) -> Part:
        """Return a piece of it."""
        return replace(self, offset=self.offset + start, data=self.data[start:end])


class Pace:
    """How much output an engine gets at once, and whether it keeps up with a terminal."""

    def __init__(self) -> None:
        self.begin(FAST)

    def begin(self, engine: str) -> None:
        """Start with an engine."""
        self.size = FIRST
        self._most, self._rate = _MOST[engine], _RATES[engine]
        self._late = 0.0

    def keeps_up(self, size: int, seconds: float) -> bool:
        """Note how much processor time some output took; tell whether that is good enough."""
        if seconds > _SLICE_S:
            self.size = max(self.size // 4, FIRST)
        elif size >= self.size and seconds < _SLICE_S / 4:
            self.size = min(self.size * 4, self._most)
        self._late = max(self._late + seconds - size / self._rate, 0.0)
        return self._late <= LATE_S


async def batches(pieces: AsyncIterator[Piece]) -> AsyncGenerator[list[Part], None]:
    """Join pieces that follow each other; a gap begins another batch."""
    batch: list[Part] = []
    size = 0
    async for piece in pieces:
        end = batch[-1].offset + len(batch[-1].data) if batch else piece.offset
        if batch and (size + len(piece.data) > BATCH or piece.offset != end):
            yield batch
            batch, size = [], 0
        batch.append(Part(piece.offset, piece.columns, piece.rows, piece.data, piece.at))
        size += len(piece.data)
    if batch:
        yield batch


def sliced(parts: list[Part], size: int) -> tuple[list[Part], list[Part]]:
    """Return what is read at once, so many bytes at most and for one size, and what is left."""
    taken: list[Part] = []
    for number, part in enumerate(parts):
        is_other = taken and (taken[0].columns, taken[0].rows) != (part.columns, part.rows)
        if is_other or (taken and size == 0):
            return taken, parts[number:]
        if len(part.data) > size:
            return [*taken, part.cut(0, size)], [part.cut(size), *parts[number + 1 :]]
        taken.append(part)
        size -= len(part.data)
    return taken, []


def from_offset(parts: list[Part], offset: int) -> list[Part]:
    """Return the parts from an offset on."""
    wanted = []
    for part in parts:
        skipped = offset - part.offset
        if skipped <= 0:
            wanted.append(part)
        elif skipped < len(part.data):
            wanted.append(part.cut(skipped))
    return wanted
