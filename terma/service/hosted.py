"""What ptyhost is asked to hold, and what it tells of what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What is to run in a terminal.

    `environment` is packed as environ(7) has it. Without a `log` nothing is written down.
    `exit_file` gets how the program ended; by default it is `exit.json` in the log's folder.
    `meta` is kept for `list`, as it is. `preface`, of at most 64 KiB, is put out before anything
    that the program writes, and not where it cannot be started.
    """

    terminal: str
    command: tuple[str, ...]
    folder: str
    environment: bytes
    columns: int = 80
    rows: int = 24
    log: Path | None = None
    log_bytes: int = 64_000_000
    exit_file: Path | None = None
    meta: Any = None
    preface: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a program ended: by a status or a signal's name; its output ended at `end`."""

    status: int | None
    signal: str | None
    end: int
    at: float


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """A terminal that ptyhost holds; what an older one does not tell has its default."""

    terminal: str
    pid: int = 0
    columns: int = 80
    rows: int = 24
    oldest: int = 0
    end: int = 0
    input: int = 0
    meta: Any = None
    started_at: float = 0.0
    active_at: float = 0.0
    foreground: int = 0
    canonical: bool = False
    exit: Exit | None = None
    log_error: str | None = None


@dataclass(frozen=True)
class Read:
    """Output from `offset` on, which is later than asked for where that is not kept any more."""

    offset: int
    data: bytes
    oldest: int
    end: int


@dataclass(frozen=True)
class Ended:
    """How many processes ended with a terminal, and the pids of those that are still there."""

    ended: int
    left: tuple[int, ...]


def hosted_of(fields: Mapping[str, Any]) -> Hosted:
    """Return a terminal as `list` tells it."""
    known = {name: fields[name] for name in Hosted.__dataclass_fields__ if name in fields}
    end = fields.get("exit")
    if end:
        known["exit"] = Exit(
            status=end.get("status"), signal=end.get("signal"), end=end.get("end", 0),
            at=end.get("at", 0.0),
        )  # fmt: skip
    return Hosted(**known)
