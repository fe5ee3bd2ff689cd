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

    Raises:
        OSError: The folder cannot be read.
    """

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._segment_bytes = max(_LEAST_SEGMENT, limit // _SEGMENTS)
        self.segments = _find(folder)
        self.end = self.segments[-1].end if self.segments else 0
        """The offset behind the last byte that is written down."""
        self._data = self._times = -1
        self._timed_at = 0.0
        self._size = (0, 0)

    def append(self, offset: int, data: bytes, now: float, size: tuple[int, int]) -> None:
        """Write down output; `end` tells how far that came, also where it fails.

        Raises:
            OSError: Not all of it could be written; the next time a new segment is begun.
        """
        try:
            if self._data < 0 or offset != self.end or self._is_full():
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
            if segment.end <= offset:
                continue
            begin = max(offset, segment.start)
            data = self._read(segment, begin, limit)
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

    def _read(self, segment: Segment, offset: int, limit: int) -> bytes:
        fd = files.open_to_read(self.folder, _name(segment.start, "log"))
        if fd < 0:
            return b""
        try:
            return os.pread(fd, min(limit, segment.end - offset), offset - segment.start)
        finally:
            os.close(fd)


def _name(start: int, kind: str) -> str:
    return f"{start:0{_DIGITS}d}.{kind}"


def _find(folder: str) -> list[Segment]:
    """Find the segments in a folder; what is no plain file is none."""
    sizes = files.sizes(folder)
    found = []
    for name in sorted(sizes):
        number = name.removesuffix(".log")
        if number == name or len(number) != _DIGITS or not number.isdecimal():
            continue
        start, size = int(number), sizes[name]
        if size and start + size < _MAX_OFFSET:
            found.append(Segment(start, start + size, sizes.get(f"{number}.times", 0)))
    return found
