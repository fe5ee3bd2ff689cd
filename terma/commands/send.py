r"""`terma send`: types into a terminal.

What `--keys` understands is decided here alone: backslash escapes as in C, where `\n` is Enter (a
terminal's Enter sends CR; a line feed is `\x0a` or `<C-j>`), and names in angle brackets.
"""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from typing import Annotated

import typer

from backends.errors import TimedOut, UsageError
from terma.options import Debug, Name

Text = Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Typed as it is.")]
KeysOption = Annotated[
    str | None,
    typer.Option("--keys", metavar="KEYS", help=r"Keys: 'make\n', '<C-c>', '<Up>', '<Esc>:q\n'."),
]
Enter = Annotated[bool, typer.Option("--enter", help="Press Enter after it.")]
Signal = Annotated[
    str | None, typer.Option("--signal", metavar="NAME", help="Send a signal instead, as INT.")
]
Stdin = Annotated[bool, typer.Option("--stdin", help="Type what standard input has.")]

_ENTER = b"\r"
_ESCAPES = {
    "n": b"\r", "r": b"\r", "t": b"\t", "e": b"\x1b", "E": b"\x1b", "a": b"\x07", "b": b"\x08",
    "f": b"\x0c", "v": b"\x0b", "0": b"\x00", "\\": b"\\", "<": b"<", "'": b"'", '"': b'"',
}  # fmt: skip
_NAMED = {
    "enter": b"\r", "cr": b"\r", "return": b"\r", "tab": b"\t", "esc": b"\x1b", "escape": b"\x1b",
    "space": b" ", "bs": b"\x7f", "backspace": b"\x7f", "lt": b"<",
    "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D",
    "home": b"\x1b[H", "end": b"\x1b[F", "insert": b"\x1b[2~", "delete": b"\x1b[3~",
    "del": b"\x1b[3~", "pageup": b"\x1b[5~", "pagedown": b"\x1b[6~", "s-tab": b"\x1b[Z",
    "f1": b"\x1bOP", "f2": b"\x1bOQ", "f3": b"\x1bOR", "f4": b"\x1bOS", "f5": b"\x1b[15~",
    "f6": b"\x1b[17~", "f7": b"\x1b[18~", "f8": b"\x1b[19~", "f9": b"\x1b[20~",
    "f10": b"\x1b[21~", "f11": b"\x1b[23~", "f12": b"\x1b[24~",
}  # fmt: skip
"""As xterm sends them where no program has asked for others ("PC-Style Function Keys")."""

_PART = re.compile(
    r"\\x(?P<hex>[0-9a-fA-F]{2})|\\u(?P<code>[0-9a-fA-F]{4})|\\(?P<escape>.?)"
    r"|<(?P<name>[^<>\s]{1,16})>|(?P<open><[^<>\s\\]{0,16})|[^\\<]+",
    re.DOTALL,
)


def send(
    name: Name,
    text: Text = None,
    keys: KeysOption = None,
    enter: Enter = False,
    signal: Signal = None,
    stdin: Stdin = False,
    debug: Debug = False,
) -> None:
    r"""terma send alice --keys 'make test\n': types into a terminal.

    TEXT is typed as it is; only --enter presses Enter. It may have no control characters, which
    would be keys. In KEYS \n is Enter, \t Tab, \e Esc, \x03 any byte, <C-c> <M-x> <Up> <F5>
    <Enter> <Esc> <Tab> <BS> <Space> what they say, \< and \\ themselves. TEXT comes first, then
    standard input (without its last line end), then the keys, then Enter.
    """
    from backends.client.blocking import BlockingTekton
    from backends.protocol.terminals import SignalTerminal, WriteTerminal

    typed = _typed(text, keys, stdin) + (_ENTER if enter else b"")
    if signal is not None:
        if typed:
            raise UsageError("a signal is sent alone", "send the text with a command of its own")
        _check_signal(signal)
    with BlockingTekton(is_local=True) as tekton:
        if signal is not None:
            tekton.call(SignalTerminal(name=name, signal=signal))
            return
        if not typed:
            raise UsageError("there is nothing to type", "`terma send --help` has examples")
        try:
            tekton.call(WriteTerminal(name=name, data=b64encode(typed).decode("ascii")))
        except TimedOut as error:
            if error.message.startswith("ptyhost"):
                raise
            raise TimedOut(
                f"{name} has not taken all of it: what runs there does not read. The rest is "
                "dropped",
                f"`terma screen {name}` shows what it does",
            ) from error


def _check_signal(name: str) -> None:
    from signal import Signals

    if f"SIG{name.upper().removeprefix('SIG')}" not in Signals.__members__:
        raise UsageError(f"there is no signal {name!r}", "INT, TERM or HUP; `kill -l` shows all")


def _typed(text: list[str] | None, keys: str | None, stdin: bool) -> bytes:
    typed = " ".join(text or [])
    if stdin:
        typed += _read_stdin()
    _refuse_controls(typed)
    return typed.encode("utf-8", "surrogateescape") + parse_keys(keys or "")


def _read_stdin() -> str:
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return text.removesuffix("\n").removesuffix("\r")


def _refuse_controls(text: str) -> None:
    """Let no text press a key.

    Raises:
        UsageError: It has a control character.
    """
    found = next((c for c in text if c < " " or "\x7f" <= c <= "\x9f"), None)
    if found is not None:
        what = {"\n": "a line end", "\t": "a tab", "\x1b": "an escape"}.get(found, repr(found))
        raise UsageError(
            f"the text has {what}, which would press a key",
            r"if that is meant, name it: `terma send NAME --keys 'first\nsecond\n'`",
        )


def parse_keys(keys: str) -> bytes:
    """Return what a terminal sends for keys as `--keys` has them.

    Raises:
        UsageError: An escape or a name that means nothing.
    """
    return b"".join(_part(found) for found in _PART.finditer(keys))


def _part(found: re.Match[str]) -> bytes:
    if found["hex"] is not None:
        return bytes([int(found["hex"], 16)])
    if found["code"] is not None:
        return chr(int(found["code"], 16)).encode("utf-8", "replace")
    if found["escape"] is not None:
        if found["escape"] in _ESCAPES:
            return _ESCAPES[found["escape"]]
        raise UsageError(
            f"'{found[0]}' is no escape", r"\n \r \t \e \x1b \\ \< are; `--help` tells more"
        )
    if found["name"] is not None:
        return _named(found["name"])
    if found["open"] is not None:
        raise _no_key(found["open"])
    return found[0].encode("utf-8", "surrogateescape")


def _named(name: str) -> bytes:
    """Return what a terminal sends for `C-c`, `M-x` or `Up`."""
    if name.lower() in _NAMED:
        return _NAMED[name.lower()]
    kind, dash, sign = name[:1].lower(), name[1:2], name[2:]
    if dash == "-" and kind in ("m", "a") and sign:
        known = len(sign) == 1 or sign.lower() in _NAMED or sign[1:2] == "-"
        if known:
            return b"\x1b" + (sign.encode() if len(sign) == 1 else _named(sign))
    if dash == "-" and kind == "c" and len(sign) == 1:
        if sign == "?":
            return b"\x7f"
        if "@" <= sign.upper() <= "_":
            return bytes([ord(sign.upper()) & 0x1F])
    if dash == "-" and kind == "c" and sign.lower() == "space":
        return b"\x00"
    raise _no_key(f"<{name}>")


def _no_key(words: str) -> UsageError:
    return UsageError(
        f"{words} is no key", r"as in <C-c> <M-x> <Up> <F5> <Enter>; a plain < is `\<`"
    )
