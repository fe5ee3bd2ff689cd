"""One SQLite file: one thread writes, another reads, and the schema is kept up to date.

Each of the two threads has its own connection. In WAL mode a reader neither waits for the writer
nor makes it wait (https://www.sqlite.org/wal.html), and a single writer never meets a lock of
its own process.

Alembic takes longer to import than all the rest, so it is loaded only when a file has to be
migrated: a new file gets its tables from the metadata and is stamped with the newest revision.

A file that somebody deletes stays writable for whoever has it open, and everything written to it
is lost in the end. So each call looks whether the path still leads to the file that is open; where
it does not, the file is opened anew, and created or migrated as at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, MetaData, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from backends.errors import StorageError

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)

_SCRUB_WAIT_S = 0.5
"""How long the log waits for its readers; SQLite waits twice, and writes wait meanwhile."""

_ZEROED = 1
"""The `user_version` of a file whose free pages hold nothing."""

_one_migration = threading.Lock()
"""Alembic's `op` and `context` are global to the process."""


class Database:
    """A SQLite file with the schema of `metadata`, used from asyncio.

    Args:
        path: The file; its folder must exist. A new file is readable by its owner alone.
        metadata: The tables as revision `head` has them.
        migrations: Alembic's folder: `env.py`, which takes its connection and metadata from
            `config.attributes`, and `versions/`.
        head: The newest revision in `migrations`.
        busy_timeout_s: How long a call waits, queueing included, for a lock that another
            process holds.
        queue_limit: How many writes, and how many reads, may wait at once.
        is_durable: A write returns once it is on the disk, where a power cut leaves it; it waits
            for the disk then.
    """

    def __init__(
        self,
        path: Path,
        metadata: MetaData,
        migrations: str | Path,
        head: str,
        *,
        busy_timeout_s: float = 5.0,
        queue_limit: int = 1000,
        is_durable: bool = False,
    ) -> None:
        self.path = path
        self._metadata = metadata
        self._migrations = Path(migrations).absolute()
        self._head = head
        self._busy_timeout_s = busy_timeout_s
        # A transaction that starts by reading may not write once another process has written
        # meanwhile, whatever the timeout: the writer takes its lock at the start.
        self._writer = _Lane(path, "write", "BEGIN IMMEDIATE", queue_limit, is_durable)
        self._reader = _Lane(path, "read", "BEGIN", queue_limit, is_durable)
        self._is_open = False

    async def open(self) -> None:
        """Open the file, create it or migrate it; a database opens once.

        The file is left as it was, save for a backup beside it, where this fails.

        Raises:
            StorageError: It cannot be opened, is not ours, or a newer program has written it.
        """
        try:
            deadline = time.monotonic() + self._busy_timeout_s
            await self._writer.call(partial(self._open_writer, deadline))
            await self._reader.call(partial(self._open_reader, deadline))
        except BaseException:
            await self.close()
            raise
        self._is_open = True

    async def write(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """Run `work` in one transaction, in the thread that writes, in the order of the calls.

        It is committed when `work` returns and rolled back when it raises. It runs to its end
        even where the caller is cancelled meanwhile; a failure is then logged. Where the file
        was deleted or replaced, `work` gets the one that is there now, or a new one.

        Raises:
            StorageError: SQLite cannot write, the queue is full, or the database is not open.
        """
        deadline = self._deadline(self._writer)
        return await self._writer.call(partial(self._write, work, deadline))

    async def read(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """Run `work` on one snapshot, in the thread that reads; it sees every finished write.

        Raises:
            StorageError: SQLite cannot read, the queue is full, or the database is not open.
        """
        deadline = self._deadline(self._reader)
        read = partial(self._read, work, deadline)
        try:
            return await self._reader.call(read)
        except _FileMoved:
            await self._writer.call(partial(self._keep_up, deadline))
            return await self._reader.call(read)

    async def scrub(self) -> None:
        """Leave nothing in the file or its log of what was deleted.

        Raises:
            StorageError: Another process reads the file, so that the log cannot be emptied yet;
                or SQLite cannot write, the queue is full, or the database is not open.
        """
        deadline = self._deadline(self._writer)
        await self._writer.call(partial(self._scrub, deadline))

    def drop_backups(self) -> None:
        """Delete the copies that migrations left, as part of `work` that deletes text for good.

        Raises:
            StorageError: One cannot be deleted.
        """
        for backup in list(self.path.parent.iterdir()):
            name = backup.name.removesuffix(".new")
            if not (name.startswith(f"{self.path.name}.") and name.endswith(".backup")):
                continue
            try:
                backup.unlink(missing_ok=True)
            except OSError as error:
                message = f"cannot delete {backup}, made by a migration: {error.strerror}"
                raise StorageError(message, _hint(_RIGHTS, backup)) from error
            log.info("deleted %s: it held what is deleted for good", backup)

    async def close(self) -> None:
        """Finish what is queued and close the file; a second call does nothing."""
        self._is_open = False
        await self._reader.close()
        await self._writer.close()  # last, so that it folds the log into the file
        self._reader.end()
        self._writer.end()

    def _deadline(self, lane: _Lane) -> float:
        """Return when a call that begins now gives up waiting, on the monotonic clock."""
        if not self._is_open:
            raise StorageError(
                f"cannot {lane.purpose} {self.path}: it is not open",
                "`tekton status` shows whether the hub is up or on its way down",
            )
        return time.monotonic() + self._busy_timeout_s

    def _write(self, work: Callable[[Connection], ResultT], deadline: float) -> ResultT:
        self._keep_up(deadline)
        return self._writer.transact(work, deadline)

    def _read(self, work: Callable[[Connection], ResultT], deadline: float) -> ResultT:
        file = _identity(self.path)
        if file is None or file != self._writer.file:
            raise _FileMoved(f"cannot read {self.path}: it was deleted or replaced", "try again")
        if file != self._reader.file:
            self._open_reader(deadline)
        return self._reader.transact(work, deadline)

    def _scrub(self, deadline: float) -> None:
        self._keep_up(deadline)
        with _storage_errors(self.path, "clean up"):
            self._writer.zero_out(time.monotonic() + _SCRUB_WAIT_S)
        if why := self._writer.fold_log():
            raise StorageError(
                f"what was deleted may still be read in {self.path}-wal: {why}",
                _hint("`lsof {path}` shows which; once it has ended, `tekton restart`", self.path),
            )

    def _keep_up(self, deadline: float) -> None:
        """Open the file anew where its path leads elsewhere; in the thread that writes.

        The old file has to be let go of by both threads before the new one is opened: its shared
        memory may still lie at the path, and whoever opens that first shortens it.
        """
        if self._writer.file is not None:
            if self._writer.file == _identity(self.path):
                return
            log.warning("%s was deleted or replaced while in use; it is opened anew", self.path)
        self._reader.submit(self._reader.disconnect).result()
        if why := self._writer.fold_log():
            log.warning("the log of the old %s could not be emptied: %s", self.path, why)
        self._writer.disconnect()
        self._open_writer(deadline)

    def _open_reader(self, deadline: float) -> None:
        file = _identity(self.path)
        self._reader.connect(deadline).execute("PRAGMA query_only=ON")
        self._reader.file = file

    def _open_writer(self, deadline: float) -> None:
        _create_private(self.path)
        file = _identity(self.path)  # before it is opened: what moves meanwhile is noticed later
        raw = self._writer.connect(deadline)
        with _storage_errors(self.path, "open"):
            found = self._revision(raw)
            if found not in (None, self._head):
                self._check_known(str(found))
            _use_wal(raw, deadline)
            if found != self._head:
                self._bring_up(raw)
        self._writer.file = file

    def _bring_up(self, raw: sqlite3.Connection) -> None:
        # Rebuilding a table drops the old one, which would delete what refers to its rows. The
        # pragma does nothing inside a transaction (https://www.sqlite.org/foreignkeys.html).
        raw.execute("PRAGMA foreign_keys=OFF")
        self._writer.transact(partial(self._create_or_migrate, raw), None)
        raw.execute("PRAGMA foreign_keys=ON")

    def _create_or_migrate(self, raw: sqlite3.Connection, connection: Connection) -> None:
        found = self._revision(raw)  # again: another process may have been faster
        if found is None:
            self._metadata.create_all(connection)
            connection.exec_driver_sql(_VERSION_TABLE)
            connection.exec_driver_sql(f"PRAGMA user_version={_ZEROED}")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (self._head,))
        elif found != self._head:
            self._check_known(found)
            backup = _back_up(self.path, found)
            log.info("migrating %s from %s to %s", self.path, found, self._head)
            self._migrate(connection)
            if lost := raw.execute("PRAGMA foreign_key_check").fetchall():
                raise StorageError(
                    f"cannot migrate {self.path} to {self._head}: {len(lost)} rows would refer "
                    f"to rows that are not there, the first in table {lost[0][0]!r}",
                    f"the file is as it was, and so is its copy {backup}; please report this",
                )

    def _revision(self, raw: sqlite3.Connection) -> str | None:
        """Return the revision of the file's schema, `None` for an empty file."""
        names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
        if not names:
            return None
        if "alembic_version" not in names:
            raise StorageError(
                f"{self.path} is a database of another program",
                _hint(_MOVE, self.path),
            )
        row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else ""

    def _check_known(self, revision: str) -> None:
        from alembic.script import ScriptDirectory

        scripts = ScriptDirectory.from_config(self._alembic_config())
        if revision not in {script.revision for script in scripts.walk_revisions()}:
            raise StorageError(
                f"{self.path} was written by a newer version: its schema is {revision!r}, "
                f"and this version knows no schema after {self._head!r}",
                "upgrade, for instance with `pipx upgrade tekton-ci`",
            )

    def _migrate(self, connection: Connection) -> None:
        from alembic import command

        config = self._alembic_config()
        config.attributes.update(connection=connection, metadata=self._metadata)
        with _one_migration:
            command.upgrade(config, self._head)

    def _alembic_config(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self._migrations).replace("%", "%%"))
        return config


class _Lane:
    """One connection, and the one thread that uses it."""

    def __init__(self, path: Path, purpose: str, begin: str, limit: int, is_durable: bool) -> None:
        self.purpose = purpose
        self.file: _File | None = None
        """The file that is open and ready; `None` where there is none."""
        self._path = path
        self._begin = begin
        self._limit = limit
        self._synchronous = "FULL" if is_durable else "NORMAL"
        self._waiting = 0
        self._is_closed = False
        # Its thread is no daemon: what is queued gets written even where nobody calls close.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{path.name} {purpose}")
        self._at_end = contextlib.ExitStack()
        self._connection: Connection

    async def call(self, work: Callable[[], ResultT]) -> ResultT:
        """Run `work` in the thread, after all that came before; a cancelled call still runs."""
        if self._waiting >= self._limit:
            raise StorageError(
                f"cannot {self.purpose} {self._path}: {self._waiting} calls wait for it already",
                _hint("a slow disk or a lock holds them up; `lsof {path}` shows who", self._path),
            )
        self._waiting += 1
        job = asyncio.get_running_loop().run_in_executor(self._thread, work)
        job.add_done_callback(self._count_out)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(self._report_unheard)
            raise

    def _count_out(self, _job: asyncio.Future[Any]) -> None:
        self._waiting -= 1

    def _report_unheard(self, job: asyncio.Future[Any]) -> None:
        if not job.cancelled() and (error := job.exception()):
            log.warning("a cancelled call to %s failed: %s", self._path, error)

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Run `work` in the thread, from another one and whatever the limit."""
        return self._thread.submit(work)

    def connect(self, deadline: float) -> sqlite3.Connection:
        """Open the connection, in the thread."""
        timeout_s = max(0.0, deadline - time.monotonic())
        # `mode=rw`: SQLite would create a missing file readable by everybody.
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with _storage_errors(self._path, "open"):
            raw = sqlite3.connect(uri, timeout=timeout_s, isolation_level=None, uri=True)
            self._at_end.callback(raw.close)
            raw.execute("PRAGMA foreign_keys=ON")
            # What is deleted or replaced is overwritten with zeros at once.
            raw.execute("PRAGMA secure_delete=ON")
            # With WAL and NORMAL a commit waits for no disk. A killed process loses nothing, as
            # the system holds what was written; a power cut may undo the last commits but cannot
            # damage the file (https://www.sqlite.org/pragma.html#pragma_synchronous).
            raw.execute(f"PRAGMA synchronous={self._synchronous}")
            engine = create_engine(
                "sqlite+pysqlite://",
                creator=lambda: raw,
                poolclass=NullPool,
                hide_parameters=True,  # or the text of prompts would stand in errors and logs
            )
            self._connection = self._at_end.enter_context(engine.connect())
        return raw

    def transact(self, work: Callable[[Connection], ResultT], deadline: float | None) -> ResultT:
        """Run `work` in one transaction, in the thread.

        Args:
            work: Gets the connection, which it neither commits nor closes.
            deadline: On the monotonic clock, when to give up waiting for a lock: without it,
                writes queued behind a lock would each wait the whole timeout, one after another.
        """
        with _storage_errors(self._path, self.purpose), self._connection.begin():
            if deadline is not None:
                self._wait_until(deadline)
            self._connection.exec_driver_sql(self._begin)
            return work(self._connection)

    def _wait_until(self, deadline: float) -> None:
        left_ms = max(0, round((deadline - time.monotonic()) * 1000))
        self._connection.exec_driver_sql(f"PRAGMA busy_timeout={left_ms}")

    def zero_out(self, deadline: float) -> None:
        """Overwrite what was deleted when nobody overwrote it at once, in the thread.

        Older versions left that to how SQLite was built. The file is written anew only once: its
        `user_version` tells.
        """
        with self._connection.begin():  # of SQLAlchemy alone: SQLite is in none
            self._wait_until(deadline)
            version = self._connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version < _ZEROED:
                self._connection.exec_driver_sql("VACUUM")
                self._connection.exec_driver_sql(f"PRAGMA user_version={_ZEROED}")

    def fold_log(self) -> str | None:
        """Write the log into the file and empty it, in the thread; return why that failed.

        So a file that was moved away has all its rows, and SQLite cannot take a log that was
        left at the path for that of the file which is there now.
        """
        if self.file is None:
            return None
        try:
            with self._connection.begin():  # of SQLAlchemy alone: SQLite is in none
                folded = self._connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        except DBAPIError as error:
            return str(error.orig)
        return "another process reads it" if folded[0] else None

    def disconnect(self) -> None:
        """Close the connection, in the thread; a second call does nothing."""
        self.file = None
        self._at_end.close()

    async def close(self) -> None:
        """Run what is queued and close the connection."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._thread, self.disconnect))

    def end(self) -> None:
        """End the thread, which is closed by now; a second call does nothing."""
        self._thread.shutdown(wait=False)


class _FileMoved(StorageError):
    """The path no longer leads to the file that is open."""


_File = tuple[int, int]
"""Device and inode: no other file has both for as long as somebody has this one open."""


def _identity(path: Path) -> _File | None:
    try:
        found = os.stat(path)
    except OSError:  # opening it tells why
        return None
    return found.st_dev, found.st_ino


def _create_private(path: Path) -> None:
    # Never opened where it exists: closing it would drop every lock that this process has on it
    # (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(
            f"cannot create {path}: {error.strerror}",
            _hint(f"`mkdir -p -m 700 {{folder}}` creates a missing folder; {_RIGHTS}", path),
        ) from error


def _use_wal(raw: sqlite3.Connection, deadline: float) -> None:
    # SQLite does not always wait here: two processes that switch a new file would wait for each
    # other. Where a file system cannot do WAL, nothing changes and reads wait for writes.
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _back_up(path: Path, revision: str) -> Path:
    """Copy the file as last committed to a file beside it, named by its revision."""
    target = path.with_name(f"{path.name}.{revision}.backup")
    unfinished = path.with_name(f"{target.name}.new")
    unfinished.unlink(missing_ok=True)
    _create_private(unfinished)
    try:
        # A connection of its own: SQLite does not copy from one that is inside a transaction.
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(unfinished)) as copy,
        ):
            source.backup(copy)
        os.replace(unfinished, target)
    except OSError as error:
        message = f"cannot keep a copy of {path} as {target}: {error.strerror}"
        raise StorageError(message, _hint(_RIGHTS, target)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _code(error: BaseException | None) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_ROOM = "`df -h {folder}` shows how much room is left"
_RIGHTS = "`ls -ld {folder} {path}` shows what is there and who may use it"
_MOVE = "move it away: `mv {path} {path}.bad`"
_CAUSES = {
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", "`lsof {path}` shows which one"),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", _RIGHTS),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "`sqlite3 {path} .recover > saved.sql` saves what can be read; then " + _MOVE,
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", _ROOM),
    sqlite3.SQLITE_IOERR: ("the file system failed", _ROOM),
    sqlite3.SQLITE_NOTADB: ("it is not a SQLite database", _MOVE),
    sqlite3.SQLITE_READONLY: ("it is read-only", _RIGHTS),
}
"""What a user can meet, by SQLite's primary result code (https://www.sqlite.org/rescode.html)."""


_NO_MODULE = (
    "the SQLite of this Python was built without a part that is needed",
    "install with another Python whose SQLite has it: `pipx reinstall --python PYTHON tekton-ci`",
)


@contextlib.contextmanager
def _storage_errors(path: Path, purpose: str) -> Iterator[None]:
    """Turn what a user can meet into a `StorageError`; the rest are bugs and stay what they are."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        cause = _NO_MODULE if "no such module" in str(origin) else _CAUSES.get(_code(origin))
        if cause is None:
            raise
        reason, hint = cause
        message = f"cannot {purpose} {path}: {reason} ({origin})"
        raise StorageError(message, _hint(hint, path)) from error


def _hint(hint: str, path: Path) -> str:
    return hint.format(path=shlex.quote(str(path)), folder=shlex.quote(str(path.parent)))
