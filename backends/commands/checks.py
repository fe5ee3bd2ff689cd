"""What `tekton doctor` can see in files alone: program, settings, folders, store, TCP."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from backends.config import PORTS, SERVICES, Config, load_config
from backends.console import ago
from backends.errors import ConfigError, TektonError, UsageError
from backends.paths import Paths
from backends.protocol.messages import Health, ServiceInfo
from backends.runtime import MAX_NAME, MAX_SOCKET_PATH
from backends.version import VERSION

RESTART = "`tekton restart`"

_LITTLE_DISK = 500_000_000
_TOO_LITTLE_DISK = 50_000_000
_BUSY_S = 0.3


class State(Enum):
    """How something is: a warning can wait, a problem keeps Tekton from its work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One line of the check-up; `fix` is what to do about it, with a command."""

    name: str
    state: State
    message: str
    fix: str | None = None


def check_program() -> Check:
    """Tell which program this is."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("program", State.OK, f"Tekton {VERSION} on Python {version}, {sys.executable}")


def check_settings(paths: Paths, environment: Mapping[str, str]) -> tuple[Config, Check]:
    """Read the settings; where they are not valid, the defaults go on in their place."""
    try:
        config = load_config(paths.config_file, environment)
    except ConfigError as error:
        return Config(), Check("config", State.PROBLEM, error.message, error.hint)
    is_there = paths.config_file.exists()
    message = f"{paths.config_file} is valid" if is_there else "no file, so all is as by default"
    return config, Check("config", State.OK, message)


def check_personas(paths: Paths) -> Iterator[Check]:
    """Read every file of a CI."""
    from backends.commands.persona_file import PersonaFile

    files = sorted(paths.personas.glob("*.toml"))
    for file in files:
        try:
            PersonaFile(file.stem, paths).persona()
        except UsageError as error:
            fix = f"`rm {shlex.quote(str(file))}`, or give it another name"
            yield Check("ci", State.PROBLEM, f"{file}: {error.message}", fix)
        except ConfigError as error:
            yield Check("ci", State.PROBLEM, error.message, error.hint)


def check_folders(paths: Paths) -> Iterator[Check]:
    """Look whether each folder is this user's, private and writable."""
    longest = len(os.fsencode(paths.socket("x" * MAX_NAME, is_ci=True)))
    sockets = f"sockets, whose paths take {longest} of {MAX_SOCKET_PATH} bytes at most"
    yield _check_folder(paths.config, 0o022, State.WARNING, "settings, keys")
    yield _check_folder(paths.state, 0o077, State.WARNING, "database, logs")
    # No client uses a socket in a folder that is open to others.
    yield _check_folder(paths.runtime, 0o077, State.PROBLEM, sockets)


def _check_folder(folder: Path, forbidden: int, if_open: State, use: str) -> Check:
    name = "folders"
    try:
        found = folder.lstat()
    except FileNotFoundError:
        parent = _existing(folder)
        if os.access(parent, os.W_OK | os.X_OK):
            return Check(name, State.OK, f"{folder} is made when needed: {use}")
        fix = "set TEKTON_HOME to a folder of your own"
        return Check(name, State.PROBLEM, f"{folder} cannot be made: {parent} is not writable", fix)
    except OSError as error:
        fix = "set TEKTON_HOME to a folder of your own"
        return Check(name, State.PROBLEM, f"{folder}: {error.strerror}", fix)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        fix = "look who made it, and remove it; or set TEKTON_HOME to a folder of your own"
        return Check(name, State.PROBLEM, f"{folder} is not a folder of this user", fix)
    fix = f"`chmod 700 {shlex.quote(str(folder))}`"
    if found.st_mode & forbidden:
        message = f"{folder} is open to others (mode {found.st_mode & 0o777:04o})"
        return Check(name, if_open, message, fix)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(name, State.PROBLEM, f"{folder} is not writable", fix)
    return Check(name, State.OK, f"{folder}: {use}")


def check_secrets(paths: Paths) -> Iterator[Check]:
    """Look whether keys and tokens can be read by this user alone."""
    for file in [*sorted(paths.keys.glob("*")), *filter(Path.exists, [paths.tokens])]:
        mode = file.lstat().st_mode & 0o777
        if mode & 0o077:
            message = f"others may read {file} (mode {mode:04o})"
            yield Check("secrets", State.WARNING, message, f"`chmod 600 {shlex.quote(str(file))}`")


def check_hub(paths: Paths) -> Check:
    """Tell whether a hub runs, by its lock."""
    from backends.hub_record import is_locked, read_hub_record

    record = read_hub_record(paths)
    if is_locked(paths):
        since = record.get("started_at")
        up = f", up {ago(time.time() - since)}" if isinstance(since, float) else ""
        message = f"running, pid {record.get('pid', 'unknown')}{up}"
        if isinstance(since, float) and _changed_at(paths.config_file) > since:
            message += f"; {paths.config_file} was changed after it had started"
            return Check("hub", State.WARNING, message, RESTART)
        return Check("hub", State.OK, message)
    if "pid" in record and "ended_at" not in record:
        message = f"not running: the last one (pid {record['pid']}) died without saying goodbye"
        return Check("hub", State.WARNING, message, "`tekton logs` tells more; `tekton up`")
    return Check("hub", State.WARNING, "not running", "`tekton up`")


def check_store(paths: Paths, config: Config) -> Iterator[Check]:
    """Look whether the database of turns takes a write, and how much room is left."""
    if not config.engram.enabled:
        yield Check("database", State.OK, "turns are not stored: [engram] enabled is false")
    elif not paths.turns.exists():
        yield Check("database", State.OK, f"{paths.turns} is not there yet; `tekton up` makes it")
    else:
        yield _check_database(paths.turns)
    free = shutil.disk_usage(_existing(paths.state)).free
    state = State.OK if free >= _LITTLE_DISK else State.WARNING
    state = State.PROBLEM if free < _TOO_LITTLE_DISK else state
    fix = None if state is State.OK else f"make room on the disk of {paths.state}"
    yield Check("disk", state, f"{free / 1e9:.1f} GB free", fix)


def _check_database(file: Path) -> Check:
    import sqlite3
    from contextlib import closing
    from urllib.parse import quote

    place = f"file:{quote(str(file))}?mode=rw"
    try:
        connection = sqlite3.connect(place, timeout=_BUSY_S, isolation_level=None, uri=True)
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            message = f"{file} is locked by another process"
            fix = "try again; `tekton status` shows what runs"
            return Check("database", State.WARNING, message, fix)
        fix = f"`mv {shlex.quote(str(file))} {shlex.quote(f'{file}.broken')}` lets a new one begin"
        return Check("database", State.PROBLEM, f"{file} cannot be written: {error}", fix)
    size = file.stat().st_size
    return Check("database", State.OK, f"{file} can be written, {size / 1e6:.1f} MB")


def check_tcp(paths: Paths, config: Config) -> Iterator[Check]:
    """Tell who could come in from off the Unix sockets, by the settings and by what runs."""
    from backends.tokens import TokenStore

    running = _running(paths)
    difference = _difference(config, running)
    if difference:
        yield Check("tcp", State.WARNING, difference, RESTART)
    if not config.tcp.enabled:
        if not difference:
            yield Check("tcp", State.OK, "off; only this user's own processes come in")
        return
    host = config.tcp.host
    if config.tcp.legacy:
        message = "legacy of [tcp] is true: whoever reaches the ports prompts CIs without a token"
        fix = "`tekton config set tcp.legacy false && tekton restart`"
        yield Check("tcp", State.WARNING, message, fix)
    try:
        count = len(TokenStore(paths.tokens).list())
    except TektonError as error:
        fix = f"`rm {shlex.quote(str(paths.tokens))}` revokes every token"
        yield Check("tcp", State.PROBLEM, f"{paths.tokens}: {error.message}", fix)
        return
    if count:
        message = f"on, at {host}; {count} token{'s' if count > 1 else ''}"
        if running and not difference:
            message += f"; the hub listens at {_some_urls(running)}"
        yield Check("tcp", State.OK, message)
    else:
        message = f"on, at {host}, but there is no token, so nobody comes in"
        yield Check("tcp", State.WARNING, message, "`tekton token create NAME`")


def _running(paths: Paths) -> list[ServiceInfo]:
    """Return the records of what is alive: they tell where each really listens."""
    from backends.registry import Registry

    records = Registry(paths.registry).live_records()
    return [record for record in records if record.health is Health.ALIVE]


def _difference(config: Config, running: Sequence[ServiceInfo]) -> str | None:
    """Tell how what listens differs from what the settings say."""
    from backends.transport.address import parse_address

    if not running:
        return None
    if not config.tcp.enabled:
        urls = _some_urls(running)
        return f"the settings say off, but the running hub listens at {urls}" if urls else None
    if not _some_urls(running):
        return "the settings say on, but the running hub does not listen"
    for record in running:
        is_shadowed = record.is_ci and not record.is_service and record.name in SERVICES
        name = f"{record.name}-ci" if is_shadowed else record.name
        port = config.tcp.ports.get(name, PORTS.get(name))
        for address in map(parse_address, record.urls):
            if address.host != config.tcp.host or (port and address.port != port):
                wanted = f"at port {port}" if port else "at any port"
                return f"{name} listens at {address}, not {wanted} of {config.tcp.host}"
    return None


def _some_urls(running: Sequence[ServiceInfo]) -> str:
    """Name one address and count the others: each service and CI has one."""
    urls = [url for record in running for url in record.urls]
    return f"{urls[0]} and {len(urls) - 1} more" if len(urls) > 1 else "".join(urls)


def _changed_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _existing(path: Path) -> Path:
    """Return the nearest folder above that is there, or the path itself."""
    return next(folder for folder in [path, *path.parents] if folder.exists())
