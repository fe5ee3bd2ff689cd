"""A database whose file is deleted or replaced while it is in use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from backends.database import Database
from backends.errors import StorageError
from tests.backends.notes import (
    add,
    ask,
    fill,
    insert,
    look,
    new_database,
    old_database,
    stored,
    use,
    write_migrations,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


def beside(path: Path) -> list[Path]:
    """Return the file and what SQLite keeps beside it."""
    return sorted(path.parent.glob(f"{path.name}*"))


def delete(path: Path, *, and_its_log: bool = True) -> None:
    for file in beside(path) if and_its_log else [path]:
        file.unlink()


@pytest.fixture
def other(path: Path) -> Path:
    """The path of another file of the same schema, to be moved to where the open one is."""
    other = path.with_name("other.db")
    fill(other, "restored")
    return other


@pytest.mark.parametrize("and_its_log", [True, False])
def test_what_is_written_after_the_file_was_deleted_is_kept(
    path: Path, caplog: pytest.LogCaptureFixture, and_its_log: bool
) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        await look(database)
        delete(path, and_its_log=and_its_log)
        await add(database, "after")
        await add(database, "later")
        assert await look(database) == ["after", "later"]
        assert stored(path) == ["after", "later"]

    with caplog.at_level(logging.WARNING):
        use(old_database(path), work)
    assert stored(path) == ["after", "later"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} was deleted or replaced while in use; it is opened anew"
    ]


@pytest.mark.parametrize("and_its_log", [True, False])
def test_a_read_after_the_file_was_deleted_finds_nothing(path: Path, and_its_log: bool) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        assert await look(database) == ["before"]
        delete(path, and_its_log=and_its_log)
        assert await look(database) == []
        await add(database, "after")
        assert await look(database) == ["after"]

    use(old_database(path), work)
    assert stored(path) == ["after"]


def test_the_file_may_be_deleted_again_and_again(path: Path) -> None:
    async def work(database: Database) -> None:
        for number in range(5):
            await add(database, f"{number}")
            assert await look(database) == [f"{number}"]
            delete(path, and_its_log=number % 2 == 0)

    use(old_database(path), work)


def test_a_file_put_in_its_place_is_used_and_keeps_what_it_holds(path: Path, other: Path) -> None:
    async def work(database: Database) -> None:
        for number in range(50):
            await add(database, f"before {number}")
        os.replace(other, path)  # the log stays behind
        assert await look(database) == ["restored"]
        await add(database, "after")
        assert await look(database) == ["restored", "after"]

    use(old_database(path), work)
    assert stored(path) == ["restored", "after"]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_was_moved_away_keeps_all_that_was_stored(path: Path) -> None:
    away = path.parent / "away" / path.name
    away.parent.mkdir()

    async def work(database: Database) -> None:
        await add(database, "before")
        os.replace(path, away)
        await add(database, "after")

    use(old_database(path), work)
    assert stored(away) == ["before"]
    assert stored(path) == ["after"]


def test_an_older_file_put_in_its_place_is_migrated(path: Path, other: Path) -> None:
    write_migrations(path.parent / "migrations")

    async def work(database: Database) -> None:
        await add(database, "before")
        os.replace(other, path)  # the log stays behind
        await add(database, "after")
        assert await look(database) == ["restored", "after"]

    use(new_database(path), work)
    assert ask(path, "SELECT version_num FROM alembic_version") == [("0002",)]


def test_a_link_that_leads_elsewhere_is_followed(path: Path) -> None:
    one, two = path.with_name("one.db"), path.with_name("two.db")
    fill(one, "in one")
    fill(two, "in two")
    path.symlink_to(one)

    async def work(database: Database) -> None:
        await add(database, "and more")
        path.unlink()
        path.symlink_to(two)
        await add(database, "and more")

    use(old_database(path), work)
    assert stored(one) == ["in one", "and more"]
    assert stored(two) == ["in two", "and more"]


def test_a_file_that_cannot_be_made_anew_is_named_until_it_can(path: Path) -> None:
    folder = path.parent / "state"
    folder.mkdir()

    async def work(database: Database) -> None:
        await add(database, "before")
        shutil.rmtree(folder)
        for attempt in (partial(add, text="lost"), look):
            with pytest.raises(StorageError, match=f"cannot create {folder}/notes.db"):
                await attempt(database)
        folder.mkdir()
        await add(database, "after")
        assert await look(database) == ["after"]

    use(old_database(folder / path.name), work)
    assert stored(folder / path.name) == ["after"]


def test_a_file_of_another_program_put_in_its_place_is_left_alone(path: Path) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        other = path.with_name("other.db")
        ask(other, "CREATE TABLE theirs (a)")
        os.replace(other, path)
        for attempt in (partial(add, text="lost"), look):
            with pytest.raises(StorageError, match="database of another program"):
                await attempt(database)
        assert ask(path, "SELECT name FROM sqlite_master") == [("theirs",)]
        os.replace(path, path.with_name("away"))
        await add(database, "after")

    use(old_database(path), work)
    assert stored(path) == ["after"]


def test_a_locked_file_put_in_its_place_is_named_and_used_once_it_is_free(
    path: Path, other: Path
) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        os.replace(other, path)  # the log stays behind
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            results = await asyncio.gather(
                *(add(database, f"{number}") for number in range(20)), return_exceptions=True
            )
            assert {type(result) for result in results} == {StorageError}
            assert "locked" in str(results[0])
        await add(database, "after")
        assert await look(database) == ["restored", "after"]

    use(old_database(path, busy_timeout_s=0.05), work)


def test_writes_that_are_queued_while_the_file_goes_keep_their_order(path: Path) -> None:
    is_at_work, may_end = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        insert(connection, "held")
        is_at_work.set()
        assert may_end.wait(30)

    async def work(database: Database) -> None:
        writing = [asyncio.create_task(database.write(hold))]
        assert await asyncio.to_thread(is_at_work.wait, 30)
        writing += [asyncio.create_task(add(database, f"{number}")) for number in range(20)]
        await asyncio.sleep(0)
        delete(path)
        writing[1].cancel()
        may_end.set()
        await asyncio.gather(*writing, return_exceptions=True)
        assert await look(database) == [f"{number}" for number in range(20)]

    use(old_database(path), work)


def test_what_is_queued_when_the_file_goes_is_kept_by_closing(path: Path) -> None:
    is_at_work, may_end = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        is_at_work.set()
        assert may_end.wait(30)

    async def work() -> None:
        database = old_database(path)
        await database.open()
        holding = asyncio.create_task(database.write(hold))
        assert await asyncio.to_thread(is_at_work.wait, 30)
        writing = asyncio.create_task(add(database, "kept"))
        await asyncio.sleep(0)
        delete(path)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.gather(holding, writing, closing)

    asyncio.run(work())
    assert stored(path) == ["kept"]
    assert beside(path) == [path]


def test_reads_and_writes_at_once_survive_the_loss_of_the_file(path: Path) -> None:
    async def work(database: Database) -> None:
        for round_number in range(10):
            delete(path, and_its_log=round_number % 2 == 0)
            writes = [add(database, f"{round_number} {number}") for number in range(10)]
            reads = [look(database) for _ in range(10)]
            await asyncio.gather(*reads, *writes)
            assert await look(database) == [f"{round_number} {number}" for number in range(10)]

    use(old_database(path), work)


def test_a_log_that_cannot_be_emptied_is_reported(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT * FROM notes").fetchall()
            await add(database, "more")
            delete(path)
            await add(database, "after")

    with caplog.at_level(logging.WARNING):
        use(old_database(path, busy_timeout_s=0.05), work)
    assert f"the log of the old {path} could not be emptied: another process" in caplog.text
    assert stored(path) == ["after"]


def open_files() -> set[tuple[int, int]]:
    """Return device and inode of every file that this process has open."""
    found = set()
    for descriptor in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the one that listed the folder
            status = os.fstat(int(descriptor))
            found.add((status.st_dev, status.st_ino))
    return found


def test_neither_thread_holds_on_to_the_deleted_file(path: Path) -> None:
    async def work(database: Database) -> None:
        await add(database, "before")
        await look(database)
        old = {(file.stat().st_dev, file.stat().st_ino) for file in beside(path)}
        assert len(old & open_files()) == 3
        for number, file in enumerate(beside(path)):  # or a new file could get an old number
            os.link(file, path.with_name(f"old{number}"))
        delete(path)
        await add(database, "after")
        assert not old & open_files()

    use(old_database(path), work)
