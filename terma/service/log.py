"""Reading a terminal's log, while another process appends to it, rotates it and deletes from it.

The format is described in docs/reference/ptyhost.md. A reader sees each log as it was when the
reading began; what is deleted meanwhile is a gap, which the offsets show.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import struct
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from terma.ptyhost import files
from terma.service.piece import Piece

LIMIT = 256 * 1024
"""Most bytes in a piece."""

_SEGMENT = re.compile(r"([0-9]{20})\.log")
_RECORD = struct.Struct(">QdHH")
_BLOCK = 4096
"""Records that are read at once."""

_GATHERED = 512
"""Pieces that a thread fetches at once, where they are small."""

_MAX_OFFSET = 1 << 63


class _Mark(NamedTuple):
    """What is in force from an offset on."""

    offset: int
    at: float
    columns: int
    rows: int

    def is_like(self, other: _Mark) -> bool:
        return self.columns == other.columns and self.rows == other.rows


class Log:
    """A terminal's log in a folder of segments; a folder that is not there is an empty log.

    What runs in the terminal can put anything there: what is no plain file is passed over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def oldest(self) -> int:
        """The offset of the first byte that is kept."""
        return next(iter(self._starts()), 0)

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self._look()[1]

    def offset_at(self, time: float) -> int:
        """Return the offset of the first byte put out at a time or later; `end` if there is none.

        Where the clock was set back in between, it is one of several that could be meant.
        """
        return self._first(lambda at: at >= time)

    def pieces(
        self,
        offset: int = 0,
        since: float | None = None,
        until: float | None = None,
        limit: int = LIMIT,
        joins: bool = False,
    ) -> Iterator[Piece]:
        """Yield what is in the log, up to its end of this moment, in order and without a change.

        Args:
            offset: Where to begin; below the oldest byte means there.
            since: Leave out what was put out before that time.
            until: Leave out what was put out after that time.
            limit: Most bytes in a piece.
            joins: Make pieces as long as size and limit allow; `at` is then that of its first
                byte. Otherwise each piece has a time of its own.

        Raises:
            OSError: Something is there, and cannot be read.
        """
        starts, end = self._look()
        if since is not None:
            offset = max(offset, self.offset_at(since))
        if until is not None:
            last = until
            end = min(end, self._first(lambda at: at > last))
        before: _Mark | None = None
        for start in starts[max(bisect_right(starts, offset) - 1, 0) :]:
            segment = self._open(start)
            if segment is None:
                continue
            with segment:
                offset = max(offset, start)
                last_of_it = min(end, segment.end)
                room = limit if joins else 0
                for mark, stop in segment.spans(offset, last_of_it, before, room):
                    before = mark
                    for piece in segment.read(mark, offset, stop, limit):
                        offset = piece.end
                        yield piece

    async def stream(
        self,
        offset: int = 0,
        since: float | None = None,
        until: float | None = None,
        limit: int = LIMIT,
        joins: bool = False,
    ) -> AsyncIterator[Piece]:
        """Yield what `pieces` does; the disk is waited for in threads."""
        pieces = self.pieces(offset, since, until, limit, joins)
        while gathered := await asyncio.to_thread(_gather, pieces, limit):
            for piece in gathered:
                yield piece

    def _starts(self) -> list[int]:
        return self._look()[0]

    def _look(self) -> tuple[list[int], int]:
        """Return where the segments begin, and the end of the last one."""
        sizes = files.sizes(os.fspath(self._folder))
        found = {
            int(is_one[1]): sizes[name] for name in sizes if (is_one := _SEGMENT.fullmatch(name))
        }
        starts = sorted(start for start in found if start + found[start] < _MAX_OFFSET)
        return starts, starts[-1] + found[starts[-1]] if starts else 0

    def _first(self, is_it: Callable[[float], bool]) -> int:
        """Return the offset of the first mark with such a time."""
        starts, end = self._look()
        for start in starts:
            segment = self._open(start)
            if segment is None:
                continue
            with segment:
                mark = segment.find(lambda mark: is_it(mark.at))
            if mark is not None:
                return min(max(mark.offset, start), end)
        return end

    def _open(self, start: int) -> _Segment | None:
        # The times first, which are made before the bytes and deleted after them: where these
        # are still there, their times are what they were.
        times = self._file(start, "times")
        try:
            log = self._file(start, "log")
        except OSError:
            _close(times)
            raise
        if log < 0:  # deleted since
            _close(times)
            return None
        return _Segment(start, log, times)

    def _file(self, start: int, kind: str) -> int:
        return files.open_to_read(os.fspath(self._folder), f"{start:020}.{kind}")


class _Segment:
    """One segment that is open, so that it can be read to its end even when it is deleted."""

    def __init__(self, start: int, log: int, times: int) -> None:
        self.start = start
        self._log, self._times = log, times
        # In this order: bytes that are seen have their times in the other file by now.
        found = os.fstat(log)
        self.end = start + found.st_size
        self._written_at = found.st_mtime
        self._records = os.fstat(times).st_size // _RECORD.size if times >= 0 else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._log)
        _close(self._times)

    def find(self, is_it: Callable[[_Mark], bool]) -> _Mark | None:
        """Return the first mark of which that is true, where it is of all that follow."""
        if not self._records:
            mark = self._unmarked(None)
            return mark if is_it(mark) else None
        number = self._count_before(is_it)
        return next(self._marks(number), None)

    def spans(
        self, offset: int, end: int, before: _Mark | None, room: int
    ) -> Iterator[tuple[_Mark, int]]:
        """Yield what is in force from an offset on, and up to where, until an end is reached.

        Args:
            offset: Where to begin.
            end: Where to stop.
            before: What was in force at the end of the segment before.
            room: Pass over marks that change the time only, within so many bytes.
        """
        number = self._count_before(lambda mark: mark.offset > offset)
        now = next(self._marks(number - 1, 1)) if number else self._unmarked(before)
        passed: _Mark | None = None
        for mark in self._marks(number):
            if mark.offset >= end or offset >= end:
                break
            if passed and mark.offset > offset + room:
                yield now, passed.offset
                offset, now, passed = passed.offset, passed, None
            if mark.is_like(now) and offset < mark.offset <= offset + room:
                passed = mark
                continue
            if mark.offset > offset:
                yield now, mark.offset
                offset = mark.offset
            now, passed = mark, None
        if passed and end > offset + room:
            yield now, passed.offset
            offset, now = passed.offset, passed
        if offset < end:
            yield now, end

    def read(self, mark: _Mark, offset: int, stop: int, limit: int) -> Iterator[Piece]:
        """Yield the bytes between two offsets, for which a mark is in force."""
        while offset < stop:
            data = os.pread(self._log, min(stop - offset, limit), offset - self.start)
            if not data:
                return  # it was made shorter, which only a foreign hand does
            yield Piece(offset, mark.at, mark.columns, mark.rows, data)
            offset += len(data)

    def _unmarked(self, before: _Mark | None) -> _Mark:
        columns, rows = (before.columns, before.rows) if before else (80, 24)
        return _Mark(self.start, self._written_at, columns, rows)

    def _count_before(self, is_it: Callable[[_Mark], bool]) -> int:
        """Return how many marks come before the first of which that is true."""
        low, high = 0, self._records
        while low < high:
            middle = (low + high) // 2
            if is_it(next(self._marks(middle, 1))):
                high = middle
            else:
                low = middle + 1
        return low

    def _marks(self, number: int, block: int = _BLOCK) -> Iterator[_Mark]:
        """Yield the marks from one on; half a record at the end is none."""
        while number < self._records:
            size = min(self._records - number, block) * _RECORD.size
            data = os.pread(self._times, size, number * _RECORD.size)
            whole = len(data) - len(data) % _RECORD.size
            if not whole:
                return
            for record in _RECORD.iter_unpack(data[:whole]):
                yield self._sound(_Mark._make(record))
            number += whole // _RECORD.size

    def _sound(self, mark: _Mark) -> _Mark:
        """Return a mark whose time is one, whatever was in the file."""
        return mark if math.isfinite(mark.at) else mark._replace(at=self._written_at)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _gather(pieces: Iterator[Piece], limit: int) -> list[Piece]:
    """Take pieces of about so many bytes together; none at the end."""
    gathered: list[Piece] = []
    size = 0
    for piece in islice(pieces, _GATHERED):
        gathered.append(piece)
        size += len(piece.data)
        if size >= limit:
            break
    return gathered
