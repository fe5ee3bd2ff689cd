"""Every process of a terminal: those of its session, and those that carry its id.

`TERMA_INSTANCE=ID` in the environment marks what has left the session.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Collection, Iterator

VARIABLE = b"TERMA_INSTANCE"

_MARK = b"\0" + VARIABLE + b"="
_AT_ONCE = 64 << 10
_NO_LOOK = frozenset((errno.EMFILE, errno.ENFILE))
_PS = ("ps", "axeww", "-o", "pid=,stat=,lstart=,command=")
_PS_LINE = re.compile(rb"\s*(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\d{4})\s(.*)")
_IN_PS = re.compile(rb"(?:^|\s)" + VARIABLE + rb"=([a-z0-9-]{1,64})(?:\s|$)")


class Process:
    """A process that runs: pid and `started` together are never used again.

    `instance` is the terminal that it says it is of, empty for none.
    """

    __slots__ = ("instance", "pid", "session", "started")

    def __init__(self, pid: int, session: int, started: bytes, instance: str) -> None:
        self.pid, self.session, self.started, self.instance = pid, session, started, instance


def scan() -> list[Process]:
    """List the processes that run, but for this one; those that only wait to be reaped do not.

    Raises:
        OSError: They cannot be looked at; a part of them would be mistaken for all.
    """
    me = os.getpid()
    found = _from_proc() if sys.platform == "linux" else _from_ps(_ask_ps())
    return [process for process in found if process.pid != me]


def survivors(ids: Collection[str]) -> dict[str, list[int]]:
    """Find what carries these ids of terminals; an id that nothing carries is left out.

    Raises:
        OSError: The processes cannot be looked at.
    """
    found: dict[str, list[int]] = {}
    for process in scan():
        if process.instance in ids:
            found.setdefault(process.instance, []).append(process.pid)
    return found


def _from_proc() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        # proc(5): state, ppid, pgrp, session …, as the 18th its threads, as the 20th its start.
        fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
        if len(fields) > 19 and (fields[0] not in (b"Z", b"X") or int(fields[17]) > 1):
            environment = b"\0" + _environment(name, fields[0])
            instance = environment.partition(_MARK)[2].partition(b"\0")[0]
            yield Process(int(name), int(fields[3]), fields[19], instance.decode("latin-1"))


def _environment(pid: str, state: bytes) -> bytes:
    if state not in (b"Z", b"X"):
        return _read(f"/proc/{pid}/environ")
    # Its first thread has ended, and others have not: they know the environment.
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return b""
    return b"".join(_read(f"/proc/{pid}/task/{thread}/environ") for thread in threads)


def _read(path: str) -> bytes:
    """Read a file of /proc; nothing where the process is gone, or is somebody else's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_LOOK:
            raise
        return b""
    try:
        parts = [os.read(fd, _AT_ONCE)]
        while len(parts[-1]) >= _AT_ONCE - 4096:  # it comes in whole pages
            parts.append(os.read(fd, _AT_ONCE))
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _from_ps(listing: bytes) -> Iterator[Process]:
    for line in listing.splitlines():
        columns = _PS_LINE.match(line)
        if not columns or columns[2].startswith(b"Z"):
            continue
        pid = int(columns[1])
        instance = _IN_PS.search(columns[4])
        try:
            session = os.getsid(pid)
        except OSError:
            session = 0
        yield Process(pid, session, columns[3], instance[1].decode() if instance else "")


def _ask_ps() -> bytes:
    reading, writing = os.pipe()
    with open(reading, "rb", 0) as answer:
        streams = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        environment = {"PATH": "/bin:/usr/bin", "LC_ALL": "C"}
        pid = os.posix_spawn("/bin/ps", _PS, environment, file_actions=streams)
        os.close(writing)
        listing = answer.readall()
    os.waitpid(pid, 0)
    return listing or b""
