"""What a typed line means: a command, a line for the shell, or a prompt with files and pastes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PASTE_LINES = 10
PASTE_SIZE = 2000
"""A paste of more lines or characters is shown as a placeholder."""

_PLACEHOLDER = re.compile(r"\[paste (\d+): \d+ lines?\]")
_FILE = re.compile(r"""(?:^|(?<=\s))@(?:"([^"\n]+)"|((?:\\.|[^\s\\"])(?:\\.|[^\s\\])*))""")
_TRAILING = ".,;:!?)]}'\""


class Kind(Enum):
    """What a typed line is."""

    EMPTY = "empty"
    COMMAND = "command"
    SHELL = "shell"
    KEPT_SHELL = "kept shell"
    PROMPT = "prompt"


@dataclass(frozen=True)
class Typed:
    """A typed line: what it is, and its text without the mark that tells so."""

    kind: Kind
    text: str


def read_typed(line: str) -> Typed:
    """Tell what a typed line is; a space before it makes every line a prompt."""
    text = line.rstrip()
    if not text:
        return Typed(Kind.EMPTY, "")
    if text.startswith("//"):
        return Typed(Kind.PROMPT, text[1:])
    if text.startswith("/"):
        return Typed(Kind.COMMAND, text)
    if text.startswith("!!"):
        return Typed(Kind.KEPT_SHELL, text[2:].strip())
    if text.startswith("!"):
        return Typed(Kind.SHELL, text[1:].strip())
    return Typed(Kind.PROMPT, text)


def as_typed(prompt: str) -> str:
    """Return what has to be typed to ask a prompt."""
    return f" {prompt}" if prompt.startswith(("/", "!")) else prompt


class Pastes:
    """Large pastes of this chat: a placeholder stands for each until it is sent."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def take(self, text: str) -> str:
        """Return what is shown of a paste: itself, or a placeholder where it is large."""
        lines = text.count("\n") + 1
        if lines <= PASTE_LINES and len(text) <= PASTE_SIZE:
            return text
        self._texts.append(text)
        return f"[paste {len(self._texts)}: {lines} line{'s' if lines > 1 else ''}]"

    def expand(self, text: str) -> str:
        """Put back what placeholders stand for."""

        def original(found: re.Match[str]) -> str:
            number = int(found[1])
            return self._texts[number - 1] if 0 < number <= len(self._texts) else found[0]

        return _PLACEHOLDER.sub(original, text)


def files_in(text: str) -> Iterator[Path]:
    """Yield each file that a prompt names after an `@`, once, if it exists."""
    yield from dict.fromkeys(path for _, path in _named(text) if path)


def missing_in(text: str) -> list[str]:
    """Return each word after an `@` that may be meant as a file and names none, once."""
    names = (name for name, path in _named(text) if name and not path)
    return [name for name in dict.fromkeys(names) if set(name) & set("/.") or not _exists(name)]


def _named(text: str) -> Iterator[tuple[str, Path | None]]:
    """Yield each word after an `@`, with the file that it names."""
    for found in _FILE.finditer(text):
        name = found[1] or re.sub(r"\\(.)", r"\1", found[2])
        shorter = name.rstrip(_TRAILING)
        paths = [expanded(it) for it in dict.fromkeys((name, shorter)) if it]
        yield shorter, next((path for path in paths if _is_file(path)), None)


def expanded(name: str) -> Path:
    """Return a path with `~` replaced, where there is a home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _exists(name: str) -> bool:
    try:
        return expanded(name).exists()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
