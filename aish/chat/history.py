"""What was typed in chats: a private file of bounded size, newest last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

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
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = os.open(
                self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600
            )
        except OSError:
            return
        with os.fdopen(opened, "ab", 0) as file:
            _write(file.fileno(), line)


def read_entries(file: Path) -> list[str]:
    """Return the entries of a history, oldest first; lines that are damaged are passed over."""
    try:
        data = file.read_bytes()
    except OSError:
        return []
    if len(data) > MAX_SIZE:
        data = data[-MAX_SIZE // 2 :].partition(b"\n")[2]
        _replace(file, data)
    entries = []
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, str):
            entries.append(entry)
    return entries


def _replace(file: Path, data: bytes) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _write(opened, data)
        finally:
            os.close(opened)
        new.replace(file)
    except OSError:
        return


def _write(opened: int, data: bytes) -> None:
    try:
        os.write(opened, data)
    except OSError:
        return  # a full disk: what was typed is only not remembered
