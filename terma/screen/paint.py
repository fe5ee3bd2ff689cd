"""What brings a real terminal, whatever it shows, to a given state.

Sequences are those of xterm ("Control Sequences") with kitty's for the keyboard; a terminal that
lacks one ignores it. The order matters: first everything that would disturb the drawing is
switched off; then the rows; then what was found on; the cursor comes after whatever moves it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from terma.screen.look import PLAIN, CellRow, Look, trimmed

MODES: dict[int, bool] = {
    1: False,  # application cursor keys
    5: False,  # reverse video
    45: False,  # reverse wrap
    66: False,  # application keypad
    9: False,  # mouse: presses only
    1000: False,
    1002: False,
    1003: False,
    1005: False,
    1006: False,
    1015: False,
    1016: False,
    1004: False,  # focus
    2004: False,  # bracketed paste
    2027: False,  # grapheme clusters
    2031: False,  # tells of dark and light
    2048: False,  # tells of sizes
}
"""Private modes that are brought along, and how a terminal has them at first."""

ORIGIN, WRAP, CURSOR, MARGINS = 6, 7, 25, 69
INSERT, NEW_LINE = 4, 20
"""The two ANSI modes that are brought along."""

ALTERNATE = (1049, 1047, 47)
"""The modes that show the alternate screen."""

_MASK = dict.fromkeys((*range(32), *range(127, 160)), "�")

_MAX_SIZE = 0xFFFF
_END = b"\nend"

_MODES_OFF = f"\x1b[?{';'.join(map(str, (*MODES, MARGINS, 2026)))}l\x1b[4l\x1b[20l\x1b[?7h\x1b[?25h"
_LOOKS_OFF = "\x1b>\x1b(B\x1b)B\x0f\x1b[0m\x1b]8;;\x1b\\\x1b[>4m\x1b[=0;1u\x1b[0 q"
_RESET = f"\x1b\\\x1b[?1049l\x1b[!p{_MODES_OFF}\x1b[?{ORIGIN}l\x1b[r{_LOOKS_OFF}"

AFRESH = f"\x18\x1b\\\x1b[?47l\x1b[!p{_MODES_OFF}\x1b7\x1b[r\x1b8{_LOOKS_OFF}\r\n".encode()
"""Brings a terminal back from whatever a program has left it in, to a new line below all that.

Mode 47 leaves the alternate screen without moving the cursor on the other one; DECSTR ends the
origin mode in the same way.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cursor is, from 0.

    `last` is what stands at the end of the row where the next character wraps: its text, its look
    and its columns.
    """

    column: int = 0
    row: int = 0
    last: tuple[str, Look, int] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """The rows of one screen, its cursor, the cursor that DECRC brings back, kitty's flags."""

    rows: Sequence[CellRow]
    cursor: Place
    saved: Place = Place()
    keyboard: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All of a terminal that a repaint brings along.

    `primary` is the other screen where the alternate one is shown, by mode `alternate`. `modes`
    are those of `MODES` that are set. `region` and `margins` are from 1, as in the sequences.
    `after` is sent last: character sets, keyboard, and what has begun of a sequence.
    """

    picture: Picture
    primary: Picture | None = None
    alternate: int = 0
    pen: Look = PLAIN
    modes: frozenset[int] = frozenset()
    ansi_modes: frozenset[int] = frozenset()
    region: tuple[int, int] | None = None
    margins: tuple[int, int] | None = None
    is_origin: bool = False
    wraps: bool = True
    shape: int = 0
    cursor_is_visible: bool = True
    tab_stops: Sequence[int] | None = None
    title: str = ""
    after: bytes = b""


def paint(state: State) -> bytes:
    """Return the sequences that bring a terminal of this size to a state."""
    parts = [_RESET]
    if state.tab_stops is not None:
        parts += ["\x1b[3g", *(f"\x1b[1;{stop + 1}H\x1bH" for stop in state.tab_stops)]
    if state.primary is not None:
        parts += _picture(state.primary)
        parts += [_place(state.primary.cursor), f"\x1b[0m\x1b[?{state.alternate}h"]
    parts += _picture(state.picture)
    parts.append(f"\x1b]2;{state.title.translate(_MASK)}\x1b\\")
    parts += _modes(state)
    parts.append(_final_place(state))
    if not state.wraps:
        parts.append(f"\x1b[?{WRAP}l")
    parts += [f"\x1b[{mode}h" for mode in (INSERT, NEW_LINE) if mode in state.ansi_modes]
    parts.append(f"\x1b[{state.shape} q" + ("" if state.cursor_is_visible else f"\x1b[?{CURSOR}l"))
    parts.append(_pen(state.pen))
    return "".join(parts).encode("utf-8", "replace") + state.after


def pack(size: tuple[int, int], above: int, history: bytes, painted: bytes) -> bytes:
    """Return a dump: so many rows above, as what writes them, and a repaint of the screen.

    It is of no engine: whoever reads it, has the state.
    """
    head = json.dumps({"size": size, "above": above, "length": len(history)})
    return head.encode() + b"\n" + history + painted + _END


def unpack(state: bytes) -> tuple[tuple[int, int], int, bytes, bytes]:
    """Return the parts of a dump.

    Raises:
        ValueError: It is none.
    """
    head, _, rest = state.partition(b"\n")
    try:
        found = json.loads(head)
        columns, rows = map(int, found["size"])
        above, length = int(found["above"]), int(found["length"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"a broken snapshot: {error}") from error
    is_sound = 0 < columns <= _MAX_SIZE and 0 < rows <= _MAX_SIZE and 0 <= length <= len(rest)
    if not is_sound or not rest.endswith(_END):
        raise ValueError("a broken snapshot: it is cut off")
    return (columns, rows), above, rest[:length], rest[length : -len(_END)]


def history(rows: Iterable[CellRow]) -> bytes:
    """Return what writes rows one after another, each ended unless it goes on in the next."""
    parts: list[str] = []
    for row in rows:
        spans = row.spans if row.is_full else trimmed(row.spans)
        parts += [_text(text, look) for text, look in spans]
        parts.append("\x1b[0m" if row.wraps and row.is_full else "\x1b[0m\r\n")
    return "".join(parts).encode("utf-8", "replace")


def _modes(state: State) -> list[str]:
    parts = [f"\x1b[?{mode}h" for mode in MODES if mode in state.modes]
    if 66 in state.modes:
        parts.append("\x1b=")
    if state.region is not None:
        parts.append(f"\x1b[{state.region[0]};{state.region[1]}r")
    if state.margins is not None:
        parts.append(f"\x1b[?{MARGINS}h\x1b[{state.margins[0]};{state.margins[1]}s")
    if state.is_origin:
        parts.append(f"\x1b[?{ORIGIN}h")
    return parts


def _picture(picture: Picture) -> list[str]:
    parts = ["\x1b[0m\x1b[H\x1b[2J"]
    goes_on = False
    for number, row in enumerate(picture.rows):
        spans = row.spans if row.is_full else trimmed(row.spans)
        if spans:
            # Only what wraps by itself is one line to the terminal: it is copied and resized so.
            parts.append("" if goes_on else f"\x1b[{number + 1};1H")
            parts += [_text(text, look) for text, look in spans]
            parts.append("\x1b[0m")
        goes_on = row.wraps and row.is_full and bool(spans)
    parts.append(_place(picture.saved) + "\x1b[0m\x1b7")
    parts.append(f"\x1b[={picture.keyboard};1u")
    return parts


def _pen(look: Look) -> str:
    link = f"\x1b]8;;{look.link.translate(_MASK)}\x1b\\" if look.link is not None else ""
    return look.sgr() + link


def _text(text: str, look: Look) -> str:
    return _pen(look) + text.translate(_MASK) + ("" if look.link is None else "\x1b]8;;\x1b\\")


def _place(place: Place, top: int = 0, left: int = 0) -> str:
    """Move the cursor; where it waits to wrap, by writing the last character once more."""
    if place.last is None:
        return f"\x1b[{place.row - top + 1};{place.column - left + 1}H"
    text, look, width = place.last
    start = f"\x1b[{place.row - top + 1};{place.column - left + 2 - width}H"
    return start + _text(text, look) + "\x1b[0m"


def _final_place(state: State) -> str:
    top = left = 0
    if state.is_origin:
        top = state.region[0] - 1 if state.region else 0
        left = state.margins[0] - 1 if state.margins else 0
    return _place(state.picture.cursor, top, left)
