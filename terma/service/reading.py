"""Reading what a terminal has put out: once, or as it comes."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from backends.errors import UsageError
from backends.protocol.screens import LogEnd, LogGroup, LogLines
from terma.service.piece import Piece
from terma.service.rendering import Wanted
from terma.service.screens import Screens
from terma.service.terminals import Terminals

_GROUPS = 200
"""Groups of lines that are sent together."""


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


def check_pattern(pattern: str | None) -> None:
    """Refuse what is no regular expression.

    Raises:
        UsageError: It is none.
    """
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{pattern!r} is no regular expression: {error}",
            "put a backslash before a character that is meant as it stands",
        ) from error


async def read_lines(
    screens: Screens, pieces: AsyncIterator[Piece], id_: str, wanted: Wanted
) -> AsyncGenerator[LogLines | int, None]:
    """Yield those lines of a log that are wanted; at last, how many more there were of them.

    Raises:
        UsageError: The pattern takes too long.
        TektonError: The log cannot be worked out.
    """
    kept: deque[LogGroup] = deque()
    count = left_out = 0
    async with aclosing(screens.lines(pieces, id_, wanted)) as found:
        async for groups, over in found:
            left_out += over
            if not wanted.limit:
                if groups:
                    yield LogLines(groups=tuple(groups))
                continue
            kept.extend(groups)
            count += sum(map(_size, groups))
            while (excess := count - wanted.limit) > 0:
                first = kept.popleft()
                dropped = min(_size(first), excess)
                if dropped < _size(first):
                    kept.appendleft(_without(first, dropped))
                count -= dropped
                left_out += dropped
    for begin in range(0, len(kept), _GROUPS):
        yield LogLines(groups=tuple(itertools.islice(kept, begin, begin + _GROUPS)))
    yield left_out


def _size(group: LogGroup) -> int:
    return group.text.count("\n") + 1


def _without(group: LogGroup, count: int) -> LogGroup:
    """Return a group without its first so many lines, of more."""
    return dataclasses.replace(group, text=group.text.split("\n", count)[count])
