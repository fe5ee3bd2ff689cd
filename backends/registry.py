"""Records of running services: one JSON file each, written whole, removed by its owner.

A record is written to a temporary file and renamed, so readers need no lock. A record whose
process or socket is gone stays until its owner or `tekton clean` removes it, so that a death can
be seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from backends.errors import InvalidMessage, StorageError
from backends.paths import private_folder
from backends.protocol import schema
from backends.protocol.messages import Health, ServiceInfo


class Registry:
    """The folder `ai_registry/`; safe to use from many processes at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: ServiceInfo) -> None:
        """Write or replace the record of a service or CI.

        Raises:
            StorageError: It cannot be written.
        """
        private_folder(self._folder)
        path = self._path(record.name, record.is_ci)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        text = json.dumps(schema.encode(record), indent=1) + "\n"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error

    def remove(self, name: str, is_ci: bool) -> None:
        """Remove a record; it may be gone already."""
        self._path(name, is_ci).unlink(missing_ok=True)

    def find(self, name: str, is_ci: bool) -> ServiceInfo | None:
        """Return the record as it was written, or `None`."""
        return _read(self._path(name, is_ci)) if "/" not in name else None

    def records(self) -> Iterator[ServiceInfo]:
        """Yield every readable record: services first, then CIs, each by name."""
        found = [record for path in self._folder.glob("*.json") if (record := _read(path))]
        yield from sorted(found, key=lambda record: (record.is_ci, record.name))

    def live_records(self) -> Iterator[ServiceInfo]:
        """Yield every record with its health as the file system and process table show it now."""
        return (checked(record) for record in self.records())

    def _path(self, name: str, is_ci: bool) -> Path:
        return self._folder / (f"{name}-ci.json" if is_ci else f"{name}.json")


def checked(record: ServiceInfo) -> ServiceInfo:
    """Return the record with `health` and `reason` as they are now, without connecting."""
    if record.health is not Health.ALIVE:
        return record
    if not is_running(record.pid):
        reason = f"its process (pid {record.pid}) is gone"
    elif not os.path.exists(record.socket):
        reason = f"its socket {record.socket} is gone"
    else:
        return record
    return replace(record, health=Health.DEAD, reason=reason)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one of another user counts, one that has ended does not."""
    if pid <= 0:
        return False  # to the system it would mean a group of processes
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only waits to be noticed, where /proc knows."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def _read(path: Path) -> ServiceInfo | None:
    try:
        return schema.decode(ServiceInfo, json.loads(path.read_bytes()))
    except (OSError, ValueError, InvalidMessage):
        return None  # just replaced or removed, or not a record
