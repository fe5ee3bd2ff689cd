"""How a database of an older or newer revision opens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.database import Database
from backends.errors import StorageError
from tests.backends.notes import (
    OPEN_AND_ADD,
    add,
    ask,
    failure,
    fill,
    look,
    new_database,
    old_database,
    processes,
    start_together,
    stored,
    use,
    write_migrations,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a file of the old revision with one heading and two notes under it."""
    path = tmp_path / "notes.db"
    fill(path)
    ask(path, "INSERT INTO headings VALUES ('garden')")
    ask(path, "INSERT INTO notes VALUES (1, 'garden', 'sow'), (2, 'garden', 'reap')")
    return path


def revision(path: Path) -> str:
    return str(ask(path, "SELECT version_num FROM alembic_version")[0][0])


def columns(path: Path) -> list[str]:
    return [row[1] for row in ask(path, "PRAGMA table_info(headings)")]


def test_an_old_file_is_migrated_and_keeps_what_it_holds(path: Path) -> None:
    write_migrations(path.parent / "migrations")
    assert use(new_database(path), look) == ["sow", "reap"]
    assert revision(path) == "0002"
    assert columns(path) == ["name", "colour"]
    assert use(new_database(path), look) == ["sow", "reap"]


def test_the_file_as_it_was_is_kept_beside_it(path: Path) -> None:
    write_migrations(path.parent / "migrations")
    use(new_database(path), look)
    backup = path.with_name("notes.db.0001.backup")
    assert backup.stat().st_mode & 0o777 == 0o600
    assert revision(backup) == "0001"
    assert use(old_database(backup), look) == ["sow", "reap"]
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"migrations", "notes.db", "notes.db.0001.backup"}


def test_a_backup_holds_what_only_the_log_has(path: Path) -> None:
    write_migrations(path.parent / "migrations")

    async def work(old: Database) -> None:
        await add(old, "last")
        assert path.with_name("notes.db-wal").stat().st_size > 0
        new = new_database(path)
        await new.open()
        await new.close()

    use(old_database(path), work)
    assert stored(path.with_name("notes.db.0001.backup")) == ["sow", "reap", "last"]


def test_rebuilding_a_table_deletes_nothing_that_refers_to_it(path: Path) -> None:
    rebuild = """
        with op.batch_alter_table("headings", recreate="always") as batch:
            batch.add_column(sa.Column("colour", sa.Text))
    """
    write_migrations(path.parent / "migrations", rebuild)

    async def work(database: Database) -> list[str]:
        found = await look(database)
        is_on = "PRAGMA foreign_keys"
        assert await database.write(lambda it: it.exec_driver_sql(is_on).scalar()) == 1
        return found

    assert use(new_database(path), work) == ["sow", "reap"]


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    write_migrations(
        path.parent / "migrations",
        "op.execute('DELETE FROM notes'); op.execute('DROP TABLE headings'); 1 / 0",
    )
    with pytest.raises(ZeroDivisionError):
        asyncio.run(new_database(path).open())
    assert stored(path) == ["sow", "reap"]
    assert columns(path) == ["name"]
    assert revision(path) == "0001"


def test_a_migration_that_loses_rows_others_refer_to_is_undone(path: Path) -> None:
    write_migrations(path.parent / "migrations", "op.execute('DELETE FROM headings')")
    error = failure(new_database(path))
    assert "2 rows would refer to rows that are not there" in error.message
    assert ask(path, "SELECT name FROM headings") == [("garden",)]
    assert revision(path) == "0001"


def test_no_file_is_migrated_without_its_copy(path: Path) -> None:
    write_migrations(path.parent / "migrations")
    path.with_name("notes.db.0001.backup").mkdir()
    assert "cannot keep a copy" in failure(new_database(path)).message
    assert revision(path) == "0001"
    assert not path.with_name("notes.db.0001.backup.new").exists()


def test_a_file_of_a_newer_version_is_not_touched(path: Path) -> None:
    write_migrations(path.parent / "migrations")
    ask(path, "UPDATE alembic_version SET version_num = '0003'")
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    error = failure(new_database(path))
    assert "newer version: its schema is '0003'" in error.message
    assert "upgrade" in str(error.hint)
    assert {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    ask(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    assert "another program" in failure(new_database(path)).message
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_needs_no_migrations(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    assert use(new_database(path), look) == []
    assert revision(path) == "0002"
    assert columns(path) == ["name", "colour"]


def test_two_files_of_one_process_may_be_migrated_at_once(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(path.read_bytes())
    write_migrations(tmp_path / "migrations")

    async def work() -> None:
        databases = [new_database(path), new_database(other)]
        await asyncio.gather(*(database.open() for database in databases))
        await asyncio.gather(*(database.close() for database in databases))

    asyncio.run(work())
    assert revision(path) == revision(other) == "0002"


def test_processes_may_migrate_one_file_at_once(path: Path) -> None:
    write_migrations(path.parent / "migrations")
    names = ["a", "b", "c", "d"]
    with processes(OPEN_AND_ADD, *(["new_database", path, name] for name in names)) as children:
        assert {text.split()[0] for text in start_together(children)} == {"done"}
    assert sorted(stored(path)) == [*names, "reap", "sow"]
    assert revision(path) == "0002"
    assert stored(path.with_name("notes.db.0001.backup")) == ["sow", "reap"]


def test_a_migration_that_was_killed_is_done_at_the_next_start(path: Path) -> None:
    wait = """
        op.execute("DELETE FROM notes")
        print("half", flush=True)
        import sys; sys.stdin.readline()
    """
    folder = write_migrations(path.parent / "migrations", wait)
    with processes(OPEN_AND_ADD, ["new_database", path, "never"]) as (child,):
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "half\n"
        child.kill()
    folder.rename(path.parent / "killed")
    write_migrations(folder)
    assert use(new_database(path), look) == ["sow", "reap"]
    assert columns(path) == ["name", "colour"]


def test_a_migration_waits_for_a_lock_and_then_names_it(path: Path) -> None:
    write_migrations(path.parent / "migrations")

    async def work(old: Database) -> None:
        async def open_new() -> None:
            with pytest.raises(StorageError, match="locked"):
                await new_database(path, busy_timeout_s=0.05).open()

        loop = asyncio.get_running_loop()
        await old.write(lambda _it: asyncio.run_coroutine_threadsafe(open_new(), loop).result(30))

    use(old_database(path), work)
    assert revision(path) == "0001"
