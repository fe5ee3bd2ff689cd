"""Launchers: a small program under each CI's own name, so that `apollo hi` is a command.

One folder for each Tekton holds the program once, and a link to it for every `NAME` and
`NAME-ci`; the program looks at the name it was called by. A shell has the folder last on its
PATH. What is not ours in there is left as it is.

Every shell that starts asks where the folder is, so nothing heavy is imported above.
"""

from __future__ import annotations

import os
import sys

from backends.runtime import absolute, is_private

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PROGRAM = ".launcher"
_MARK = "# Written by Tekton: "
PROGRAMS = ("aish", "terma")
"""Those of our own that are found in a shell beside the CIs, however Tekton was installed."""

_MAX_FIRST_LINE = 127
"""Bytes of a script's first line that every system reads whole (execve(2))."""

# What `aish` and `terma` themselves do, for it must not cost more: a test holds them together.
_TEXT = f"""{_MARK}the command `NAME` does what `aish NAME` does.
import _signal
import sys

if __name__ == "__main__":
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # else the imports end in a traceback
    name = sys.argv[0].rpartition("/")[2]
    if name == "terma":
        from terma.fast import run

        run(sys.argv[1:])
        from terma.cli import main
    else:
        if name != "aish":
            sys.argv.insert(1, name)
        from backends.fast import run

        run(sys.argv[1:])
        from aish.start import main
    main()
"""


def launcher_folder() -> str:
    """Return the folder of launchers as an absolute path; nothing is created.

    It is `Paths.launchers`, found without the imports that those need where that is possible.
    """
    home = os.environ.get("TEKTON_HOME")
    if home:
        return absolute(home) + "/state/bin"
    if sys.platform == "linux":
        state = os.environ.get("XDG_STATE_HOME", "")
        if not state.startswith("/"):
            state = os.path.expanduser("~/.local/state")
        if state.startswith("/"):
            return f"{state.rstrip('/')}/tekton/bin"
    from backends.paths import find_paths

    return os.fspath(find_paths().launchers)


def safe_folder() -> str:
    """Return the folder of launchers for a PATH; it may still be missing.

    Raises:
        TektonError: Others could put programs there.
    """
    folder = launcher_folder()
    if os.path.lexists(folder) and not is_private(folder):
        from backends.errors import TektonError

        raise TektonError(
            f"the folder of launchers {folder} is not this user's alone, or is a link",
            "look at it with `ls -ld`; `tekton up` mends its mode, or makes it anew",
        )
    return folder


def add_launchers(folder: Path, names: Collection[str]) -> list[str]:
    """Make the launchers of these CIs, and those of our own programs, where they are missing.

    Returns:
        Launchers that could not be made, because a file that is not ours has their name.

    Raises:
        StorageError: The folder cannot be used.
    """
    from backends.errors import StorageError
    from backends.paths import private_folder

    private_folder(folder)
    words = [*PROGRAMS, *(word for name in names for word in _words(name))]
    try:
        _write_program(folder / _PROGRAM)
        return [word for word in words if not _link(folder / word)]
    except OSError as error:
        raise StorageError(f"cannot write a launcher in {folder}: {error.strerror}") from error


def keep_launchers(folder: Path, names: Collection[str]) -> list[str]:
    """Make the launchers of these CIs, and remove those of all others.

    Returns and raises as `add_launchers`.
    """
    taken = add_launchers(folder, names)
    wanted = {*PROGRAMS, *(word for name in names for word in _words(name))}
    for word in os.listdir(folder):
        if word not in wanted and _is_ours(folder / word):
            _unlink(folder / word)
    return taken


def remove_launchers(folder: Path, name: str) -> None:
    """Remove the launchers of a CI that is no more.

    Raises:
        StorageError: They are there and cannot be removed.
    """
    for word in _words(name):
        if _is_ours(folder / word):
            _unlink(folder / word)


def _words(name: str) -> tuple[str, str]:
    return name, f"{name}-ci"


def _is_ours(link: Path) -> bool:
    try:
        return os.readlink(link) == _PROGRAM
    except OSError:
        return False  # it is no link, or is gone


def _link(link: Path) -> bool:
    """Make a link to the program; tells whether it is there now."""
    try:
        link.symlink_to(_PROGRAM)
    except FileExistsError:
        return _is_ours(link)
    return True


def _unlink(link: Path) -> None:
    from backends.errors import StorageError

    try:
        link.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove the launcher {link}: {error.strerror}") from error


def _write_program(file: Path) -> None:
    """Write the program as it has to be for this Python, in one step."""
    text = os.fsencode(_first_lines(sys.executable) + _TEXT)
    try:
        there = file.read_bytes()
    except FileNotFoundError:
        there = b""
    if there == text:
        return
    if there and _MARK.encode() not in there:
        raise FileExistsError(17, f"{file.name} is not Tekton's own")
    temporary = file.with_name(f"{_PROGRAM}.{os.getpid()}")
    temporary.write_bytes(text)
    temporary.chmod(0o700)
    temporary.replace(file)


def _first_lines(python: str) -> str:
    """Return what has a script run by a Python, wherever that lies."""
    line = f"#!{python}\n"
    if " " not in python and len(os.fsencode(line)) <= _MAX_FIRST_LINE:
        return line
    # The second line is a command to the shell, and to Python a text that nobody uses.
    quoted = "'" + python.replace("'", "'\"'\"'") + "'"
    return f'#!/bin/sh\n"exec" {quoted} "$0" "$@"\n'
