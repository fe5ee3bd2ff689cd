"""The status line: the last row, which what runs inside neither has nor knows of.

The terminal inside has one row less. What reaches for the last row all the same, as `ESC [ r` and
`ESC [ 999 ; 1 H` do, is changed on its way; what clears it makes it be drawn again. Drawing saves
and restores the cursor (DECSC), of which there is one only: a program that had saved its own and
then cleared the screen gets ours back.
"""

from __future__ import annotations

import re

from backends.protocol.terminals import TerminalInfo, TerminalState
from terma.attach.frame import width_of

_BEGINNING = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4})?\Z")
_REACHING = re.compile(
    rb"\x1b\[(?:(?P<region>[\d;]*)r|(?P<row>\d+)(?P<column>;\d*)?(?P<move>[Hfd]))"
    rb"|(?P<reset>\x1bc|\x1b\[!p)"
    rb"|(?P<clear>\x1b\[[0-3]?J|\x1b\[\?(?:1049|1047|47)[hl])"
)


class Guard:
    """Keeps output off the last row of a window.

    Args:
        rows: How many the terminal inside has: one less than the window.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._kept = b""
        self.is_cleared = True
        """Whether the line has to be drawn; whoever does so sets it to False."""

    @property
    def region(self) -> bytes:
        """What protects the row from scrolling; it moves the cursor."""
        return b"\x1b[1;%dr" % self._rows

    def feed(self, output: bytes) -> bytes:
        """Return what is shown of the next output; the beginning of a sequence is kept."""
        output = self._kept + output
        beginning = _BEGINNING.search(output)
        self._kept = beginning[0] if beginning else b""
        return _REACHING.sub(self._changed, output[: len(output) - len(self._kept)])

    def _changed(self, found: re.Match[bytes]) -> bytes:
        if found["reset"] is not None:
            self.is_cleared = True
            return found[0] + b"\x1b7" + self.region + b"\x1b8"
        if found["clear"] is not None:
            self.is_cleared = True
            return found[0]
        if found["row"] is not None:
            row = min(int(found["row"]), self._rows)
            return b"\x1b[%d%s%s" % (row, found["column"] or b"", found["move"])
        top, _, bottom = found["region"].partition(b";")
        if b";" in bottom:
            return found[0]
        last = min(int(bottom or 0) or self._rows, self._rows)
        return b"\x1b[%d;%dr" % (int(top or 0) or 1, last)


def status_text(
    name: str, info: TerminalInfo | None, notice: str = "", is_read_only: bool = False
) -> str:
    """Return the words of a status line, in characters of one column."""
    words = [info.name if info is not None else name]
    if is_read_only:
        words.append("read-only")
    if info is not None:
        words.append(_state_of(info))
        if info.unread:
            words.append(f"{info.unread} unread")
        others = info.attached - 1
        if others > 0:
            words.append(f"{others} other{'s' if others > 1 else ''} attached")
    if notice:
        words.append(notice)
    text = " | ".join(words)
    return " " + "".join(c if c.isprintable() and width_of(c) == 1 else "?" for c in text)


def _state_of(info: TerminalInfo) -> str:
    shows_more = info.state in (TerminalState.BUSY, TerminalState.WAITING) and info.detail
    return f"{info.state.value}: {info.detail}" if shows_more else info.state.value
