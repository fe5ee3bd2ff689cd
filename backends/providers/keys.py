"""Where a provider's key is found, and how one is kept."""

from __future__ import annotations

import importlib
import logging
import os
import re
import secrets
import shlex
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from backends.cleaning import clean_line
from backends.errors import ConfigError, StorageError
from backends.paths import private_folder
from backends.providers.base import Settings

COMMAND_S = 10.0
MAX_KEY = 4096
KEYRING_SERVICE = "tekton"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")

log = logging.getLogger(__name__)


class Key(NamedTuple):
    """A key, and where it was found; it is not shown when it is printed."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"Key(source={self.source!r})"


def find_key(
    provider: str, settings: Settings, folder: Path, environment: Mapping[str, str]
) -> Key | None:
    """Find a provider's key: environment, key command, keyring, then file.

    Args:
        provider: The provider's name; its file has the same.
        settings: `key_env` names another variable than `NAME_API_KEY`; `key_command` is a
            command, as a list or in one text, that prints the key. No shell reads it.
        folder: The folder of keys.
        environment: The variables.

    Raises:
        ConfigError: There is a key that must not or cannot be used.
    """
    variable = settings.get("key_env") or f"{re.sub('[^A-Z0-9]', '_', provider.upper())}_API_KEY"
    if found := environment.get(str(variable), "").strip():
        return Key(_checked(found, str(variable)), f"the environment variable {variable}")
    if command := settings.get("key_command"):
        return Key(_run(command, provider), "the key command")
    if kept := _ask_keyring(provider):
        return Key(_checked(kept, "the keyring's entry"), "the keyring")
    path = folder / provider
    kept = _read(path, provider) if _NAME.fullmatch(provider) else None
    return Key(kept, str(path)) if kept else None


def save_key(path: Path, key: str) -> None:
    """Keep a key in a file that nobody else can read, not even for a moment.

    One line feed at the key's end is dropped. The folder is created where it is missing.

    Raises:
        ConfigError: It is no key: empty, of several lines, or with characters no key has.
        StorageError: It could not be written.
    """
    if not _NAME.fullmatch(path.name):
        raise ConfigError(f"{path.name!r} is not a provider's name", "`tekton doctor` lists them")
    key = _checked(key.removesuffix("\n").removesuffix("\r"), "what was given")
    private_folder(path.parent, may_be_link=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(temporary, flags, 0o600), "w") as file:
                file.write(f"{key}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _checked(key: str, what: str) -> str:
    """Return the key if it can be one; what is wrong is told without showing it."""
    wrong = None
    if not key:
        wrong = "is empty"
    elif "\n" in key or "\r" in key:
        wrong = "has more than one line"
    elif len(key) > MAX_KEY:
        wrong = f"is longer than {MAX_KEY} characters"
    elif not key.isascii() or not key.isprintable() or " " in key:
        wrong = "holds a space, a control character or one that is not ASCII"
    if wrong:
        raise ConfigError(f"{what} is no key: it {wrong}", "a key is one line of plain characters")
    return key


def _run(command: object, provider: str) -> str:
    """Run a key command and return what it printed."""
    where = f"key_command of [providers.{provider}]"
    hint = "run it by hand; `tekton config edit` opens the settings"
    try:
        argv = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise ConfigError(f"{where} cannot be read: {error}", hint) from error
    if not isinstance(argv, list) or not argv or not all(isinstance(one, str) for one in argv):
        raise ConfigError(f"{where} is neither a text nor a list of texts", hint)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its children can be ended with it
        )
    except OSError as error:
        raise ConfigError(f"{where} cannot start: {argv[0]}: {error.strerror}", hint) from error
    try:
        output, complaint = process.communicate(timeout=COMMAND_S)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise ConfigError(f"{where} took longer than {COMMAND_S:g} s", hint) from error
    if process.returncode:
        said = clean_line(complaint.decode(errors="replace"))[:300]
        reason = f": {said}" if said else ""
        raise ConfigError(f"{where} failed with status {process.returncode}{reason}", hint)
    return _checked(output.decode(errors="replace").strip(), f"the output of {where}")


def _ask_keyring(provider: str) -> str | None:
    """Ask the desktop's keyring, where the package for it is installed.

    A keyring that is locked or broken must not stand in the way of a key in a file, or of a
    server that needs none: it is reported in the log.
    """
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    try:
        found = keyring.get_password(KEYRING_SERVICE, provider)
    except Exception as error:  # noqa: BLE001  # each of its back ends raises what it likes
        # One that merely has no back end is as good as none: so it is on every server.
        level = logging.DEBUG if type(error).__name__ == "NoKeyringError" else logging.WARNING
        log.log(level, "the keyring gave no key for %s: %s", provider, clean_line(str(error))[:300])
        return None
    return found if isinstance(found, str) and found else None


def _read(path: Path, provider: str) -> str | None:
    """Read a key's file; `None` where there is none."""
    try:
        # Not blocking: a pipe in its place would make this wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a link" if path.is_symlink() else error.strerror
        raise ConfigError(f"the key in {path} is not used: {reason}", _again(provider)) from error
    try:
        _refuse_unsafe(path, os.fstat(handle), provider)
        text = os.read(handle, MAX_KEY + 2).decode(errors="replace")
    finally:
        os.close(handle)
    return _checked(text.removesuffix("\n"), str(path))


def _refuse_unsafe(path: Path, found: os.stat_result, provider: str) -> None:
    """Refuse what is not a plain file of this user alone."""
    reason, hint = None, _again(provider)
    if not stat.S_ISREG(found.st_mode):
        reason = "it is not a file"
    elif found.st_uid != os.getuid():
        reason = "it belongs to somebody else"
    elif found.st_mode & 0o077:
        reason = f"others may read it (mode {stat.S_IMODE(found.st_mode):04o})"
        hint = f"`chmod 600 {shlex.quote(str(path))}`"
    if reason:
        raise ConfigError(f"the key in {path} is not used: {reason}", hint)


def _again(provider: str) -> str:
    return f"remove it, then `tekton key set {provider}`"
