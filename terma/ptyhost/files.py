"""Files in folders that the programs in terminals can write to.

Whatever lies there, nothing waits for it: a FIFO is not waited at, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat

_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_FILE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO))
"""Of open(2): nothing there, a link, or what is no plain file."""


def create(folder: str, name: str) -> int:
    """Make a new file to append to, in the place of whatever lies there; returns it open.

    Raises:
        OSError: It cannot be made.
    """
    place = _enter(folder)
    try:
        _unlink(name, place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _SAFELY
        return os.open(name, flags, 0o600, dir_fd=place)
    finally:
        os.close(place)


def open_to_read(folder: str, name: str) -> int:
    """Open a plain file; returns -1 where there is none by that name.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        place = _enter(folder)
        try:
            fd = os.open(name, os.O_RDONLY | _SAFELY, dir_fd=place)
        finally:
            os.close(place)
    except OSError as error:
        if error.errno in _NO_FILE:
            return -1
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return -1


def read(folder: str, name: str, offset: int, limit: int) -> bytes:
    """Read a part of a file; nothing where there is none by that name.

    Raises:
        OSError: It is there and cannot be read.
    """
    fd = open_to_read(folder, name)
    if fd < 0:
        return b""
    try:
        return os.pread(fd, limit, offset)
    finally:
        os.close(fd)


def remove(folder: str, name: str) -> None:
    """Remove a file; nothing happens where there is none.

    Raises:
        OSError: It cannot be removed.
    """
    try:
        place = _enter(folder)
    except FileNotFoundError:
        return
    try:
        _unlink(name, place)
    finally:
        os.close(place)


def replace(folder: str, name: str, content: bytes) -> None:
    """Write a file whole, in the place of what is there.

    Raises:
        OSError: It cannot be written.
    """
    with open(create(folder, f"{name}.new"), "wb") as file:
        file.write(content)
    place = _enter(folder)
    try:
        os.replace(f"{name}.new", name, src_dir_fd=place, dst_dir_fd=place)
    finally:
        os.close(place)


def sizes(folder: str) -> dict[str, int]:
    """Return the sizes of the plain files in a folder, by name; a folder may be missing.

    Raises:
        OSError: It cannot be read.
    """
    try:
        place = _enter(folder)
    except OSError as error:
        if error.errno in _NO_FILE:
            return {}
        raise
    try:
        found = {}
        for name in os.listdir(place):
            try:
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went meanwhile
            if stat.S_ISREG(status.st_mode):
                found[name] = status.st_size
        return found
    finally:
        os.close(place)


def _enter(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _SAFELY)


def _unlink(name: str, place: int) -> None:
    try:
        os.unlink(name, dir_fd=place)
    except FileNotFoundError:
        pass
