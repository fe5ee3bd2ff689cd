"""A service `terma` with recordings of a test's own, read from real logs.

Its lines of text are what lies between line feeds, which is all that these tests need.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from backends.errors import NotFound
from backends.paths import find_paths
from backends.protocol.screens import (
    LogEnd,
    LogGroup,
    LogLines,
    LogPiece,
    ReadLines,
    ReadLog,
    Screen,
    ScreenChange,
    ShowScreen,
    WatchScreen,
)
from backends.protocol.terminals import (
    ListTerminals,
    TerminalEnd,
    TerminalInfo,
    Terminals,
    TerminalState,
)
from backends.service.base import Service, handles
from terma.ptyhost.log import Log as Writer
from terma.service.log import Log
from tests.backends.services import StageContext, elsewhere, running
from tests.scenarios.terminal import Terminal

TERMA = [sys.executable, "-c", "from terma.cli import main; main()"]
SMALL = (80, 24)


class Recordings(Service):
    """Has one terminal, alice, with a log that grows as the test says, and a screen."""

    name = "terma"

    def __init__(self, context: StageContext, folder: Path) -> None:
        super().__init__(context)
        self.log = Log(folder)
        self.screens: list[ScreenChange | TerminalEnd] = []
        self.scrollback = -1
        self.is_over = False
        self._writer = Writer(str(folder), 1 << 26)
        self._loop = asyncio.get_running_loop()

    def put(self, data: bytes, at: float, size: tuple[int, int] = SMALL) -> None:
        """Put out something."""
        self._writer.append(self._writer.end, data, at, size)

    def leave_out(self, count: int, at: float) -> None:
        """Put out so many bytes that are not written down."""
        self._writer.append(self._writer.end + count, b"", at, SMALL)

    @handles(ListTerminals)
    async def list(self, request: ListTerminals) -> Terminals:
        """List alice."""
        self._check(request.name)
        alice = TerminalInfo(
            name="alice", id="a" * 32, command=("/bin/bash",), oldest=self.log.oldest,
            end=self.log.end,
        )  # fmt: skip
        return Terminals(terminals=(alice,))

    @handles(ReadLog)
    async def read_log(self, request: ReadLog) -> AsyncGenerator[LogPiece | LogEnd, None]:
        """Stream the log."""
        self._check(request.name)
        offset = request.offset
        while True:
            is_over = self.is_over or not request.follows
            for piece in self.log.pieces(offset, request.since, request.until):
                yield LogPiece(
                    offset=piece.offset, at=piece.at, columns=piece.columns, rows=piece.rows,
                    data=base64.b64encode(piece.data).decode(),
                )  # fmt: skip
                offset = piece.end
            if is_over:
                break
            await asyncio.sleep(0.01)
        yield LogEnd(oldest=self.log.oldest, end=self.log.end)

    @handles(ReadLines)
    async def read_lines(self, request: ReadLines) -> AsyncGenerator[LogLines | LogEnd, None]:
        """Stream the lines, as the real service does."""
        self._check(request.name)
        flags = re.IGNORECASE if request.ignores_case else 0
        lines = [
            line
            for line in _lines(self.log, request.since, request.until)
            if re.search(request.pattern or "", line.text, flags)
        ]
        if lines:
            yield LogLines(groups=tuple(lines[-request.limit :]))
        yield LogEnd(oldest=self.log.oldest, end=self.log.end)

    @handles(ShowScreen)
    async def show(self, request: ShowScreen) -> Screen:
        """Show the first screen."""
        self._check(request.name)
        self.scrollback = request.scrollback
        first = self.screens[0]
        assert isinstance(first, ScreenChange)
        assert first.screen
        return first.screen

    @handles(WatchScreen)
    async def watch(self, request: WatchScreen) -> AsyncGenerator[ScreenChange | TerminalEnd, None]:
        """Stream what the test adds, until it is the end."""
        self._check(request.name)
        for number in range(1000):
            while len(self.screens) <= number:
                await asyncio.sleep(0.01)
            yield self.screens[number]

    def _check(self, name: str | None) -> None:
        if name not in ("alice", None):
            raise NotFound(f"no terminal named {name!r}", "`terma list` shows all")


def _lines(log: Log, since: float | None, until: float | None) -> Iterator[LogGroup]:
    text = b""
    end, at = 0, 0.0
    for piece in log.pieces(since=since, until=until):
        *whole, rest = piece.data.split(b"\n")
        end, at = piece.offset, piece.at
        for line in whole:
            end += len(line) + 1
            yield LogGroup(
                at=at, offset=end, text=(text + line).strip(b"\r").decode("utf-8", "replace")
            )
            text = b""
        text += rest
        end += len(rest)
    if text:
        yield LogGroup(at=at, offset=end, text=text.decode("utf-8", "replace"))


@contextmanager
def recordings() -> Iterator[Recordings]:
    """Serve a terminal's recordings on the sockets of this test's home."""

    @contextlib.asynccontextmanager
    async def work() -> AsyncIterator[Recordings]:
        context = StageContext()
        service = Recordings(context, find_paths().terminals / ("a" * 32) / "log")
        async with running(context, service):
            yield service

    with elsewhere(work) as service:
        yield service


class Person(Terminal):
    """`terma` on a terminal of its own, which closes with the block."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        super().__init__([*TERMA, *arguments], environment, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def now() -> float:
    """Return the time, whole, so that it comes back exactly."""
    return float(int(time.time()))


END = TerminalEnd(state=TerminalState.EXITED, exit_status=0, detail="exited with status 0")
