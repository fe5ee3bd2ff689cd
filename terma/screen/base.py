"""The contract of a screen engine: bytes go in, and what a terminal would show comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backends.protocol.rows import Screen

Rows = Sequence[tuple[str, bool]]
"""Rows as text, each with whether it goes on in the next; no blanks at the end of a line."""

MAX_ANSWERS = 1 << 16
"""Bytes after which an engine takes no further answer in, until it is asked for them."""


class ScreenEngine(Protocol):
    """One terminal's screen. It lives in a worker process, which hostile output may kill."""

    NAME: str

    def feed(self, data: bytes) -> None:
        """Take the next output; it may end anywhere, within a character too."""

    def answers(self) -> bytes:
        """Return what the terminal has answered its program since the last call."""

    def resize(self, columns: int, rows: int) -> None:
        """Take another size."""

    def show(self, scrollback: int = 0) -> Screen:
        """Return what is shown, with so many of the rows above; `offset` is 0."""

    def scrolled(self) -> Rows:
        """Return the rows that have left the screen at its top since the last call.

        The oldest is first; what is erased is in none.
        """

    def visible(self) -> Rows:
        """Return the rows on the primary screen, but for those that `scrolled` has returned."""

    def passed(self) -> int | None:
        """Return how many rows above the cursor's `scrolled` has not returned.

        While the alternate screen is shown, nobody knows.
        """

    def place(self) -> tuple[int, int, bool]:
        """Return the cursor's column and row, and whether the alternate screen is shown."""

    def is_plain(self) -> bool:
        """Tell whether text and line ends are shown just as they come.

        So there are no margins, no other characters than those meant, and nothing has begun.
        """

    def repaint(self) -> bytes:
        """Return what brings a real terminal of this size, whatever it shows, to this state.

        Characters, looks, cursor, alternate screen, scroll region, and the modes that change what
        keys, mouse and pastes send; not what is above the screen.
        """

    def dump(self) -> bytes:
        """Return the state, rows above included, for `load` of any engine."""

    def load(self, state: bytes) -> None:
        """Take over a state that `dump` of some engine returned.

        Raises:
            ValueError: It is none.
        """

    def close(self) -> None:
        """Free what the engine holds; it is not used again."""
