"""Runs of whole lines in a log that every terminal shows just as they stand."""

from __future__ import annotations

import re

from terma.screen.base import Rows

# Whole lines of what every terminal shows as it stands: ASCII, some letters of Latin script, box
# drawing; and looks, which are not seen in text.
RUN = re.compile(
    rb"(?:(?:[\x20-\x7e]++|\x1b\[[0-9;:]*+m|[\xc3-\xcb][\x80-\xbf]|\xe2[\x94-\x97][\x80-\xbf])*+"
    rb"\r\n)++"
)
_LOOK = re.compile(rb"\x1b\[[0-9;:]*m")


def ends(run: bytes, rows: int) -> tuple[int, int] | None:
    """Return where the first lines of a run end that fill a screen, and where the last begin."""
    end, begin = 0, len(run)
    for _ in range(rows):
        end = run.find(b"\n", end) + 1
        begin = run.rfind(b"\n", 0, begin - 1) + 1
        if not end or end >= begin:
            return None
    return end, begin


def texts(data: bytes) -> list[str]:
    """Return the texts of whole lines of a run."""
    if b"\x1b" in data:
        data = _LOOK.sub(b"", data)
    found = data.decode().split("\r\n")
    found.pop()
    return [text.rstrip(" ") for text in found] if b" \r" in data else found


def is_shown(data: bytes, shown: Rows) -> bool:
    """Tell whether the end of a run is what a screen shows, with the cursor's row below."""
    lines: list[str] = []
    is_begun = False
    for text, wraps in shown:
        if is_begun:
            lines[-1] += text
        else:
            lines.append(text)
        is_begun = wraps
    # The first may have begun above.
    return [line.rstrip(" ") for line in lines[1:]] == [*texts(data), ""][1 - len(lines) :]
