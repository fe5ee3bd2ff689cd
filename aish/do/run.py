"""Running a command that was said yes to: in the user's shell, and into its history."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import sys
import time
from pathlib import Path
from typing import NoReturn

from aish.do.script import read_script
from aish.do.words import Unreadable
from backends.errors import NotFound, StorageError

_TAIL = 4096
_KNOWN = ("bash", "zsh", "fish")
_CHANGES_SHELL = frozenset(
    "cd pushd popd export source . alias unalias set unset setopt unsetopt shopt".split()
)
_OPEN_FILE = re.compile(r"/dev/fd/([0-9]{1,4})")


def user_shell() -> str:
    """Return the path of the user's shell: `$AISH_SHELL`, `$SHELL`, the system's record, sh."""
    import pwd

    try:
        recorded = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        recorded = ""
    for named in (os.environ.get("AISH_SHELL"), os.environ.get("SHELL"), recorded):
        found = shutil.which(named) if named else None
        if found:
            return found
    return "/bin/sh"


def shell_name(path: str) -> str:
    """Return what a shell is called: `bash` of `/usr/local/bin/bash-5.2`."""
    name = Path(path).name
    return next((known for known in _KNOWN if name.startswith(known)), name)


def lost_change(command: str, shell: str) -> str | None:
    """Return what a command changes in a shell of its own, as `cd`: it ends with that shell."""
    try:
        script = read_script(command, shell)
    except Unreadable:
        return None
    names = (one.words[0].text for one in script.commands if one.words and not one.before)
    return next((name for name in names if name in _CHANGES_SHELL), None)


def hand_over(command: str, file: Path) -> None:
    """Write a command into the file of the shell that asked for it; it runs it itself.

    Raises:
        StorageError: The file is not there, not private, or cannot be written.
    """
    try:
        opened = _OPEN_FILE.fullmatch(str(file))
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.dup(int(opened[1])) if opened else os.open(file, flags)
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            found = os.fstat(descriptor)
            is_file = stat.S_ISREG(found.st_mode)
            if not is_file or found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise StorageError(f"{file} ($AISH_DO_FILE) is not a private file of this user")
            os.ftruncate(descriptor, 0)
            stream.write(command)
    except OSError as error:
        raise StorageError(f"cannot write {file} ($AISH_DO_FILE): {error.strerror}") from error


def run_in_shell(command: str, shell: str) -> NoReturn:
    """Become the user's shell, which runs a command on the terminal and ends with its status.

    Raises:
        NotFound: The shell cannot be started.
    """
    sys.stdout.flush()
    if not os.isatty(0):  # the context came through a pipe, which is empty now
        terminal = os.open("/dev/tty", os.O_RDWR)
        os.dup2(terminal, 0)
    for number in (signal.SIGPIPE, signal.SIGINT):  # Python's own ways are not the command's
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(shell, [shell, "-c", command])
    except OSError as error:
        raise NotFound(f"cannot start the shell {shell}: {error.strerror}") from error


def remember(command: str, shell: str, now: float | None = None) -> str | None:
    """Add a command to the history of the user's shell, in one append.

    Args:
        command: The command.
        shell: `bash`, `zsh` or `fish`; others keep none that is known here.
        now: Seconds since the epoch; `None` means now.

    Returns:
        Why that was not possible, or `None`.
    """
    file = _history_file(shell)
    if file is None:
        return None
    when = int(time.time() if now is None else now)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        descriptor = os.open(file, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None  # /dev/null: none is wanted
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _TAIL, max(size - _TAIL, 0))
            start = b"" if not tail or tail.endswith(b"\n") else b"\n"
            os.write(descriptor, start + _entry(command, shell, when, tail))
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"cannot add it to {file}: {error.strerror}"
    return None


def _history_file(shell: str) -> Path | None:
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        return None
    if shell == "fish":
        name = os.environ.get("fish_history", "fish")  # noqa: SIM112 - fish's own variable
        data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
        name = "fish" if name == "default" else name
        return Path(data) / "fish" / f"{name}_history" if name else None
    if shell not in _KNOWN:
        return None
    folder = os.environ.get("ZDOTDIR") or home if shell == "zsh" else home
    named = os.environ.get("HISTFILE", str(Path(folder) / f".{shell}_history"))
    return Path(named) if named else None


def _entry(command: str, shell: str, when: int, tail: bytes) -> bytes:
    """Return a command as the shell itself would write it behind what is there."""
    if shell == "fish":
        escaped = command.replace("\\", "\\\\").replace("\n", "\\n")
        return f"- cmd: {escaped}\n  when: {when}\n".encode()
    if shell == "bash":
        has_times = re.search(rb"^#\d+$", tail, re.MULTILINE) is not None
        return f"#{when}\n{command}\n".encode() if has_times else f"{command}\n".encode()
    escaped = command.replace("\n", "\\\n")
    if escaped.endswith("\\"):
        escaped += " "  # or it would go on with the next entry
    is_extended = re.search(rb"^: \d+:\d+;", tail, re.MULTILINE) is not None
    line = f": {when}:0;{escaped}\n" if is_extended else f"{escaped}\n"
    return _metafied(line.encode())


def _metafied(data: bytes) -> bytes:
    """Write bytes that mean something to zsh in its own way (zsh's `Src/utils.c`, `metafy`)."""
    return b"".join(
        bytes((0x83, byte ^ 0x20)) if byte == 0 or 0x83 <= byte <= 0xA2 else bytes((byte,))
        for byte in data
    )
