"""What output has set on a person's terminal and has not undone.

Only what has to be known when one leaves: to undo it where nothing was set would do harm.
Sequences are of xterm's "Control Sequences", but for the keyboard protocol of kitty.
"""

from __future__ import annotations

import re

_ALTERNATE = frozenset({47, 1047, 1049})
_REPORTS = frozenset({9, 1000, 1001, 1002, 1003, 1004, 2031, 2048})
"""Modes in which a terminal says something though nobody presses a key."""

_SEQUENCE = re.compile(
    rb"\x1b(?:\[\?(?P<modes>[\d;]{1,256})(?P<how>[hl])"
    rb"|\[(?P<change>[<>=])(?P<flags>\d*)[\d;]{0,16}u"
    rb"|\](?:(?P<palette>4);\d{1,3}|(?P<color>1[0-2]));[^?\x07\x1b]"  # ? asks
    rb"|\]1(?P<undone>04|1[0-2])(?=[\x07\x1b])"
    rb"|\[2(?P<title>[23])(?:;(?P<which>[012]?))?(?:;\d*)?t"
    rb"|(?P<reset>c))"
)
_BEGINNING = re.compile(rb"\x1b(?:\[[?<>=]?[\d;]{0,256}|\](?:4(?:;\d{0,3};?)?|1[\d;]{0,2})?)?\Z")
_LONGEST = 300
_MAX_TITLES = 10  # as xterm keeps


class Traces:
    """Follows the output; where it was cut makes no difference."""

    def __init__(self) -> None:
        self.alternate: int | None = None
        """The mode by which the alternate screen is shown."""
        self._reports: set[int] = set()
        self._has_keyboard = False
        self._colors: set[int] = set()
        self._titles: list[bytes] = []
        self.has_taken_title = False
        """Whether a title was fetched back that nobody in there had put away."""
        self._kept = b""

    @property
    def has_reports(self) -> bool:
        """Whether the terminal may say something that nobody typed."""
        return bool(self._reports) or self._has_keyboard

    @property
    def colors_off(self) -> bytes:
        """What gives the colours back that were changed: of the palette, text, ground, cursor."""
        return b"".join(b"\x1b]%d\x1b\\" % (100 + number) for number in sorted(self._colors))

    @property
    def titles_off(self) -> bytes:
        """What fetches back the titles that were put away, one by one as they were."""
        return b"".join(b"\x1b[23;%st" % which for which in reversed(self._titles))

    def feed(self, output: bytes) -> None:
        """Take the next output."""
        output = self._kept + output
        for found in _SEQUENCE.finditer(output):
            self._take(found)
        beginning = _BEGINNING.search(output[-_LONGEST:])
        self._kept = beginning[0] if beginning else b""

    def _take(self, found: re.Match[bytes]) -> None:
        if found["modes"] is not None:
            for number in found["modes"].split(b";"):
                self._set(int(number or 0), found["how"] == b"h")
        elif found["change"] is not None:  # of a stack; whoever pops has pushed before
            self._has_keyboard = found["change"] != b"<" and found["flags"].strip(b"0") != b""
        elif color := found["palette"] or found["color"]:
            self._colors.add(int(color))
        elif found["title"] is not None:
            self._take_title(found["which"] or b"0", found["title"] == b"2")
        elif found["undone"] is not None:
            self._colors.discard(int(found["undone"]))
        else:
            self.alternate, self._has_keyboard = None, False
            self._reports.clear()

    def _take_title(self, which: bytes, is_put_away: bool) -> None:
        if is_put_away:
            self._titles = [*self._titles, which][-_MAX_TITLES:]
        elif self._titles:
            self._titles.pop()
        elif which != b"1":  # of the icon alone, which few terminals have
            self.has_taken_title = True

    def _set(self, mode: int, is_on: bool) -> None:
        if mode in _ALTERNATE:
            self.alternate = mode if is_on else None
        elif mode in _REPORTS and is_on:
            self._reports.add(mode)
        else:
            self._reports.discard(mode)
