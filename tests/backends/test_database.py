"""The database against real files, threads, locks and processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.exc import IntegrityError, OperationalError

from backends.database import Database
from backends.errors import StorageError
from tests.backends.notes import (
    OPEN_AND_ADD,
    add,
    ask,
    failure,
    fill,
    insert,
    look,
    new_database,
    notes,
    old_database,
    output,
    processes,
    start_together,
    stored,
    use,
    write_migrations,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


def wait_for(event: threading.Event, _connection: Connection) -> None:
    """Hold the thread of a database."""
    assert event.wait(30)


# -- the file --------------------------------------------------------------------------------


def test_a_new_file_is_private_and_alone_after_closing(path: Path) -> None:
    before = os.umask(0)
    try:
        fill(path, "hello")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_log_beside_an_open_file_is_private_too(path: Path) -> None:
    async def work(database: Database) -> None:
        await add(database, "hello")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert modes == {"notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}

    use(old_database(path), work)


@pytest.mark.parametrize("name", ["two words", "50%", "what?", "a#b", "it's", "ünï😀", "a:b"])
def test_any_name_of_a_folder_will_do(path: Path, name: str) -> None:
    folder = path.parent / name
    write_migrations(folder / "migrations")
    fill(folder / path.name, "hello")
    assert use(new_database(folder / path.name), look) == ["hello"]
    assert list(path.parent.iterdir()) == [folder]


def test_nothing_is_made_where_a_link_leads_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "gone.db")
    assert "cannot be opened" in failure(old_database(path)).message
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_file_opens_with_what_it_holds(path: Path) -> None:
    fill(path, "hello")
    fill(path, "again")
    assert stored(path) == ["hello", "again"]


def test_both_connections_are_set_up(path: Path) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("journal_mode", "foreign_keys", "synchronous")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    async def work(database: Database) -> None:
        normal = 1
        assert await database.write(pragmas) == ["wal", 1, normal]
        assert await database.read(pragmas) == ["wal", 1, normal]

    use(old_database(path), work)


def test_a_durable_database_waits_for_the_disk(path: Path) -> None:
    def synchronous(connection: Connection) -> Any:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar()

    async def work(database: Database) -> None:
        full = 2
        assert await database.write(synchronous) == full
        path.rename(path.with_name("moved.db"))
        assert await database.write(synchronous) == full, "the file was opened anew"

    use(old_database(path, is_durable=True), work)


def test_the_threads_end_with_the_database(path: Path) -> None:
    before = threading.active_count()
    fill(path, "hello")
    failure(old_database(path.parent / "missing" / "notes.db"))
    deadline = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.001)


# -- transactions ----------------------------------------------------------------------------


def test_a_write_that_raises_leaves_nothing_and_its_error_unchanged(path: Path) -> None:
    def fail(connection: Connection) -> None:
        insert(connection, "half")
        raise ZeroDivisionError

    async def work(database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            await database.write(fail)
        await add(database, "whole")
        assert await look(database) == ["whole"]

    use(old_database(path), work)


def test_a_wrong_statement_stays_a_bug(path: Path) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(OperationalError, match="no such table"):
            await database.read(lambda it: it.exec_driver_sql("SELECT * FROM nowhere"))

    use(old_database(path), work)


def test_an_error_does_not_tell_what_was_to_be_stored(path: Path) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(notes.insert().values(heading="missing", text="a secret"))

    async def work(database: Database) -> None:
        with pytest.raises(IntegrityError) as raised:
            await database.write(fail)
        assert "secret" not in str(raised.value)

    use(old_database(path), work)


def test_each_kind_of_work_has_a_thread_of_its_own(path: Path) -> None:
    def thread(_connection: Connection) -> int:
        return threading.get_ident()

    async def work(database: Database) -> None:
        writers = await asyncio.gather(*(database.write(thread) for _ in range(20)))
        readers = await asyncio.gather(*(database.read(thread) for _ in range(20)))
        assert len({*writers}) == len({*readers}) == 1
        assert len({threading.get_ident(), *writers, *readers}) == 3

    use(old_database(path), work)


def test_a_read_neither_waits_for_a_write_nor_sees_it_unfinished(path: Path) -> None:
    has_written, may_end = threading.Event(), threading.Event()

    def write(connection: Connection) -> None:
        insert(connection, "slow")
        has_written.set()
        wait_for(may_end, connection)

    async def work(database: Database) -> None:
        writing = asyncio.create_task(database.write(write))
        assert await asyncio.to_thread(has_written.wait, 30)
        assert await look(database) == []
        may_end.set()
        await writing
        assert await look(database) == ["slow"]

    use(old_database(path), work)


def test_a_cancelled_write_is_carried_out(path: Path) -> None:
    may_end = threading.Event()

    async def work(database: Database) -> None:
        first = asyncio.create_task(database.write(partial(wait_for, may_end)))
        second = asyncio.create_task(add(database, "kept"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        may_end.set()
        await first

    use(old_database(path), work)
    assert stored(path) == ["kept"]


def test_the_failure_of_a_cancelled_write_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = threading.Event()

    def fail(connection: Connection) -> None:
        wait_for(may_end, connection)
        raise ZeroDivisionError("nobody hears this")

    async def work(database: Database) -> None:
        writing = asyncio.create_task(database.write(fail))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        may_end.set()

    with caplog.at_level(logging.WARNING):
        use(old_database(path), work)
    assert "nobody hears this" in caplog.text


def test_more_writes_than_the_queue_holds_are_refused(path: Path) -> None:
    may_end = threading.Event()

    async def work(database: Database) -> None:
        first = asyncio.create_task(database.write(partial(wait_for, may_end)))
        second = asyncio.create_task(add(database, "second"))
        await asyncio.sleep(0)
        with pytest.raises(StorageError, match="2 calls wait"):
            await add(database, "third")
        may_end.set()
        await asyncio.gather(first, second)
        await add(database, "fourth")

    use(old_database(path, queue_limit=2), work)
    assert stored(path) == ["second", "fourth"]


def test_closing_writes_what_is_queued_and_refuses_more(path: Path) -> None:
    async def work() -> None:
        database = old_database(path)
        await database.open()
        writing = [asyncio.create_task(add(database, str(n))) for n in range(50)]
        await asyncio.sleep(0)
        await database.close()
        await asyncio.gather(*writing)
        with pytest.raises(StorageError, match="not open"):
            await add(database, "late")
        await database.close()

    asyncio.run(work())
    assert stored(path) == [str(n) for n in range(50)]


def test_a_database_that_was_never_opened_can_be_closed(path: Path) -> None:
    asyncio.run(old_database(path).close())
    assert not path.exists()


# -- faults ----------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's write lock, as another process would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_a_lock_of_another_process_is_named_and_reads_go_on(path: Path) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        with locked(path):
            with pytest.raises(StorageError, match="locked") as raised:
                await add(database, "meanwhile")
            assert str(path) in raised.value.message
            assert f"lsof {path}" in str(raised.value.hint)
            assert await look(database) == ["before"]
        await add(database, "after")
        assert await look(database) == ["before", "after"]

    use(old_database(path, busy_timeout_s=0.05), work)


def test_a_write_waits_for_a_lock_that_is_given_back(path: Path) -> None:
    async def work(database: Database) -> None:
        with locked(path):
            writing = asyncio.create_task(add(database, "patient"))
            while not writing.done() and await look(database) != []:
                await asyncio.sleep(0)
            assert not writing.done()
        await writing
        assert await look(database) == ["patient"]

    use(old_database(path, busy_timeout_s=30), work)


def test_writes_behind_a_lock_wait_together_not_in_turn(path: Path) -> None:
    async def work(database: Database) -> None:
        with locked(path):
            start = time.monotonic()
            writing = [add(database, str(n)) for n in range(30)]
            results = await asyncio.gather(*writing, return_exceptions=True)
            assert time.monotonic() - start < 30 * 0.2 / 2
        assert {type(result) for result in results} == {StorageError}

    use(old_database(path, busy_timeout_s=0.2), work)


def test_a_file_that_is_locked_from_the_start_is_named(path: Path) -> None:
    path.touch()
    with locked(path):
        error = failure(old_database(path, busy_timeout_s=0.05))
    assert "locked" in error.message
    assert path.read_bytes() == b""


@contextlib.contextmanager
def read_without_wal(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a file, made without WAL, in a transaction that keeps others from switching it."""
    fill(path, "hello")
    connect = partial(sqlite3.connect, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connect(path)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN")
        other.execute("SELECT * FROM notes").fetchall()
        yield other


def test_a_reader_that_keeps_wal_from_being_switched_on_is_named(path: Path) -> None:
    with read_without_wal(path):
        assert "locked" in failure(old_database(path, busy_timeout_s=0.05)).message


def test_a_reader_that_keeps_wal_from_being_switched_on_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with read_without_wal(path) as other:

        def end_reading(_seconds: float) -> None:
            other.execute("COMMIT")

        clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=end_reading)
        monkeypatch.setattr("backends.database.time", clock)
        use(old_database(path, busy_timeout_s=0.05), partial(add, text="again"))
        assert not other.in_transaction
    assert stored(path) == ["hello", "again"]


def test_a_full_disk_is_named_and_leaves_what_was_stored(path: Path) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def work(database: Database) -> None:
        await add(database, "before")
        await database.write(partial(limit, pages=20))
        with pytest.raises(StorageError, match="disk is full") as raised:
            await add(database, "x" * 200_000)
        assert f"df -h {path.parent}" in str(raised.value.hint)
        await database.write(partial(limit, pages=1000))
        await add(database, "after")
        assert await look(database) == ["before", "after"]

    use(old_database(path), work)


WRITE_UNTIL_THE_FILE_MAY_NOT_GROW = """
import asyncio, resource, sys
from pathlib import Path
from backends.errors import StorageError
from tests.backends.notes import add, look, old_database, use

async def work(database):
    await add(database, "before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        await add(database, "x" * 200_000)
    except StorageError as error:
        print(error.lines())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await add(database, "after")
    print(await look(database))

use(old_database(Path(sys.argv[1])), work)
"""


def test_a_file_that_may_not_grow_is_named_and_leaves_what_was_stored(path: Path) -> None:
    printed = output(WRITE_UNTIL_THE_FILE_MAY_NOT_GROW, path).splitlines()
    assert printed[0].startswith(f"error: cannot write {path}: ")
    assert printed[1:] == ["hint: " + f"`df -h {path.parent}` shows how much room is left",
                           "['before', 'after']"]  # fmt: skip


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    error = failure(old_database(path))
    assert error.message.startswith(f"cannot open {path}: it is not a SQLite database")
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_a_damaged_file_is_named(path: Path) -> None:
    fill(path, *("some text " * 100 for _ in range(200)))
    damaged = bytearray(path.read_bytes())
    half = len(damaged) // 2
    damaged[half:] = b"\xff" * len(damaged[half:])
    path.write_bytes(damaged)

    async def work(database: Database) -> None:
        with pytest.raises(StorageError, match=r"cannot read .* damaged") as raised:
            await look(database)
        assert f"sqlite3 {path} .recover" in str(raised.value.hint)

    use(old_database(path), work)


def test_a_command_in_a_hint_can_be_pasted(path: Path) -> None:
    folder = path.parent / "Application Support"
    folder.mkdir()
    (folder / "notes.db").write_bytes(b"no database" * 100)
    error = failure(old_database(folder / "notes.db"))
    assert f"mv '{folder}/notes.db' '{folder}/notes.db'.bad" in str(error.hint)


def test_a_sqlite_without_a_part_that_the_tables_need_is_named(path: Path) -> None:
    tables = MetaData()

    def create(_tables: MetaData, connection: Connection, **_options: Any) -> None:
        connection.exec_driver_sql("CREATE VIRTUAL TABLE searched USING not_built_in (text)")

    event.listen(tables, "after_create", create)
    error = failure(Database(path, tables, path.parent, "0001"))
    assert error.message.startswith(f"cannot write {path}: the SQLite of this Python was built ")
    assert "no such module: not_built_in" in error.message
    assert "--python" in str(error.hint)


def test_a_missing_folder_is_named_and_not_made(path: Path) -> None:
    missing = path.parent / "missing"
    error = failure(old_database(missing / "notes.db"))
    assert error.message == f"cannot create {missing}/notes.db: No such file or directory"
    assert f"mkdir -p -m 700 {missing}" in str(error.hint)
    assert not missing.exists()


def test_a_folder_in_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    assert failure(old_database(path)).message.startswith(f"cannot open {path}: ")


OPEN_WITHOUT_RIGHTS = """
import asyncio, os, sys
from pathlib import Path
from backends.errors import StorageError
from tests.backends.notes import add, fill, old_database, use

path = Path(sys.argv[1])
fill(path, "before")  # also loads every module, which a stranger might not be allowed to read
os.chown(path.parent, int(sys.argv[2]), -1)
os.chown(path, int(sys.argv[2]), -1)
os.setuid(int(sys.argv[2]))
for file, file_mode, folder_mode in (
    (path.parent / "new.db", None, 0o500), (path, 0o600, 0o500), (path, 0o400, 0o700)
):
    if file_mode:
        file.chmod(file_mode)
    path.parent.chmod(folder_mode)
    try:
        use(old_database(file), lambda database: add(database, "more"))
    except StorageError as error:
        print(error.message)
    path.parent.chmod(0o700)
"""


def test_missing_rights_are_named(tekton_home: Path) -> None:
    path = tekton_home / "notes.db"
    nobody = 65534
    printed = output(OPEN_WITHOUT_RIGHTS, path, str(os.getuid() or nobody)).splitlines()
    assert len(printed) == 3
    assert printed[0] == f"cannot create {tekton_home}/new.db: Permission denied"
    assert printed[1].startswith(f"cannot open {path}: it is read-only")
    assert printed[2].startswith(f"cannot write {path}: it is read-only")
    assert stored(path) == ["before"]


# -- processes -------------------------------------------------------------------------------

WRITE_FOR_EVER = """
import asyncio, itertools, sys
from pathlib import Path
from tests.backends.notes import add, old_database, use

async def work(database):
    for number in itertools.count():
        await asyncio.gather(*(add(database, f"{number} {n}") for n in range(5)))
        print(number, flush=True)

use(old_database(Path(sys.argv[1])), work)
"""


@pytest.mark.parametrize("rounds", [1, 40, 300])
def test_nothing_stored_is_lost_when_the_process_is_killed(path: Path, rounds: int) -> None:
    with processes(WRITE_FOR_EVER, [path]) as (child,):
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(rounds)]
        child.kill()
        seen += [int(line) for line in child.stdout if line.endswith("\n")]
    fill(path, "after")
    *found, last = stored(path)
    assert last == "after"
    assert len(found) == len({*found})
    assert {f"{number} {n}" for number in seen for n in range(5)} <= {*found}
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_processes_may_create_the_file_at_once(path: Path) -> None:
    names = ["a", "b", "c", "d"]
    with processes(OPEN_AND_ADD, *(["old_database", path, name] for name in names)) as children:
        assert start_together(children) == ["done False False\n"] * 4
    assert sorted(stored(path)) == names


def test_neither_alembic_nor_the_orm_is_loaded_for_a_file_that_is_up_to_date(path: Path) -> None:
    for name in ("new", "existing"):
        with processes(OPEN_AND_ADD, ["old_database", path, name]) as children:
            assert start_together(children) == ["done False False\n"]
    assert stored(path) == ["new", "existing"]
