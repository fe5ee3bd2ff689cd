"""Chunks on their way to a reader that may be slower than the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from backends.protocol.messages import Piece

_MAX_TEXT = 256 * 1024
_MAX_CHUNKS = 256


class Outlet:
    """Sends chunks from a task of its own; text that waits is joined into one piece.

    At most 256 KiB of text, or 256 other chunks, wait; then `put` waits for the reader.
    """

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send
        self._texts: list[str] = []
        self._size = 0
        self._chunks: list[Any] = []
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._is_closing = False

    async def put(self, chunk: Any) -> None:
        """Take the next chunk.

        Raises:
            ConnectionLost: The reader is gone.
        """
        if self._task.done():
            await self._task
        if isinstance(chunk, Piece) and chunk.notice is None:
            self._texts.append(chunk.text)
            self._size += len(chunk.text)
        else:
            self._join()
            self._chunks.append(chunk)
        self._filled.set()
        while (self._size > _MAX_TEXT or len(self._chunks) > _MAX_CHUNKS) and not self._task.done():
            self._emptied.clear()
            await self._emptied.wait()

    @property
    def failure(self) -> BaseException | None:
        """Why not everything was sent, once it is closed."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def close(self) -> None:
        """Send what waits and end; `failure` tells whether all of it was sent."""
        self._is_closing = True
        self._filled.set()
        with suppress(Exception):
            await self._task

    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                self._join()
                chunks, self._chunks, self._size = self._chunks, [], 0
                self._emptied.set()
                for chunk in chunks:
                    await self._send(chunk)
                if self._is_closing and not self._filled.is_set():
                    return
        finally:
            self._emptied.set()

    def _join(self) -> None:
        if self._texts:
            self._chunks.append(Piece(text="".join(self._texts)))
            self._texts = []
