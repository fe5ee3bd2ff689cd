"""What a terminal is made from: its environment, its token, and what ptyhost remembers of it."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
import signal as signals
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.errors import InvalidMessage, StorageError, UsageError
from backends.paths import Paths
from backends.protocol import schema
from backends.runtime import MAX_NAME
from terma.screen.paint import AFRESH
from terma.service.files import read_regular, write_private
from terma.service.identity import hash_of
from terma.service.store import StoredTerminal

TERM = "xterm-256color"
"""What every program is told: what any window that attaches, and our screens, understand."""

_MAX_SIZE = 1000
_MAX_EXIT = 4096


def check_size(columns: int, rows: int) -> None:
    """Refuse a size that no window has.

    Raises:
        UsageError: It is too small or too large.
    """
    if not (1 <= columns <= _MAX_SIZE and 1 <= rows <= _MAX_SIZE):
        raise UsageError(
            f"a terminal cannot have {columns} columns and {rows} rows",
            f"give from 1 to {_MAX_SIZE} of each",
        )


def check_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Return the roles, each once and in lower case.

    Raises:
        UsageError: One of them is no slug, or is `all`.
    """
    found: dict[str, None] = {}
    for role in roles:
        slug = role.strip().removeprefix("@").lower()
        is_slug = slug.isascii() and slug.replace("-", "").isalnum() and slug.strip("-") == slug
        if not is_slug or len(slug) > MAX_NAME or slug == "all":
            raise UsageError(
                f"{role!r} cannot be a role",
                f"a role is letters, digits and '-', at most {MAX_NAME}, and not 'all'",
            )
        found[slug] = None
    return tuple(found)


def environment_of(given: str, terminal: StoredTerminal, folder: Path) -> bytes:
    """Return the environment of a terminal's program, packed as environ(7) has it.

    Args:
        given: The caller's, base64 of `NAME=value` strings that each end in a NUL.
        terminal: Whose it is.
        folder: Where the terminal's files are.

    Raises:
        InvalidMessage: It is not base64, or a string in it has no name.
    """
    try:
        data = base64.b64decode(given, validate=True)
    except binascii.Error as error:
        raise InvalidMessage("environment is not base64") from error
    variables: dict[bytes, bytes] = {}
    for one in data.split(b"\0"):
        name, is_there, value = one.partition(b"=")
        if one and (not name or not is_there):
            raise InvalidMessage("environment must have NAME=value strings")
        if one:
            variables[name] = value
    own = {
        "TERM": TERM,
        "TERMA_TERMINAL": terminal.name,
        "TERMA_INSTANCE": terminal.id,
        "TERMA_TOKEN_FILE": os.fspath(token_file(folder)),
        "TERMA_MAIL": os.fspath(mail_file(folder)),
    }
    variables.update((name.encode(), os.fsencode(value)) for name, value in own.items())
    return b"".join(b"%s=%s\0" % item for item in variables.items())


def restored_line(at: float) -> bytes:
    """Return what is put out before a program that is run anew, at a time (seconds, epoch).

    What the one before has left behind, modes and looks, must not befall it.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return AFRESH + f"\x1b[2m-- restored {when} --\x1b[0m\r\n".encode()


def token_file(folder: Path) -> Path:
    """Return where a terminal's token is."""
    return folder / "token"


def mail_file(folder: Path) -> Path:
    """Return the file that is not empty while messages wait that nothing has shown."""
    return folder / "mail"


def person_mail_file(paths: Paths) -> Path:
    """Return that file for the person, of which `aish.shell` tells shells outside of terminals."""
    return paths.state / "user.mail"


def name_file(folder: Path) -> Path:
    """Return where a terminal's prompt finds the name that it has got since it was opened."""
    return folder / "name"


def exit_file(folder: Path) -> Path:
    """Return where ptyhost writes down how a terminal's program ended."""
    return folder / "exit.json"


def read_exit(folder: Path) -> tuple[int | None, str | None, float] | None:
    """Return exit status, signal and time of a program that has ended, if that was written down."""
    try:
        found = json.loads(read_regular(exit_file(folder), _MAX_EXIT))
        status, signal, at = found.get("status"), found.get("signal"), float(found.get("at", 0.0))
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    is_told = isinstance(status, int) != isinstance(signal, str)
    return (status, signal, at) if is_told else None


def write_token(folder: Path, token: str) -> None:
    """Write a terminal's token, for its user alone.

    Raises:
        StorageError: It cannot be written.
    """
    path = token_file(folder)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def set_mail(file: Path, waits: bool) -> None:
    """Tell the shells that look at a file that there are messages, or that there are none.

    Raises:
        OSError: It cannot be written.
    """
    if waits:
        write_private(file, b"1\n")
    else:
        file.unlink(missing_ok=True)


def set_name(folder: Path, name: str) -> None:
    """Tell the shell in a terminal that it has another name.

    Raises:
        OSError: It cannot be written.
    """
    write_private(name_file(folder), f"{name}\n".encode())


def meta_of(terminal: StoredTerminal) -> Mapping[str, Any]:
    """Return what ptyhost keeps of a terminal, for a hub that has lost its own memory of it."""
    found: dict[str, Any] = schema.encode(terminal)
    return found


def stored_of(meta: Mapping[str, Any], id_: str) -> StoredTerminal | None:
    """Read back what `meta_of` returned; `None` where it is not that."""
    unknown = {field.name: None for field in dataclasses.fields(StoredTerminal)}
    try:
        stored = schema.decode(StoredTerminal, unknown | dict(meta))
    except InvalidMessage:
        return None
    return stored if stored.id == id_ else None


def token_hash(folder: Path) -> str:
    """Return what is stored of the token in a folder; empty where there is none."""
    try:
        return hash_of(token_file(folder).read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        return ""


def status_of(name: str | None) -> int | None:
    """Return the exit status that a shell shows for a program killed by a signal."""
    found = getattr(signals, f"SIG{name}", None) or getattr(signals, str(name), None)
    return 128 + int(found) if found is not None else None
