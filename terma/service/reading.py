"""Reading what a terminal has put out: once, or as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing

from backends.protocol.screens import LogEnd, LogLine
from terma.service.piece import Piece
from terma.service.terminals import Terminals

_LINES = 200
"""Lines that are sent together."""


def pieces_between(
    terminals: Terminals, id_: str, since: float | None, until: float | None
) -> AsyncIterator[Piece]:
    """Yield what is in a log between two times, closed terminals' too."""
    return terminals.log_of(id_).stream(since=since, until=until)


async def follow_log(
    terminals: Terminals,
    id_: str,
    offset: int,
    since: float | None,
    until: float | None,
    follows: bool,
) -> AsyncGenerator[Piece, None]:
    """Yield what is in a log, and go on as there is more where that is asked for.

    It ends with the terminal, or at `until`.
    """
    terminal = terminals.table.get(id_) if follows else None
    if terminal is None:
        async for piece in terminals.log_of(id_).stream(offset, since, until):
            yield piece
        return
    feed = terminal.feed
    while True:
        is_over = feed.is_over  # looked at first: what came before the end is still read
        async for piece in terminals.log_of(id_).stream(offset, since, until):
            yield piece
            offset = piece.end
        if is_over or (until is not None and terminals.now() > until):
            return
        if offset >= terminal.end:
            await feed.news()


def log_end(terminals: Terminals, id_: str) -> LogEnd:
    """Return how far a log reaches."""
    log = terminals.log_of(id_)
    return LogEnd(oldest=log.oldest, end=log.end)


async def batches(lines: AsyncGenerator[LogLine, None]) -> AsyncGenerator[list[LogLine], None]:
    """Yield lines together, as many as a message should carry."""
    batch: list[LogLine] = []
    async with aclosing(lines):
        async for line in lines:
            batch.append(line)
            if len(batch) >= _LINES:
                yield batch
                batch = []
    if batch:
        yield batch


def split(lines: Sequence[LogLine]) -> Iterator[tuple[LogLine, ...]]:
    """Yield lines in parts that a message should carry."""
    for begin in range(0, len(lines), _LINES):
        yield tuple(lines[begin : begin + _LINES])
