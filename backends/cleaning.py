"""Untrusted text made safe to show: no escape sequence, no control, no hidden character.

Models, peers and error messages may carry bytes that drive a terminal: set its title, fill the
clipboard, move the cursor, turn text around. Whatever passes through here holds printable text,
line feeds and tabs. Where a sequence ends follows ECMA-48 and xterm's "Control Sequences", with
one rule of our own: a line feed ends every sequence, so that none hides more than its own line.
"""

from __future__ import annotations

from itertools import chain

MAX_SEQUENCE = 64 * 1024
"""Characters after which an escape sequence counts as over; they stay hidden."""

_ESC = "\x1b"
_BEL = "\x07"
_ABORTS = "\x18\x1a"
_JOINERS = "\u200c\u200d"
_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_INVISIBLE = _SELECTORS.union(_JOINERS)
_FIRST_JOINABLE = "\u0300"


# Where in a sequence the next character falls. Plain numbers: an Enum would triple the import.
_TEXT, _ESCAPE, _CHARSET, _CSI, _OSC, _STRING = range(6)

_AFTER_ESCAPE = {"[": _CSI, "]": _OSC, "P": _STRING, "X": _STRING, "^": _STRING, "_": _STRING}
# ESC and a letter, or one 8-bit character 0x40 above the letter, mean the same.
_INTRODUCERS = {_ESC: _ESCAPE} | {
    chr(ord(letter) + 0x40): state for letter, state in _AFTER_ESCAPE.items()
}

_REPLACED: dict[str, str] = dict.fromkeys(
    map(
        chr,
        chain(
            (*range(0x00, 0x09), *range(0x0B, 0x20)),  # C0 but tab and line feed
            range(0x7F, 0xA0),  # DEL, C1
            (0x00AD, 0x034F, 0x061C, 0x17B4, 0x17B5, 0x180E, 0x200B, 0x200E, 0x200F),
            range(0x202A, 0x202F),  # bidi embeddings and overrides
            range(0x2060, 0x2070),  # word joiner, invisible operators, bidi isolates
            (0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC)),
            (*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)),
            range(0xE0000, 0xE0200),  # tags and variation selectors that can spell a message
        ),
    ),
    "",
)
_REPLACED |= {"\u2028": "\n", "\u2029": "\n"}
# A lone surrogate cannot be encoded: writing it would raise.
_REPLACED |= dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd")
_SPECIAL = frozenset(chain(_REPLACED, _JOINERS, _SELECTORS))


class Cleaner:
    """Clean a stream of text whose sequences may be split across pieces anywhere."""

    def __init__(self) -> None:
        self._state = _TEXT
        self._hidden = 0  # characters of the sequence so far
        self._last = "\n"  # what a joiner or selector would follow

    def feed(self, text: str) -> str:
        """Return what may be shown of the next piece; time is linear in its length."""
        if self._state == _TEXT and _is_plain(text):
            self._last = text[-1:] or self._last
            return text
        first, *others = text.split("\n")
        lines = [self._line(first)]
        for line in others:
            self._state = _TEXT
            self._last = "\n"
            lines.append(self._line(line))
        return "\n".join(lines)

    def finish(self) -> str:
        """End the text: an unfinished sequence is dropped, and the next piece starts afresh."""
        self._state = _TEXT
        self._last = "\n"
        return ""

    def _line(self, line: str) -> str:
        if self._state == _TEXT and _is_plain(line):
            self._last = line[-1:] or self._last
            return line
        shown: list[str] = []
        for character in line:
            if self._state != _TEXT and self._swallow(character):
                continue
            if character in _SPECIAL:
                character = self._special(character)
            if character:
                shown.append(character)
                self._last = character
        return "".join(shown)

    def _special(self, character: str) -> str:
        """Return what stands for a special character outside of sequences."""
        if character in _INTRODUCERS:
            self._state = _INTRODUCERS[character]
            self._hidden = 0
            return ""
        # Emoji and several scripts need joiners and selectors: one after a visible character.
        # More of them, or between ASCII letters, only hide something.
        if character in _JOINERS:
            joins = self._last >= _FIRST_JOINABLE and self._last not in _JOINERS
            return character if joins else ""
        if character in _SELECTORS:
            selects = self._last > " " and self._last not in _INVISIBLE
            return character if selects else ""
        return _REPLACED[character]

    def _swallow(self, character: str) -> bool:
        """Advance within a sequence; False hands the character back as text or a new start."""
        self._hidden += 1
        if character in _INTRODUCERS:
            self._state = _TEXT
            return False
        if character in _ABORTS or "\x80" <= character < "\xa0" or self._hidden > MAX_SEQUENCE:
            self._state = _TEXT
        elif self._state == _OSC or self._state == _STRING:
            if character == _BEL and self._state == _OSC:
                self._state = _TEXT
        elif character < " " or character == "\x7f":
            pass  # a terminal obeys controls inside a sequence and goes on with it
        elif character > "~":
            self._state = _TEXT
            return False
        else:
            self._state = self._after(character)
        return True

    def _after(self, character: str) -> int:
        """Return the state after a printable ASCII character of a short sequence."""
        if self._state == _CSI:
            return _TEXT if character >= "@" else _CSI
        if character < "0":
            return _CHARSET
        if self._state == _ESCAPE:
            return _AFTER_ESCAPE.get(character, _TEXT)
        return _TEXT


def clean(text: str) -> str:
    """Return a complete text without anything that could drive a terminal or hide."""
    return Cleaner().feed(text)


def clean_line(text: str) -> str:
    """Return a complete text cleaned and on one line: each run of breaks and tabs is a space."""
    words = clean(text).replace("\t", "\n").split("\n")
    return " ".join(word for word in words if word)


def _is_plain(text: str) -> bool:
    return (text.isascii() and text.isprintable()) or _SPECIAL.isdisjoint(text)
