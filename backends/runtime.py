"""Names and sockets: what the shortest-lived client shares with everybody else.

Computed from `os` alone, which is loaded before any program starts, so that a CI's socket is
found without an import; the hub and the full client compute the same path here.
"""

from __future__ import annotations

import os
import sys

CI_FOLDER = "ci"
MAX_NAME = 32
"""Longest name of a CI, a terminal or a service, in characters."""

RESERVED = frozenset(
    "aish all chat completion do doctor events help history init list logs messages session shell "
    "shellenv status team-chat terma tekton up down version".split()
)
"""Words that `aish` and its shell keep for themselves; no CI may have them as its name."""

MAX_SOCKET_PATH = 90
"""Bytes; the system's own limit is 108 on Linux and 104 on macOS."""


def runtime_folder() -> str:
    """Return the folder of sockets as an absolute path; nothing is created or checked.

    In order: `$TEKTON_HOME/run`; on Linux `$XDG_RUNTIME_DIR/tekton`, then the folder that
    systemd keeps for this user (so that a job without the variable finds the same hub); else
    a folder of this user in /tmp. A path too long for a socket is replaced by a short one in
    /tmp that is derived from it.
    """
    uid = os.getuid()
    home = os.environ.get("TEKTON_HOME")
    if home:
        folder = absolute(home) + "/run"
    else:
        parent = ""
        if sys.platform == "linux":
            parent = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
        usable = parent.startswith("/") and _owner(parent) == uid
        folder = f"{parent}/tekton" if usable else f"/tmp/tekton-{uid}"  # nosec B108
    longest = len(os.fsencode(folder)) + len(f"/{CI_FOLDER}/.sock") + MAX_NAME
    if longest > MAX_SOCKET_PATH:
        folder = f"/tmp/tekton-{uid}-{_digest(os.fsencode(folder)):016x}"  # nosec B108
    return folder


def canonical(name: str) -> str:
    """Return a CI's own name: `apollo-ci` and `Apollo` are `apollo`."""
    return name.lower().removesuffix("-ci")


def absolute(path: str) -> str:
    """Return `$TEKTON_HOME` as an absolute path.

    Raises:
        ConfigError: It is relative to a folder that is gone.
    """
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        from backends.errors import ConfigError

        raise ConfigError(
            f"TEKTON_HOME is {path!r}, but the current folder is gone",
            "`cd` to a folder that is there, or set TEKTON_HOME to a full path",
        ) from error


def socket_path(folder: str, name: str, is_ci: bool) -> str:
    """Return the Unix socket of a service or a CI in the runtime folder."""
    return f"{folder}/{CI_FOLDER}/{name}.sock" if is_ci else f"{folder}/{name}.sock"


def is_private(folder: str) -> bool:
    """Tell whether a folder is a real one, of this user, that nobody else may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return found.st_mode & 0o170077 == 0o040000 and found.st_uid == os.getuid()


def terminal_key() -> str | None:
    """Return a key of the place where this process was started, `None` where that is no terminal.

    It names the Terma terminal around it, else the login session of the terminal: its id, and
    when its leader started, for ids are used again (proc(5), credentials(7)). It holds the name
    of the machine, since a hub may serve several.
    """
    host = os.uname().nodename
    name = os.environ.get("TERMA_TERMINAL")
    if name:
        return f"{host}/{name}"
    leader = os.getsid(0)
    started = _started_at(leader)
    return f"{host}/{leader}@{started}" if started else None


def _started_at(leader: int) -> str | None:
    """Return when the leader of a session started, `None` where it has no terminal."""
    try:
        with open(f"/proc/{leader}/stat", "rb", 0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        return fields[19].decode() if fields[4] != b"0" else None
    except (OSError, IndexError):
        return None if sys.platform == "linux" else _asked_of_ps(leader)


def _asked_of_ps(leader: int) -> str | None:
    """Ask ps(1) what /proc tells elsewhere; `subprocess` would take longer than ps."""
    reading, writing = os.pipe()
    command = ["ps", "-o", "tty=,lstart=", "-p", str(leader)]
    try:
        streams = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        pid = os.posix_spawn("/bin/ps", command, os.environ, file_actions=streams)
        os.waitpid(pid, 0)
        tty, *when = os.read(reading, 4096).decode().split()
    except (OSError, ValueError):
        return None
    finally:
        os.close(reading)
        os.close(writing)
    return "-".join(when) if tty.strip("?-") else None


def _owner(folder: str) -> int:
    try:
        return os.stat(folder).st_uid
    except OSError:
        return -1


def _digest(path: bytes) -> int:
    """FNV-1a, 64 bit (draft-eastlake-fnv): `hashlib` would cost more than the rest."""
    value = 0xCBF29CE484222325
    for byte in path:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
