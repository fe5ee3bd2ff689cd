"""Where ptyhost is found: a socket in a private folder, and the locks that say whose it is.

Both the folder and a file beside the socket are locked: a file can be removed under its holder,
and not every file system locks folders.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator

_BACKLOG = 1024
_MAX_PID = 16
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Inode = tuple[int, int]


class Held(OSError):
    """Another ptyhost has the address."""


class Address:
    """A socket that listens, and can be put back in its place by whoever holds its locks.

    Args:
        path: Of the socket; its folder must be this user's, with mode 0700.

    Raises:
        Held: Another ptyhost has it.
        OSError: It cannot be had; the reason is the message.
    """

    def __init__(self, path: str) -> None:
        self._path, self._folder = path, os.path.dirname(path)
        self._locks: dict[str, int] = {}
        _check_folder(self._folder)
        self._lock()
        if _answers(path):  # one that could lock nothing
            raise Held(0, f"another ptyhost has {path}")
        _remove(path, lambda mode: not stat.S_ISSOCK(mode))
        self.listener = self._bind()

    def renew(self) -> bool:
        """Listen in the old place again where the socket is gone; returns whether it was.

        `listener` is another one then; the old one is closed.

        Raises:
            Held: Another ptyhost has it now.
            OSError: It cannot be had for now.
        """
        if not os.path.lexists(self._folder):
            os.mkdir(self._folder, 0o700)
        _check_folder(self._folder)
        _remove(f"{self._path}.lock", stat.S_ISREG)
        self._lock()  # before the socket: another one must not come up in between
        if self._is_in_place():
            return False
        _remove(self._path)
        before, self.listener = self.listener, self._bind()
        before.close()
        return True

    def leave(self) -> None:
        """Remove the socket where it is still this one."""
        if self._is_in_place():
            os.unlink(self._path)

    def _is_in_place(self) -> bool:
        return self._inode is not None and _inode(self._path) == self._inode

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(self._path)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        self._inode = _inode(self._path)
        return listener

    def _lock(self) -> None:
        """Hold what lies at the paths of the locks now, which need not be what is held."""
        for path, flags in _locks_of(self._path):
            held = self._locks.get(path, -1)
            if held >= 0 and _inode(path) == _inode_of(held):
                continue
            fd = os.open(path, flags | (0 if flags & os.O_DIRECTORY else os.O_CREAT), 0o600)
            try:
                _take(fd, path, not flags & os.O_DIRECTORY)
            except OSError:
                os.close(fd)
                raise
            self._locks[path] = fd
            if held >= 0:
                os.close(held)


def holder(path: str) -> int | None:
    """Return the pid of the ptyhost that has an address, also where its socket is gone.

    0 is one that lives and cannot be told the pid of; `None` is none.
    """
    is_held, pid = False, 0
    for name, flags in _locks_of(path):
        try:
            fd = os.open(name, flags)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            is_held = True
            said = b"" if flags & os.O_DIRECTORY else os.read(fd, _MAX_PID).strip()
            pid = int(said) if said.isdigit() else pid
        except OSError:
            pass  # this one cannot be locked
        finally:
            os.close(fd)
    return pid if is_held else None


def _locks_of(path: str) -> Iterator[tuple[str, int]]:
    yield os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | _FLAGS
    yield f"{path}.lock", os.O_RDWR | _FLAGS


def _take(fd: int, path: str, is_file: bool) -> None:
    """Lock what is open; the pid is written into a file."""
    if is_file and not stat.S_ISREG(os.fstat(fd).st_mode):
        raise PermissionError(0, f"{path} is no plain file")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Held(0, f"another ptyhost holds {path}") from error
    except OSError:
        if is_file:
            raise
        return  # this file system locks no folders
    if _inode(path) != _inode_of(fd):
        raise OSError(0, f"{path} was removed meanwhile")
    if is_file:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _remove(path: str, but_for: Callable[[int], bool] = lambda _: False) -> None:
    """Remove what lies at a path, but for what has such a mode."""
    try:
        if not but_for(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # so many wait there already
        except OSError:
            return False
    return True


def _check_folder(folder: str) -> None:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(0, f"{folder} is not a folder of this user alone")


def _inode(path: str) -> Inode | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _inode_of(fd: int) -> Inode:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
