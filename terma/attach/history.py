"""The rows above the screen, which come into the window before anything else does.

They can be asked for once the terminal has the window's size, so after the first repaint; that is
held, with what follows it, until they are there. The rows tell at which offset they were above.
What has been put out between is still to be shown, and takes about as many rows up again as it
has line feeds: so many are left out, so that none comes twice.
"""

from __future__ import annotations

from base64 import b64decode

from backends.protocol.screens import Row, Screen
from backends.protocol.terminals import Output

ROWS = 1_000
_PATIENCE_S = 1.0
_MAX_HELD = 1 << 20


class History:
    """Holds output until the rows are there, or too long in coming; all of it happens once."""

    def __init__(self, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._held: list[Output] = []
        self._size = 0
        self._screen: Screen | None = None
        self.deadline: float | None = None
        """When `release` has to be called, as long as something is held."""

    def begin(self, repaint: Output, now: float) -> bool:
        """Hold a repaint, if it is the first; returns whether the rows have to be asked for."""
        is_first, self._is_wanted = self._is_wanted, False
        if is_first:
            self._held, self._size = [repaint], 0
            self.deadline = now + _PATIENCE_S
        return is_first

    def hold(self, output: Output) -> bool:
        """Hold what follows the repaint; returns whether that is being held at all."""
        if self.deadline is None:
            return False
        if output.is_repaint:
            self._held.clear()
        self._held.append(output)
        self._size += len(output.data)
        return True

    def take(self, screen: Screen) -> None:
        """Take the rows."""
        self._screen = screen

    @property
    def is_ready(self) -> bool:
        """Whether nothing more has to be waited for."""
        if self.deadline is None:
            return False
        return self._size > _MAX_HELD or (
            self._screen is not None and _end_of(self._held[-1]) >= self._screen.offset
        )

    def release(self) -> tuple[tuple[Row, ...], list[Output]]:
        """Return the rows, none where they did not come in time, and what was held."""
        held, screen = self._held, self._screen
        self._held, self._screen, self.deadline = [], None, None
        if screen is None or screen.is_alternate or _end_of(held[-1]) < screen.offset:
            return (), held
        fed = (
            b64decode(output.data)[: max(screen.offset - output.offset, 0)] for output in held[1:]
        )
        still_to_come = sum(data.count(b"\n") for data in fed)
        return screen.scrollback[: max(len(screen.scrollback) - still_to_come, 0)], held

    def forget(self) -> None:
        """Hold nothing: the hub is gone, and what it repaints is another beginning."""
        self._held, self._screen, self.deadline = [], None, None


def _end_of(output: Output) -> int:
    return output.offset + (0 if output.is_repaint else len(output.data) * 3 // 4)
