"""Files in a terminal's folder, where whatever runs in the terminal may have put anything.

A FIFO would hold up who opens it, and a link would lead elsewhere: neither is opened.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_FILE = 64 * 1024 * 1024


def read_regular(path: Path, limit: int = MAX_FILE) -> bytes:
    """Read a file.

    Raises:
        OSError: It is not there, is no plain file, or is larger than the limit (bytes).
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise OSError(f"{path} is no file of ours")
        return file.read(limit)


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole, for its user alone; whatever was there by its name is replaced.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)
