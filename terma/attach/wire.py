"""What an attached person has open with the hub: the output, the keys, the screen for a frame.

Output has a connection of its own: while a slow terminal keeps it waiting, the answers to what is
typed still arrive.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from backends.errors import ConnectionLost, TektonError
from backends.protocol.connection import (
    ChunkReceived,
    ErrorReceived,
    Refused,
    RequestId,
    ResultReceived,
)
from backends.protocol.screens import Screen, ScreenChange, ShowScreen, WatchScreen
from backends.protocol.terminals import (
    AttachTerminal,
    ListTerminals,
    Output,
    ResizeTerminal,
    TerminalEnd,
    Terminals,
    WriteTerminal,
)
from terma.attach.link import Link

_PIECE = 1 << 16
_MAX_TYPED = 4 << 20
"""Bytes that wait to be typed before no more are taken."""

Size: TypeAlias = tuple[int, int]
"""Columns and rows."""


@dataclass(frozen=True)
class Trouble:
    """Something was refused, and so many bytes that were typed did not arrive."""

    error: TektonError
    untyped: int = 0


Arrival: TypeAlias = Output | Screen | ScreenChange | TerminalEnd | Terminals | Trouble


class Wire:
    """One terminal of the hub, by its id; made anew after the hub was lost.

    With `takes_size` the terminal gets that size at once; otherwise when something is typed.

    Raises:
        OSError: No hub listens.
    """

    def __init__(self, terminal: str, size: Size, is_read_only: bool, takes_size: bool) -> None:
        self._terminal = terminal
        self._is_read_only = is_read_only
        self.output = Link("terma")
        try:
            self.typing = Link("terma")
        except BaseException:
            self.output.close()
            raise
        self._attach_as: Size | None = None
        self._attaching: RequestId | None = None
        self._watching: RequestId | None = None
        self._showing: RequestId | None = None
        self._writing: RequestId | None = None
        self._sent = 0
        self._resizing: RequestId | None = None
        self._next_size: Size | None = None
        self._asking: RequestId | None = None
        self._attachment: str | None = None
        self._typed = bytearray()
        self.attach(size, takes_size)

    def close(self) -> None:
        """Hang up."""
        self.output.close()
        self.typing.close()

    # -- what is asked -----------------------------------------------------------------------

    def attach(self, size: Size, takes_size: bool = True) -> None:
        """Attach, or attach anew to get a repaint; a write that is under way ends before."""
        self._attachment = None
        self._attach_as, self._takes_size = size, takes_size
        self._attach()

    def _attach(self) -> None:
        if self._attach_as is None or self._writing is not None or self._resizing is not None:
            return
        (columns, rows), self._attach_as = self._attach_as, None
        if self._attaching is not None:
            self.output.cancel(self._attaching)
        self._attaching = self.output.ask(
            AttachTerminal(
                name=self._terminal,
                columns=columns,
                rows=rows,
                is_read_only=self._is_read_only,
                takes_size=self._takes_size,
            )
        )

    def watch(self, is_wanted: bool) -> None:
        """Follow the screen, or do so no longer."""
        if is_wanted and self._watching is None:
            self._watching = self.output.ask(WatchScreen(name=self._terminal))
        elif not is_wanted and self._watching is not None:
            self.output.cancel(self._watching)
            self._watching = None

    def ask_history(self, rows: int) -> None:
        """Ask for so many rows above the screen; they come with a `Screen`."""
        self._showing = self.output.ask(ShowScreen(name=self._terminal, scrollback=rows))

    def type(self, keys: bytes) -> None:
        """Type; while an answer is awaited, what comes is joined to one write."""
        self._typed += keys
        self._write()

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be typed that no more should be read."""
        return len(self._typed) > _MAX_TYPED

    @property
    def untyped(self) -> int:
        """How many bytes the terminal has not taken, as far as anybody knows."""
        return len(self._typed)

    def resize(self, size: Size) -> None:
        """Tell the size of the person's window; of several while one is told, the last counts."""
        self._next_size = size
        self._resize()

    def ask_state(self, of_all: bool) -> None:
        """Ask how the terminal is, and the others too on wish; the answer comes as `Terminals`."""
        if self._asking is None:
            name = None if of_all else self._terminal
            self._asking = self.typing.ask(ListTerminals(name=name))

    def _write(self) -> None:
        if self._writing is None and self._typed and self._attachment is not None:
            data = bytes(self._typed[:_PIECE])
            self._sent = len(data)
            self._writing = self.typing.ask(
                WriteTerminal(
                    name=self._terminal,
                    data=b64encode(data).decode("ascii"),
                    attachment=self._attachment,
                )
            )

    def _resize(self) -> None:
        if self._resizing is None and self._next_size and self._attachment is not None:
            (columns, rows), self._next_size = self._next_size, None
            self._resizing = self.typing.ask(
                ResizeTerminal(
                    name=self._terminal, columns=columns, rows=rows, attachment=self._attachment
                )
            )

    # -- what comes --------------------------------------------------------------------------

    def receive(self, link: Link) -> Iterator[Arrival]:
        """Yield what has come on one of the two connections.

        Raises:
            ConnectionLost: The hub is gone, or goes.
            TektonError: The terminal cannot be attached to.
        """
        for event in link.receive():
            if isinstance(event, Refused):
                raise event.error
            if isinstance(event, ErrorReceived):
                yield from self._take_error(link, event)
            elif isinstance(event, ChunkReceived | ResultReceived):
                yield from self._take(link, event)

    def _take(self, link: Link, event: ChunkReceived | ResultReceived) -> Iterator[Arrival]:
        if link is self.typing:
            yield from self._take_answer(event.id, event.value)
            return
        if event.id not in (self._attaching, self._watching, self._showing):
            return  # it was cancelled meanwhile
        if isinstance(event.value, Output) and event.value.attachment is not None:
            self._attachment = event.value.attachment
            self._write()
            self._resize()
        yield event.value

    def _take_answer(self, number: RequestId, value: Any) -> Iterator[Arrival]:
        if number == self._writing:
            self._writing = None
            if value.written < 1:
                yield self._give_up(TektonError("the terminal took nothing"))
            del self._typed[: min(value.written, self._sent)]
            self._write()
            self._attach()
        elif number == self._resizing:
            self._resizing = None
            self._resize()
            self._attach()
        elif number == self._asking:
            self._asking = None
            yield value

    def _take_error(self, link: Link, event: ErrorReceived) -> Iterator[Arrival]:
        number, error = event.id, event.error
        if isinstance(error, ConnectionLost) or (link is self.output and number == self._attaching):
            raise error
        if link is self.output:
            if number in (self._watching, self._showing):
                self._watching = None if number == self._watching else self._watching
                yield Trouble(error)
        elif number == self._writing:
            self._writing = None
            self._attach()
            yield self._give_up(error)
        else:
            self._resizing = None if number == self._resizing else self._resizing
            self._asking = None if number == self._asking else self._asking
            self._attach()
            yield Trouble(error)

    def _give_up(self, error: TektonError) -> Trouble:
        """Forget what was typed: sent later, it would come as a surprise."""
        count = len(self._typed)
        self._typed.clear()
        return Trouble(error, count)
