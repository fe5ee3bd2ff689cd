"""Who asks: a peer that lies in a terminal is that terminal, whatever it says.

The kernel's word on the peer's process goes before everything; a token counts only where that
tells nothing: a container, another pid namespace, a process that has left its terminal.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping

_MAX_ANCESTORS = 128


def terminal_of(pid: int, leaders: Mapping[int, str]) -> tuple[str, str] | None:
    """Find the terminal that a process lies in.

    Its environment does not count: anybody can write there what they like.

    Args:
        pid: The process.
        leaders: The ids of terminals by the pid of their program, which leads its session.

    Returns:
        The terminal's id and how that is known: `process`, `session` or `ancestor`; `None` where
        it lies in none.
    """
    if pid <= 0:
        return None  # of another pid namespace; to the system it would mean the hub itself
    if pid in leaders:
        return leaders[pid], "process"
    if (found := leaders.get(_session_of(pid))) is not None:
        return found, "session"
    ancestor = pid
    for _ in range(_MAX_ANCESTORS):
        ancestor = _parent_of(ancestor)
        if ancestor <= 1:
            break
        found = leaders.get(ancestor) or leaders.get(_session_of(ancestor))
        if found is not None:
            return found, "ancestor"
    return None


def new_token() -> str:
    """Return a new token: 256 bits (secrets.token_urlsafe)."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """Return what is stored of a token; it has enough bits to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def owner_of(token: str | None, hashes: Mapping[str, str]) -> str | None:
    """Return whose token it is; `hashes` are by the owner's id."""
    if not token:
        return None
    given = hash_of(token)
    owners = [id_ for id_, known in hashes.items() if secrets.compare_digest(known, given)]
    return owners[0] if owners else None


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except FileNotFoundError:
        return _asked(pid)
    except (OSError, IndexError, ValueError):
        return 0


def _asked(pid: int) -> int:
    """Ask psutil where there is no /proc; a process that is gone has no parent."""
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0
