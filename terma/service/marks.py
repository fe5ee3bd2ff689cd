"""Marks in a terminal's output: what it says of itself, without a screen being worked out.

The sequences are xterm's operating system commands (OSC; https://invisible-island.net/xterm/ctlseqs/):
0 and 2 set the title, 9 and 777 post a notification, 133 marks a shell's prompt
(https://gitlab.freedesktop.org/Per_Bothner/specifications/-/blob/master/proposals/semantic-prompts.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from backends.cleaning import clean_line

_SEQUENCE = re.compile(rb"\x1b\](\d{1,4});([^\x07\x1b]*)(?:\x07|\x1b\\)|\x07")
_MAX_OPEN = 4096
"""Bytes of a sequence that has not ended; a longer one is none of ours."""

_MAX_TEXT = 200


class MarkKind(Enum):
    """What a mark tells."""

    PROMPT = "prompt"
    COMMAND = "command"
    DONE = "done"
    TITLE = "title"
    NOTICE = "notice"
    BELL = "bell"


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark: `text` is the title, the notice, or the exit status of what is done."""

    kind: MarkKind
    text: str = ""


class MarkScanner:
    """Finds the marks of one terminal; its output may be cut anywhere."""

    def __init__(self) -> None:
        self._open = b""

    def scan(self, data: bytes) -> list[Mark]:
        """Return the marks that end within the next output, in their order."""
        if self._open:
            data = self._open + data
        elif b"\x07" not in data and b"\x1b]" not in data and not data.endswith(b"\x1b"):
            return []
        marks = [mark for found in _SEQUENCE.finditer(data) if (mark := _read(found))]
        begin = _open_from(data)
        self._open = data[begin:] if len(data) - begin <= _MAX_OPEN else b""
        return marks


def _open_from(data: bytes) -> int:
    """Return where a sequence begins that may go on in the next output."""
    begin = data.rfind(b"\x1b]")
    if begin >= 0:
        ended = data.find(b"\x07", begin) >= 0
        escape = data.find(b"\x1b", begin + 2)
        if not ended and escape in (-1, len(data) - 1):
            return begin
    return len(data) - data.endswith(b"\x1b")


def _read(found: re.Match[bytes]) -> Mark | None:
    number, content = found.groups()
    if number is None:
        return Mark(MarkKind.BELL)
    if number == b"133":
        return _prompt_mark(content)
    if number in (b"0", b"2"):
        return Mark(MarkKind.TITLE, _text(content))
    if number == b"9" and not content.startswith(b"4;"):  # 9;4 is a progress bar
        return Mark(MarkKind.NOTICE, _text(content))
    if number == b"777" and content.startswith(b"notify;"):
        words = _text(content.removeprefix(b"notify;").replace(b";", b": ", 1))
        return Mark(MarkKind.NOTICE, words)
    return None


def _prompt_mark(content: bytes) -> Mark | None:
    letter, _, rest = content.partition(b";")
    match letter:
        case b"A" | b"B":
            return Mark(MarkKind.PROMPT)
        case b"C":
            return Mark(MarkKind.COMMAND)
        case b"D":
            status = rest.partition(b";")[0]
            return Mark(MarkKind.DONE, status.decode() if status.isdigit() else "")
    return None


def _text(content: bytes) -> str:
    return clean_line(content.decode("utf-8", "replace"))[:_MAX_TEXT]
