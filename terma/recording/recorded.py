"""What a terminal has put out, as it comes from its log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """Output from `offset` on: when it was put out (seconds since the epoch), on which size."""

    offset: int
    at: float
    columns: int
    rows: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


def read_frames(
    name: str,
    since: float | None = None,
    until: float | None = None,
    offset: int = 0,
    follows: bool = False,
) -> Iterator[Frame]:
    """Ask for a terminal's log and yield it, oldest first; closing it ends the asking.

    Args:
        name: The terminal, also a closed one.
        since: Leave out what came before that time.
        until: Leave out what came after that time.
        offset: Where to begin.
        follows: Go on as there is more, until the terminal ends.

    Raises:
        TektonError: There is no such terminal, or nobody to ask.
    """
    from base64 import b64decode

    from backends.client.blocking import BlockingTekton
    from backends.protocol.screens import LogPiece, ReadLog

    request = ReadLog(name=name, since=since, until=until, offset=offset, follows=follows)
    with BlockingTekton(is_local=True) as tekton:
        for item in tekton.stream(request):
            if isinstance(item, LogPiece):
                data = b64decode(item.data)
                yield Frame(item.offset, item.at, item.columns, item.rows, data)


def telling_gaps(frames: Iterable[Frame], tell: Callable[[str], None]) -> Iterator[Frame]:
    """Pass frames on, and tell of bytes between them that could not be kept: the disk was full."""
    end: int | None = None
    for frame in frames:
        if end is not None and frame.offset > end:
            tell(f"{frame.offset - end} bytes were not kept, before offset {frame.offset}")
        end = frame.end
        yield frame
