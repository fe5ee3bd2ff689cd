"""What was typed in chats: a private file of bounded size, newest last."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from prompt_toolkit.history import History

MAX_SIZE = 1024 * 1024
"""Bytes; a longer file is cut to its newer half when it is read."""

MAX_ENTRY = 20_000
"""Characters; a longer entry is not kept."""


class ChatHistory(History):
    """Entries as JSON strings, a line each.

    A history that cannot be read or written is only shorter: it is no reason to stop a chat.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, newest first."""
        return reversed(read_entries(self._file))

    def store_string(self, string: str) -> None:
        """Append an entry."""
        if len(string) > MAX_ENTRY:
            return
        line = json.dumps(string).encode() + b"\n"
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _opened(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                file.write(line)


def read_entries(file: Path) -> list[str]:
    """Return the entries of a history, oldest first; lines that are damaged are passed over."""
    try:
        with _opened(file, os.O_RDONLY) as opened:
            size = os.fstat(opened.fileno()).st_size
            is_large = size > MAX_SIZE
            opened.seek(size - MAX_SIZE // 2 if is_large else 0)
            data = opened.read(MAX_SIZE)
    except OSError:
        return []
    if is_large:
        data = data.partition(b"\n")[2]
        _replace(file, data)
    found = (_entry(line) for line in data.splitlines())
    return [entry for entry in found if entry is not None]


def _entry(line: bytes) -> str | None:
    try:
        entry = json.loads(line)
        if isinstance(entry, str):
            entry.encode()  # a lone surrogate could not be shown
            return entry
    except (ValueError, RecursionError):
        return None
    return None


def _opened(file: Path, flags: int) -> IO[bytes]:
    """Open a regular file, and nothing else, which might never end or never begin.

    Raises:
        OSError: It is none, or cannot be opened.
    """
    number = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return open(number, "rb" if flags == os.O_RDONLY else "ab", 0)


def _replace(file: Path, data: bytes) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):  # a full disk: what was typed is only not remembered
        with _opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as opened:
            opened.write(data)
        new.replace(file)
