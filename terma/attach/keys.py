"""What a person types, and the key among it that lets go of the terminal.

Keys pass at once. Only the beginning of a sequence that may become the key is held, for a moment;
a lone ESC never is. The byte of the key is the key where it was typed: within a bracketed paste,
or in the middle of a burst as pastes without marks are, it is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backends.errors import UsageError

DOUBLE_S = 0.25
"""How long a second press may take to send the key through instead, in seconds."""

_HOLD_S = 0.03
BURST = 32
"""Bytes of one read that fingers do not reach."""

_CTRL = 4
_LOCKS = 64 | 128  # Caps Lock and Num Lock (kitty keyboard protocol, "Modifiers")
_MODIFIER_KEYS = range(57441, 57455)  # the same, "Functional key definitions"
_OTHER_KEYS = frozenset("@[ijm")
"""With Ctrl these are bytes that Ctrl-Space, Esc, Tab, Enter send as well."""

_BEGINNING = re.compile(rb"\x1b(?:\[[\d:;]{0,32})?\Z")


@dataclass(frozen=True)
class Key:
    """A letter or sign that is pressed together with Ctrl."""

    sign: str

    @property
    def byte(self) -> bytes:
        """What a terminal sends for it."""
        return bytes([ord(self.sign.upper()) & 0x1F])

    def __str__(self) -> str:
        return f"Ctrl-{self.sign.upper()}"


def parse_key(text: str) -> Key:
    """Read a key as people write it: `ctrl-]`, `C-a`, `^]`.

    Raises:
        UsageError: It is none that could let go of a terminal.
    """
    found = re.fullmatch(r"(?:(?:ctrl|c)[-+]|\^)([a-z\]\\^_])", text.strip().lower())
    if found is None or found[1] in _OTHER_KEYS:
        raise UsageError(
            f"{text!r} cannot be the key that detaches", "use Ctrl and a sign, as in `--key ctrl-]`"
        )
    return Key(found[1])


class Keys:
    """Takes what is typed and returns what goes on to the terminal.

    One press of the key detaches as soon as no second one can follow; two send one through.
    `deadline` is when `expire` has to be called, in the seconds of `now`.
    """

    def __init__(self, key: Key) -> None:
        self._key = key
        self._token = re.compile(re.escape(key.byte) + rb"|\x1b\[([\d:;]{1,32})([u~])")
        self._kept = b""  # the beginning of a sequence
        self._passed = 0  # how many of its bytes have gone on already
        self._kept_until = 0.0
        self._is_pasting = False
        self._is_pressed = False
        self._pressed_until = 0.0
        self.is_detached = False

    @property
    def is_pressed(self) -> bool:
        """Whether the key was pressed, and may be pressed a second time."""
        return self._is_pressed

    def let_go(self) -> None:
        """Detach at once: no second press comes."""
        self.is_detached = True

    @property
    def deadline(self) -> float | None:
        """When something is due though no key comes."""
        if self._is_pressed:
            return self._pressed_until
        return self._kept_until if len(self._kept) > self._passed else None

    def expire(self, now: float) -> bytes:
        """Do what is due; returns what goes on."""
        if self._is_pressed and now >= self._pressed_until:
            self.is_detached = True
        held = self._kept[self._passed :]
        if not held or self.is_detached or now < self._kept_until:
            return b""
        self._passed = len(self._kept)
        return held

    def feed(self, data: bytes, now: float) -> bytes:
        """Take what was read at once; returns what goes on, nothing behind a detach."""
        typed, gone = self._kept + data, self._passed
        self._kept, self._passed = b"", 0
        is_burst = len(data) > BURST
        out: list[bytes] = []
        for piece in self._pieces(typed, now):
            if isinstance(piece, bytes):
                goes_on = piece
            else:
                is_text = self._is_pasting or (is_burst and piece.end() < len(typed))
                goes_on = self._token_passed(piece, is_text, now)
            goes_on = goes_on[gone:]
            gone = 0
            if goes_on and self._is_pressed:
                self.is_detached = True
            if self.is_detached:
                break
            out.append(goes_on)
        if len(self._kept) == 1 and not self._is_pressed:  # Esc, most likely
            out.append(self._kept[gone:])
            self._passed = 1
        elif self._kept:
            self._passed = gone
        return b"".join(out)

    def _pieces(self, typed: bytes, now: float) -> Iterator[bytes | re.Match[bytes]]:
        """Take apart what was typed, and keep an end that is the beginning of a sequence."""
        at = 0
        for token in self._token.finditer(typed):
            if token.start() > at:
                yield typed[at : token.start()]
            at = token.end()
            yield token
        beginning = _BEGINNING.search(typed, at)
        end = beginning.start() if beginning else len(typed)
        if end > at:
            yield typed[at:end]
        self._kept = typed[end:]
        self._kept_until = now + _HOLD_S

    def _token_passed(self, token: re.Match[bytes], is_text: bool, now: float) -> bytes:
        """Return what goes on of a sequence, or of the key's byte."""
        if not is_text and self._is_press(token):
            self._is_pressed = not self._is_pressed
            self._pressed_until = now + DOUBLE_S
            return b"" if self._is_pressed else token[0]
        if self._is_pressed and _is_no_press(token):
            return b""
        if token[0] == b"\x1b[200~":
            self._is_pasting = True
        elif token[0] == b"\x1b[201~":
            self._is_pasting = False
        return token[0]

    def _is_press(self, token: re.Match[bytes]) -> bool:
        if token[1] is None:
            return True
        fields = [field.split(b":") for field in token[1].split(b";")]
        if token[2] == b"~":  # xterm's modifyOtherKeys
            numbers = [_number(field[0]) for field in fields]
            return len(numbers) == 3 and numbers[0] == 27 and self._is_meant(*numbers[1:])
        if len(fields) < 2 or _event(fields) == 3:
            return False
        codes = {_number(code) for code in (fields[0][0], *fields[0][2:3])}
        return any(self._is_meant(_number(fields[1][0]), code) for code in codes)

    def _is_meant(self, modifiers: int, code: int) -> bool:
        return code == ord(self._key.sign) and (modifiers - 1) & ~_LOCKS == _CTRL


def _is_no_press(token: re.Match[bytes]) -> bool:
    """Tell whether a sequence of the kitty protocol lets a key go, or is of Ctrl and its like."""
    if token[1] is None or token[2] != b"u":
        return False
    fields = [field.split(b":") for field in token[1].split(b";")]
    return _event(fields) == 3 or _number(fields[0][0]) in _MODIFIER_KEYS


def _event(fields: list[list[bytes]]) -> int:
    """Return 1 where a key is pressed, 2 where it repeats, 3 where it is let go."""
    return _number(fields[1][1]) if len(fields) > 1 and len(fields[1]) > 1 else 1


def _number(digits: bytes) -> int:
    return int(digits) if digits else 0
