"""Snapshots: a screen's state at an offset, so that a rebuild reads one and the log's tail.

A file is a line of JSON and the compressed state. One that is broken, or of another format, is
as good as none: the log has everything.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "screen"
"""The file's name in the folder of its terminal."""

FORMAT = 1
_MAX_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an engine at an offset, compressed, and the size it had there.

    `is_simple`: another engine has failed at this output before.
    """

    engine: str
    offset: int
    columns: int
    rows: int
    is_simple: bool
    state: bytes


def store(folder: Path, snapshot: Snapshot) -> None:
    """Put a snapshot where `load` finds it, whole or not at all."""
    head = {"format": FORMAT, "length": len(snapshot.state), **asdict(snapshot)}
    del head["state"]
    temporary = folder / f"{NAME}.new"
    temporary.unlink(missing_ok=True)  # whatever a program in the terminal may have put there
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(json.dumps(head).encode() + b"\n" + snapshot.state)
    temporary.replace(folder / NAME)


def load(folder: Path) -> Snapshot | None:
    """Return the snapshot of a folder, if there is one that can be used."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # it may be a FIFO
        with open(os.open(folder / NAME, flags), "rb") as file:
            head = json.loads(file.readline(_MAX_HEAD))
            if head.pop("format") != FORMAT:
                return None
            length = head.pop("length")
            state = file.read(length + 1)
            snapshot = Snapshot(state=state, **head)
            numbers = (snapshot.offset, snapshot.columns, snapshot.rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    is_whole = len(state) == length and all(isinstance(number, int) for number in numbers)
    return snapshot if is_whole else None


def remove_later(folder: Path, offset: int) -> None:
    """Remove the snapshot of a folder if it is of a later offset."""
    found = load(folder)
    if found is not None and found.offset > offset:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove the snapshot of a folder."""
    (folder / NAME).unlink(missing_ok=True)
