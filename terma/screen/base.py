"""The contract of a screen engine: bytes go in, and what a terminal would show comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backends.protocol.terminals import Row, Screen


class ScreenEngine(Protocol):
    """One terminal's screen. It lives in a worker process, which hostile output may kill."""

    NAME: str

    def feed(self, data: bytes) -> None:
        """Take the next output; it may end anywhere, within a character too."""

    def resize(self, columns: int, rows: int) -> None:
        """Take another size."""

    def show(self, scrollback: int = 0) -> Screen:
        """Return what is shown, with so many of the rows above; `offset` is 0."""

    def rows_above(self) -> int:
        """Return how many rows have scrolled away and are kept."""

    def text_above(self, first: int, count: int) -> Sequence[tuple[str, bool]]:
        """Return rows above as text and whether each goes on in the next; 0 is the oldest."""

    def repaint(self) -> bytes:
        """Return what brings a real terminal of this size, whatever it shows, to this state.

        Characters, looks, cursor, alternate screen, scroll region, and the modes that change what
        keys, mouse and pastes send; not what is above the screen.
        """

    def dump(self) -> bytes:
        """Return the state, rows above included, for `load` of the same engine."""

    def load(self, state: bytes) -> None:
        """Take over a state that `dump` returned.

        Raises:
            ValueError: It is none.
        """
