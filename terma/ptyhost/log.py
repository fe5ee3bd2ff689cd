"""The log of one terminal: segments of raw output beside the times at which it was put out."""

from __future__ import annotations

import errno
import os
import struct

from terma.ptyhost import files

RECORD = struct.Struct(">QdHH")
"""Of a `.times` file: offset, seconds since the epoch, columns, rows."""

_LEAST_SEGMENT = 64 << 10
_SEGMENTS = 16
_BETWEEN_TIMES_S = 0.01
_DIGITS = 20
_MAX_OFFSET = 1 << 63


class Segment:
    """Bytes from `start` up to `end`, and how long their `.times` file is."""

    __slots__ = ("end", "start", "times")

    def __init__(self, start: int, end: int, times: int) -> None:
        self.start, self.end, self.times = start, end, times

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self.end - self.start + self.times


class Log:
    """A folder of segments, to the last of which is written.

    Args:
        folder: Made when it is first written to; what is in it already is continued.
        limit: Bytes of all segments together.
        end: How far output is known to have come; the log may have been cut short.

    Raises:
        OSError: The folder cannot be read.
    """

    def __init__(self, folder: str, limit: int, end: int = 0) -> None:
        self.folder = folder
        self._limit = limit
        self._segment_bytes = max(_LEAST_SEGMENT, limit // _SEGMENTS)
        sizes = files.sizes(folder)
        self.segments = _find(sizes)
        ends = [segment.end for segment in self.segments[-1:]]
        self.end = max([_last_time(folder, sizes), *ends, end if end < _MAX_OFFSET else 0])
        """The offset behind the last byte that is written down, or was."""
        self._data = self._times = -1
        self._timed_at = 0.0
        self._size = (0, 0)

    def append(self, offset: int, data: bytes, now: float, size: tuple[int, int]) -> None:
        """Write down output; `end` tells how far that came, also where it fails.

        Raises:
            OSError: Not all of it could be written; the next time a new segment is begun.
        """
        try:
            if self._data < 0 or offset != self.end or self._is_full() or self._is_cut():
                self.close()
                self._begin(offset)
            if size != self._size or now - self._timed_at >= _BETWEEN_TIMES_S:
                self._record(offset, now, size)
            rest = memoryview(data)
            while rest:
                written = os.write(self._data, rest)
                self.end = self.segments[-1].end = self.end + written
                rest = rest[written:]
        except OSError:
            self._drop()
            raise

    def resize(self, offset: int, now: float, size: tuple[int, int]) -> None:
        """Write down a change of size, where a segment is open; else the next one begins with it.

        Raises:
            OSError: It could not be written.
        """
        if self._data < 0 or offset != self.end:
            return
        try:
            self._record(offset, now, size)
        except OSError:
            self._drop()
            raise

    def read(self, offset: int, limit: int) -> tuple[int, bytes] | None:
        """Return bytes from an offset on, or from the next one that is kept; `None` beyond all.

        Raises:
            OSError: The file is there and cannot be read.
        """
        for segment in tuple(self.segments):
            begin = max(offset, segment.start)
            if begin >= segment.end:
                continue
            most = min(limit, segment.end - begin)
            data = files.read(self.folder, _name(segment.start, "log"), begin - segment.start, most)
            if data or not limit:
                return begin, data
            # Somebody has removed it, or cut it short.
            if segment is self.segments[-1]:
                self.close()
            segment.end = begin
            if segment.end == segment.start:
                self.segments.remove(segment)
        return None

    def close(self) -> None:
        """Close the files; what is in them stays readable."""
        for fd in (self._data, self._times):
            if fd >= 0:
                os.close(fd)
        self._data = self._times = -1

    def _is_full(self) -> bool:
        return self.segments[-1].size >= self._segment_bytes

    def _is_cut(self) -> bool:
        """Tell whether somebody has cut the last segment short, and end it there.

        What somebody has added to it is removed.
        """
        segment = self.segments[-1]
        end = segment.start + os.lseek(self._data, 0, os.SEEK_END)
        if end > segment.end:
            os.ftruncate(self._data, segment.end - segment.start)
        if end >= segment.end:
            return False
        segment.end = end
        self._drop()
        return True

    def _begin(self, offset: int) -> None:
        kept = sum(segment.size for segment in self.segments)
        while self.segments and kept + self._segment_bytes > self._limit:
            kept -= self.segments[0].size
            self._remove(self.segments[0])
        try:
            os.mkdir(self.folder, 0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(self.folder, 0o700)
        self.segments.append(Segment(offset, offset, 0))
        self.end = offset
        # In this order, and removed in the other one: where there are bytes, there are times.
        self._times = files.create(self.folder, _name(offset, "times"))
        self._data = files.create(self.folder, _name(offset, "log"))
        self._timed_at = 0.0

    def _record(self, offset: int, now: float, size: tuple[int, int]) -> None:
        if not os.fstat(self._data).st_nlink:
            raise OSError(errno.ENOENT, "the log was removed", self.folder)
        written = os.write(self._times, RECORD.pack(offset, now, *size))
        self.segments[-1].times += written
        if written < RECORD.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.folder)
        self._timed_at, self._size = now, size

    def _drop(self) -> None:
        """End a segment that cannot be written to; one without a byte leaves no file behind."""
        self.close()
        if self.segments and self.segments[-1].end == self.segments[-1].start:
            segment = self.segments.pop()
            for kind in ("log", "times"):
                try:
                    files.remove(self.folder, _name(segment.start, kind))
                except OSError:
                    pass  # it was not made, or is in nobody's way: the next one takes its place

    def _remove(self, segment: Segment) -> None:
        for kind in ("log", "times"):
            files.remove(self.folder, _name(segment.start, kind))
        self.segments.remove(segment)


def _name(start: int, kind: str) -> str:
    return f"{start:0{_DIGITS}d}.{kind}"


def _start_of(name: str, kind: str) -> int:
    """Return the offset in the name of a file of that kind; -1 where it is none."""
    number = name.removesuffix(f".{kind}")
    if number == name or len(number) != _DIGITS or not number.isdecimal():
        return -1
    return int(number) if int(number) < _MAX_OFFSET else -1


def _find(sizes: dict[str, int]) -> list[Segment]:
    """Find the segments among the plain files of a folder."""
    found: list[Segment] = []
    for name in sorted(sizes):
        start, size = _start_of(name, "log"), sizes[name]
        if start < 0 or not size or start + size >= _MAX_OFFSET:
            continue
        if found:  # what somebody has added to it is no output
            found[-1].end = min(found[-1].end, start)
        found.append(Segment(start, start + size, sizes.get(_name(start, "times"), 0)))
    return found


def _last_time(folder: str, sizes: dict[str, int]) -> int:
    """Return the offset of the last record, up to which there was output once."""
    start = max((_start_of(name, "times") for name in sizes), default=-1)
    if start < 0:
        return 0
    name = _name(start, "times")
    whole = sizes[name] // RECORD.size * RECORD.size
    last = files.read(folder, name, max(0, whole - RECORD.size), RECORD.size)
    offset = RECORD.unpack(last)[0] if len(last) == RECORD.size else 0
    return max(start, offset if offset < _MAX_OFFSET else 0)
