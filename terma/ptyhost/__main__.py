"""Start ptyhost: `python -I -S …/terma/ptyhost/__main__.py SOCKET`.

It leaves the one who has started it: that process ends with status 0 once the socket listens,
with 3 where another ptyhost has it already, and with 1 and a line on its standard error where it
cannot be had.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import sys

if __name__ == "__main__":
    # By its path, isolated and without site packages, it finds its own package alone.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in sys.path:
        sys.path.append(root)

from terma.ptyhost import child
from terma.ptyhost.server import Server

_BACKLOG = 1024
_IS_HELD = 3


def main(path: str) -> int:
    """Serve on a Unix socket; returns the exit status."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    child.prepare()
    try:
        _check_folder(os.path.dirname(path))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not _is_free(lock, path):
            return _IS_HELD
        listener = _listen(path)
    except OSError as error:
        print(f"{path}: {error.strerror or error}", file=sys.stderr)
        return 1
    if os.fork():
        os._exit(0)
    os.chdir("/")
    if os.getsid(0) != os.getpid():
        os.setsid()
    bound = os.lstat(path).st_ino
    Server(listener).run()
    try:
        if os.lstat(path).st_ino == bound:
            os.unlink(path)
    except FileNotFoundError:
        pass
    return 0


def _check_folder(folder: str) -> None:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(0, f"{folder} is not a folder of this user alone")


def _is_free(lock: int, path: str) -> bool:
    """Tell whether no other ptyhost has the socket; the lock is held from here on."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Somebody may have removed the lock of one that lives.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return True
    return False


def _listen(path: str) -> socket.socket:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: ptyhost SOCKET", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
