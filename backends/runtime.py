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
    "shellenv status team-chat terma tekton up down user version".split()
)
"""Words of our programs, and who is not a CI: no CI or terminal may have them as its name."""

_SERVICES = frozenset({"engram", "hermes", "specialists"})
"""What `tekton serve` takes for a service; the gateway shares its name with the CI rhetor."""

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


def check_name(name: str, what: str = "CI") -> str:
    """Return the name if a CI, or `what` is a terminal, may have it; they share their names.

    Raises:
        UsageError: It is not a slug, is too long or is kept for something; the message says which.
    """
    why = _why_not(name)
    if why is None:
        return name
    from backends.errors import UsageError

    better = slug_of(slug_of(name.removesuffix("-ci")).lstrip("-0123456789"), MAX_NAME)
    hint = f"call it {better!r}" if better and _why_not(better) is None else "choose another"
    shown = name if len(name) <= 2 * MAX_NAME else f"{name[: 2 * MAX_NAME]}…"
    raise UsageError(f"{shown!r} cannot be the name of a {what}: {why}", hint)


def _why_not(name: str) -> str | None:
    if not name:
        return "a name has at least one letter"
    if not (name.isascii() and name.islower() and name.replace("-", "").isalnum()):
        return "a name has the letters a to z in lower case, digits and '-', nothing else"
    if not name[0].isalpha() or name.endswith("-"):
        return "a name begins with a letter and does not end with '-'"
    if len(name) > MAX_NAME:
        return f"a name has at most {MAX_NAME} characters, this has {len(name)}"
    if len(name) == 32 and not name.strip("0123456789abcdef"):
        return "it looks like the id of a terminal"
    if name in RESERVED:
        return "it is a word of Tekton's own"
    if name in _SERVICES:
        return "it is a service"
    return "NAME-ci is the CI NAME" if name.endswith("-ci") else None


def slug_of(text: str, longest: int = 1000) -> str:
    """Return the slug that is nearest to a text; empty where it has no letter or digit of ASCII.

    Args:
        text: The text; only its first 1000 characters count.
        longest: Most characters of the slug.
    """
    import unicodedata

    plain = unicodedata.normalize("NFKD", text[:1000]).lower()
    kept = "".join(one for one in plain if not unicodedata.combining(one))
    words = "".join(one if one.isascii() and one.isalnum() else " " for one in kept).split()
    return "-".join(words)[:longest].rstrip("-")


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

    It is the id of the Terma terminal around it, which a new name does not change and another
    terminal of the same name does not have; else the login session of the terminal: its id, and
    when its leader started, for ids are used again (proc(5), credentials(7)). It holds the name
    of the machine, since a hub may serve several.
    """
    host = os.uname().nodename
    instance = os.environ.get("TERMA_INSTANCE")
    if instance:
        return f"{host}/{instance}"
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
