"""What of a recording may drive the terminal of the person who watches it.

What a program once put out is played to another terminal, at another time. There it may write and
colour text and move the cursor, and no more: nothing that makes the terminal answer (its answer
would be typed into the person's shell), sets the clipboard, title, colours or keys, rings through
as a notice, prints, resizes, or reaches what is outside of the screen that the replay is on. So
sequences pass only if they are known to be harmless, written anew in their 7-bit form. Names of
sequences are those of ECMA-48 and of xterm's "Control Sequences".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

ENTER = b"\x1b[22;0t\x1b[?1049h\x1b[H\x1b[2J"
"""Saves the title and turns to the alternate screen, where a replay is shown."""

_AS_USUAL = "\x0f\x1b(B\x1b[!p\x1b[?5l\x1b[?6l\x1b[?7h\x1b[?25h\x1b[?69l\x1b[4l\x1b[r\x1b[m\x1b[0 q"

LEAVE = f"\x1b[?2026l{_AS_USUAL}\x1b[?1049l\x1b[23;0t".encode()
"""Undoes whatever passes this filter, and `ENTER`."""

MAX_STRING = 1 << 20
"""Characters after which a string that does not end counts as over; they stay hidden."""

_RESET = f"{_AS_USUAL}\x1b[H\x1b[2J"  # what ESC c does, but that it would leave the screen
_OTHER_SCREEN = {  # the replay is on the alternate screen already, and must not leave it
    ("1049", "h"): "\x1b7\x1b[m\x1b[H\x1b[2J",
    ("1049", "l"): "\x1b[m\x1b[2J\x1b8",
    ("1047", "h"): "",
    ("1047", "l"): "\x1b[2J",
    ("47", "h"): "",
    ("47", "l"): "",
    ("1048", "h"): "\x1b7",
    ("1048", "l"): "\x1b8",
}
_MODES = frozenset("5 6 7 12 25 69 2026".split())
"""Private modes that change what is shown, and not what keys, mouse and window do."""

# All but the controls that do something else than move the cursor, shift sets or ring.
_PLAIN = re.compile(r"[^\x00-\x06\x10-\x1f\x7f-\x9f]+")
_CSI = re.compile(r"(?:\x1b\[|\x9b)([0-?]{0,256})([ -/]{0,4})([@-~]?)")
_ESCAPE = re.compile(r"\x1b([ -/]{0,4})([0-~]?)")
_STRINGS = re.compile(r"\x1b[\]PX^_k]|[\x90\x98\x9d-\x9f]")  # ESC k: the title of screen and tmux
_STRING_ENDS = re.compile(r"[\x18\x1a\x1b\x9c]")
_OSC_ENDS = re.compile(r"[\x07\x18\x1a\x1b\x9c]")
_C1 = {"\x84": "\x1bD", "\x85": "\x1bE", "\x8d": "\x1bM"}  # IND, NEL, RI

_NUMBERS = re.compile(r"[0-9:;]*")
_FINALS = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefmr")
_WITH_INTERMEDIATE = frozenset({(" ", "q"), ("!", "p"), ('"', "q")})  # DECSCUSR DECSTR DECSCA
_ESCAPES = frozenset("78DEM")
_CHARSETS = frozenset("()*+-./")
_SIZES = frozenset("34568")  # DECDHL, DECSWL, DECDWL, DECALN


class Harmless:
    """Filters a recording, which may be cut into pieces anywhere.

    Args:
        screens: What is written for a mode of the alternate screen, by mode and `h` or `l`.
    """

    def __init__(self, screens: Mapping[tuple[str, str], str] | None = None) -> None:
        self._screens = _OTHER_SCREEN if screens is None else screens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the beginning of a sequence whose end is to come
        self._string_end: re.Pattern[str] | None = None  # what ends the string that we are in
        self._hidden = 0  # characters of it

    def feed(self, data: bytes) -> bytes:
        """Return what of the next piece may be shown; time is linear in its length."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        shown: list[str] = []
        at = 0
        while at < len(text):
            if self._string_end is not None:
                at = self._skip(self._string_end, text, at)
            elif plain := _PLAIN.match(text, at):
                shown.append(plain[0])
                at = plain.end()
            else:
                at = self._control(text, at, shown)
        return "".join(shown).encode()

    def _control(self, text: str, at: int, shown: list[str]) -> int:
        """Take a control or a sequence; returns where the text goes on."""
        if string := _STRINGS.match(text, at):
            is_osc = string[0] in ("\x1b]", "\x9d")
            self._string_end = _OSC_ENDS if is_osc else _STRING_ENDS
            self._hidden = 0
            return string.end()
        found = _CSI.match(text, at)
        is_escape = found is None
        found = found or _ESCAPE.match(text, at)
        if found is None:
            shown.append(_C1.get(text[at], ""))
            return at + 1
        if found.end() == len(text) and not found[found.lastindex or 0]:
            self._held = found[0]
        else:
            shown.append(_escape(found) if is_escape else _csi(found, self._screens))
        return found.end()

    def _skip(self, end: re.Pattern[str], text: str, at: int) -> int:
        """Pass over the string that we are in; an ESC that ends it may begin a sequence."""
        room = min(len(text), at + MAX_STRING - self._hidden)
        found = end.search(text, at, room)
        stop = found.start() if found else room
        self._hidden += stop - at
        if found or self._hidden >= MAX_STRING:
            self._string_end = None
        return stop + 1 if found and found[0] != "\x1b" else stop


def _csi(found: re.Match[str], screens: Mapping[tuple[str, str], str]) -> str:
    parameters, intermediate, final = found.groups()
    if parameters[:1] == "?":
        return _private(parameters[1:], intermediate, final, screens)
    if not _NUMBERS.fullmatch(parameters):
        return ""
    if intermediate:
        is_known = (intermediate, final) in _WITH_INTERMEDIATE
    elif final in ("s", "u"):
        is_known = not parameters  # else they are margins, or keys of kitty's
    elif final in ("h", "l"):
        is_known = parameters == "4"  # inserting; others lock the keyboard or change Enter
    elif final == "J":
        is_known = parameters in ("", "0", "1", "2")  # 3 clears what has scrolled away
    elif final == "T":
        is_known = ";" not in parameters  # else it tracks the mouse
    else:
        is_known = final in _FINALS
    return f"\x1b[{parameters}{intermediate}{final}" if is_known else ""


def _private(
    parameters: str, intermediate: str, final: str, screens: Mapping[tuple[str, str], str]
) -> str:
    if intermediate or final not in ("h", "l"):
        is_erasing = final in ("J", "K") and not intermediate and parameters in ("", "0", "1", "2")
        return f"\x1b[?{parameters}{final}" if is_erasing else ""
    written = ""
    for mode in parameters.split(";"):
        written += screens.get((mode, final), "")
        if mode in _MODES:
            written += f"\x1b[?{mode}{final}"
    return written


def _escape(found: re.Match[str]) -> str:
    intermediate, final = found.groups()
    if not intermediate:
        return _RESET if final == "c" else f"\x1b{final}" if final in _ESCAPES else ""
    is_known = intermediate in _CHARSETS or (intermediate == "#" and final in _SIZES)
    return f"\x1b{intermediate}{final}" if is_known and final else ""
