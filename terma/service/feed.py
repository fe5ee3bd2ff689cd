"""The newest output of a terminal, for those who follow it at their own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

_MAX_KEPT = 1024 * 1024
_JOINED = 4096
"""Bytes up to which a piece takes the next one in."""


@dataclass(frozen=True, slots=True)
class Resized:
    """From this offset on the terminal has another size."""

    offset: int
    columns: int
    rows: int


class Feed:
    """Keeps the newest output while somebody follows it; who falls behind reads the log.

    A follower holds an offset and asks for what comes after it. Nothing is queued for anybody.
    """

    def __init__(self, end: int) -> None:
        self.followers = 0
        self.is_over = False
        self.sizes: deque[Resized] = deque(maxlen=64)
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._begin = self._end = end
        self._news: list[asyncio.Future[None]] = []

    def put(self, offset: int, data: bytes) -> None:
        """Take the next output."""
        if self.followers:
            if offset != self._end:
                self._pieces.clear()
                self._begin = offset
            if self._pieces and len(self._pieces[-1][1]) < _JOINED:
                first, before = (
                    self._pieces.pop()
                )  # many small ones would have to be walked through
                self._pieces.append((first, before + data))
            else:
                self._pieces.append((offset, data))
            while self._pieces and offset + len(data) - self._begin > _MAX_KEPT:
                first, gone = self._pieces.popleft()
                self._begin = first + len(gone)
        else:
            self._pieces.clear()
            self._begin = offset + len(data)
        self._end = offset + len(data)
        self._wake()

    def resize(self, offset: int, columns: int, rows: int) -> None:
        """Note another size."""
        self.sizes.append(Resized(offset, columns, rows))
        self._wake()

    def finish(self) -> None:
        """Note that nothing more comes."""
        self.is_over = True
        self._wake()

    def after(self, offset: int) -> bytes | None:
        """Return what is there from an offset on; `None` where that lies before what is kept."""
        if offset < self._begin:
            return None
        found = []
        for first, data in reversed(self._pieces):
            if first + len(data) <= offset:
                break
            found.append(data[max(offset - first, 0) :])
        return found[0] if len(found) == 1 else b"".join(reversed(found))

    async def news(self) -> None:
        """Wait until something has changed since the call."""
        future = asyncio.get_running_loop().create_future()
        self._news.append(future)
        try:
            await future
        finally:
            if future in self._news:
                self._news.remove(future)

    async def over(self) -> None:
        """Wait until nothing more comes."""
        while not self.is_over:
            await self.news()

    def _wake(self) -> None:
        waiting, self._news = self._news, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
