"""What is told to a person's terminal: its modes as they were, a line of ours, what may be cut.

Sequences are of ECMA-48 and xterm's "Control Sequences", but for the keyboard protocol of kitty.
"""

from __future__ import annotations

import re

CUT = b"\x18\x1b\\"
"""Ends a sequence or string that was not sent whole."""

PUSH_TITLE = b"\x1b[22;0t"
POP_TITLE = b"\x1b[23;0t"

_KEYBOARD = b"\x1b[<99u\x1b[=0u\x1b[>4;0m"  # kitty's stack, which each screen has; xterm's


def _off(*modes: int) -> bytes:
    return b"".join(b"\x1b[?%dl" % mode for mode in modes)


REPORTS_OFF = _off(9, 1000, 1001, 1002, 1003, 1005, 1006, 1015, 1016, 1004, 2031, 2048)
"""Ends what a terminal tells without a key: of the mouse, focus, colours and sizes."""

_MODES_OFF = _off(
    2026,  # synchronized output
    2004,  # marks of a paste
    69,  # margins left and right
    5, 45,  # reverse video, wrapping back
    1, 66,  # application keys: cursor, keypad
)  # fmt: skip

_RESET = b"".join(
    (
        _KEYBOARD,
        b"\x1b[!p",  # DECSTR: all but the mouse, where a terminal knows it
        b"\x1b7\x1b[r\x1b8",  # the scroll region; it moves the cursor
        b"\x1b[4l\x1b[20l\x1b[?7h\x1b>\x1b(B\x1b)B\x0f\x1b[0m\x1b]8;;\x1b\\\x1b[0 q\x1b[?25h",
    )
)  # fmt: skip

ORIGIN = b"\x1b[?6h"
ORIGIN_OFF = b"\x1b[?6l"

CLEAR = ORIGIN_OFF + b"\x1b[H\x1b[2J"

ALTERNATE = b"\x1b[?1049h"
"""Shows the alternate screen, and keeps the cursor's place on the main one."""

UNSURE = 47
"""The mode that leaves the alternate screen and, on the main one, does nothing at all."""


def reset(alternate: int | None) -> bytes:
    """Return what undoes every mode that a program may have set, and shows the main screen.

    On the main screen the cursor stays. But for `ORIGIN`, where a terminal does not know DECSTR:
    to undo that moves the cursor.

    Args:
        alternate: The mode by which the alternate screen is shown, if it is. Only then it is
            left: on the main screen mode 1049 takes the cursor to where it once was saved, in
            some terminals by no other sequence than its own.
    """
    main = b"" if alternate is None else _off(alternate)
    return CUT + REPORTS_OFF + _MODES_OFF + _KEYBOARD + main + _RESET


_STRINGS = (b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b^", b"\x1bX")
_UNFINISHED = re.compile(
    rb"(?:\x1b[ -/]*|\x1b\[[0-?]*[ -/]*"  # ESC or CSI without its last byte
    rb"|[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"  # a cut character
)


def is_between(shown: bytes) -> bool:
    """Tell whether something of ours may follow the end of a terminal's output.

    Not within a sequence, a string or a character. `shown` is the last of it, some kilobytes.
    """
    begun = max(shown.rfind(mark) for mark in _STRINGS)
    if begun >= 0 and b"\x07" not in shown[begun:] and shown.rfind(b"\x1b") == begun:
        return False
    return _UNFINISHED.search(shown[-64:]) is None


def make_room(rows: int) -> bytes:
    """Return what scrolls all that a terminal of so many rows shows up and away.

    The cursor has to be at the beginning of an empty row.
    """
    return b"\r\n" * (rows - 1)


def at_bottom(text: str, columns: int, rows: int, attributes: str = "7") -> bytes:
    """Return what shows a text in the last row and leaves the cursor where it was.

    Args:
        text: Clean, in characters of one column.
        columns: Of the terminal.
        rows: Of the terminal.
        attributes: Of SGR; 7 is reverse video.
    """
    shown = text[:columns].ljust(columns) if columns > len(text) else text[: columns - 1] + "…"
    line = shown.encode("utf-8", "replace")
    return b"\x1b7\x1b[%d;1H\x1b[0;%sm\x1b[?7l%s\x1b[?7h\x1b[0m\x1b8" % (
        rows, attributes.encode(), line,
    )  # fmt: skip


def title(text: str) -> bytes:
    """Return what sets the title of a window to a clean text."""
    return b"\x1b]2;%s\x1b\\" % text.encode("utf-8", "replace")
