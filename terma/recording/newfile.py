"""A file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backends.errors import StorageError

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def new_file(file: Path, replaces: bool) -> Iterator[IO[bytes]]:
    """Open a file for its owner alone; it takes its name when the block ends well.

    What is there and no ordinary file, as a pipe or a device, is written to as it is.

    Raises:
        StorageError: It is there already, and is not to be replaced; or it cannot be written.
    """
    try:
        if _is_special(file):
            with file.open("wb") as stream:
                yield stream
            return
        if file.is_dir():
            raise StorageError(f"{str(file)!r} is a folder", "name a file in it")
        if not replaces and os.path.lexists(file):
            raise _is_there(file)
        new = file.with_name(f".{file.name}.{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(new, flags, 0o600), "wb") as stream:
            try:
                yield stream
                stream.flush()
                _give_name(new, file, replaces)
            finally:
                new.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise StorageError(f"cannot write {str(file)!r}: {error.strerror}") from error


def _give_name(new: Path, file: Path, replaces: bool) -> None:
    """Let a file have its name, which somebody else may have taken meanwhile."""
    if not replaces:
        try:
            os.link(new, file)
            return
        except FileExistsError as error:
            raise _is_there(file) from error
        except OSError as error:  # this file system has no links
            if error.errno not in _NO_LINKS:
                raise
    new.replace(file)


def _is_there(file: Path) -> StorageError:
    return StorageError(f"{str(file)!r} is there already", "--force replaces it")


def _is_special(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False  # opening it will tell
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
