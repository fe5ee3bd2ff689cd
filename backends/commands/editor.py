"""Editing a file: a draft in the user's editor, which replaces the file once it is valid."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from backends.console import complain
from backends.errors import ConfigError, StorageError, TektonError, UsageError
from backends.paths import private_folder

_EDITORS = ("sensible-editor", "editor", "nano", "vim", "vi")


def edit(file: Path, text: bytes, check: Callable[[Path], object]) -> bytes:
    """Open a draft of a file in an editor until it passes the check; the file is not touched.

    Args:
        file: Gives the draft its name, by which an editor knows its language.
        text: What the draft holds at first.
        check: Raises `ConfigError` for a draft that cannot be used.

    Returns:
        What the draft holds at last.

    Raises:
        ConfigError: The draft is not valid, and the user gave up or is not at a terminal; it is
            kept where the hint says.
        TektonError: There is no editor, or it failed.
    """
    import tempfile

    editor = _find_editor(file)
    draft = Path(tempfile.mkdtemp(prefix="tekton-edit-")) / file.name
    draft.write_bytes(text)
    while True:
        try:
            _run(editor, draft)
            check(draft)
            edited = draft.read_bytes()
        except ConfigError as error:
            if _wants_again(error):
                continue
            error.hint = f"{file} is as it was; what you wrote is in {draft}"
            raise
        except TektonError as error:
            if read_file(draft) in (text, None):
                shutil.rmtree(draft.parent)
            else:
                error.hint = f"what you wrote is in {draft}"
            raise
        shutil.rmtree(draft.parent)
        return edited


def read_file(file: Path) -> bytes | None:
    """Return what a file holds, or `None` where there is none.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error


def write_file(file: Path, text: bytes) -> None:
    """Write a file whole or not at all, 0600; where it is a link, what that leads to.

    Raises:
        StorageError: It cannot be written; it is as it was.
    """
    private_folder(file.parent, may_be_link=True)
    target = Path(os.path.realpath(file))
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, 0o600), "wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error


def _find_editor(file: Path) -> list[str]:
    hint = f"set EDITOR, or use any other way to edit {file}"
    for variable in ("VISUAL", "EDITOR"):
        command = os.environ.get(variable, "").strip()
        if command:
            try:
                return shlex.split(command)
            except ValueError as error:
                raise UsageError(f"${variable} cannot be read: {error}", hint) from error
    if not _is_at_terminal():
        raise UsageError("there is no terminal to edit at, and EDITOR is not set", hint)
    found = next(filter(None, map(shutil.which, _EDITORS)), None)
    if found is None:
        raise TektonError("no editor was found", hint)
    return [found]


def _run(editor: list[str], draft: Path) -> None:
    hint = "VISUAL or EDITOR names the editor to use"
    # Ctrl-C is for the editor, which has its own use for it; unlike SIG_IGN, it does not inherit
    # a handler.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.Popen([*editor, str(draft)]).wait()
    except OSError as error:
        raise TektonError(f"{editor[0]!r} cannot start: {error.strerror}", hint) from error
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise TektonError(f"{editor[0]!r} ended with status {status}; nothing was changed", hint)


def _wants_again(error: ConfigError) -> bool:
    if not _is_at_terminal():
        return False
    complain(ConfigError(error.message))  # without the hint: it is about to be edited
    print("Edit again? [Y/n] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("", "y", "yes") if answer else False


def _is_at_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())
