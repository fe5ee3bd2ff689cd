"""What the hub tells of itself: a lock that it holds, and who it is."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from backends.errors import AlreadyRunning, StorageError
from backends.paths import Paths

_PATIENCE_S = 0.2
"""`is_locked` in another process holds the lock for an instant."""


@contextmanager
def hub_lock(paths: Paths) -> Iterator[None]:
    """Hold the hub's lock; the system lets go of it however the process ends.

    Raises:
        AlreadyRunning: Another process holds it; the message says which and where.
    """
    with paths.hub_lock.open("a") as lock:
        deadline = time.monotonic() + _PATIENCE_S
        while not _take(lock):
            if time.monotonic() > deadline:
                first = read_hub_record(paths)
                pid = first.get("pid", "unknown")
                raise AlreadyRunning(
                    f"a hub runs already: pid {pid}, sockets in {paths.runtime}",
                    "`tekton status` shows it, `tekton down` ends it",
                )
            time.sleep(0.01)
        yield


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(paths: Paths) -> bool:
    """Tell whether a hub runs."""
    try:
        with paths.hub_lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # there is none
    return False


def read_hub_record(paths: Paths) -> dict[str, Any]:
    """Return what the last hub wrote: `pid`, `started_at`, `runtime`; `ended_at` if it could."""
    try:
        found = json.loads((paths.state / "hub.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_hub_record(paths: Paths, record: dict[str, Any]) -> None:
    """Write the record, whole.

    Raises:
        StorageError: It cannot be written.
    """
    file = paths.state / "hub.json"
    temporary = file.with_suffix(".json.tmp")
    try:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error
