"""The store of terminals: on a real file."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from backends.database import Database
from backends.errors import UsageError
from backends.protocol.terminals import Worktree
from terma.service.store import StoredTerminal, TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata

ALICE = StoredTerminal(
    id="a" * 32, name="alice", kind="shell", roles=("coding", "test"), command=("bash", "-l"),
    folder="/tmp/ü", worktree=None, columns=80, rows=24, is_recorded=True, started_at=1.5,
    ended_at=None, closed_at=None, exit_status=None, reason=None, token_hash="secret",
)  # fmt: skip
BOB = dataclasses.replace(
    ALICE, id="b" * 32, name="bob", roles=(), is_recorded=False, ended_at=3.0, exit_status=137,
    reason="the ptyhost died",
    worktree=Worktree(repository="/r", path="/w", branch="feature/cache", base="abc"),
)  # fmt: skip


def closed(terminal: StoredTerminal, at: float) -> StoredTerminal:
    return dataclasses.replace(terminal, closed_at=at)


def database(path: Path) -> Database:
    return Database(path / "terma.db", metadata, MIGRATIONS, HEAD, is_durable=True)


def use(path: Path, work: Callable[[TerminalStore], Awaitable[None]]) -> None:
    async def main() -> None:
        opened = database(path)
        await opened.open()
        try:
            await work(TerminalStore(opened))
        finally:
            await opened.close()

    asyncio.run(main())


def test_what_is_saved_is_found_again_after_a_restart(tmp_path: Path) -> None:
    async def save(store: TerminalStore) -> None:
        await store.save(BOB)
        await store.save(ALICE)

    async def find(store: TerminalStore) -> None:
        assert await store.open_ones() == [ALICE, BOB]

    use(tmp_path, save)
    use(tmp_path, find)


def test_a_terminal_is_replaced_by_what_it_is_now(tmp_path: Path) -> None:
    renamed = dataclasses.replace(ALICE, name="eve", roles=("review",), columns=132)

    async def work(store: TerminalStore) -> None:
        await store.save(ALICE)
        await store.save(renamed)
        assert await store.open_ones() == [renamed]

    use(tmp_path, work)


def test_two_open_terminals_cannot_have_one_name(tmp_path: Path) -> None:
    other = dataclasses.replace(BOB, name="alice")

    async def work(store: TerminalStore) -> None:
        await store.save(ALICE)
        await store.save(BOB)
        with pytest.raises(UsageError, match="'alice' is open already") as caught:
            await store.save(other)
        assert caught.value.hint is not None
        assert "terma close alice" in caught.value.hint
        assert await store.open_ones() == [ALICE, BOB]
        await store.save(closed(ALICE, 5.0))
        await store.save(other)
        assert await store.open_ones() == [other]

    use(tmp_path, work)


def test_of_closed_terminals_the_last_one_of_a_name_is_found(tmp_path: Path) -> None:
    first, last = closed(ALICE, 5.0), closed(dataclasses.replace(ALICE, id="c" * 32), 6.0)

    async def work(store: TerminalStore) -> None:
        for terminal in (last, first, BOB):
            await store.save(terminal)
        assert await store.find_closed("alice") == last
        assert await store.find_closed("Alice-ci") == last
        assert await store.find_closed("a" * 32) == first
        assert await store.find_closed("bob") is None
        assert await store.closed_before(6.0) == [first]
        assert await store.closed_before(7.0) == [first, last]
        assert await store.open_ones() == [BOB]

    use(tmp_path, work)


def test_nothing_of_a_forgotten_terminal_is_left_in_the_file(tmp_path: Path) -> None:
    secret = dataclasses.replace(ALICE, folder="/home/very-secret-folder")

    def holders() -> list[str]:
        files = [*tmp_path.iterdir()]
        return [file.name for file in files if b"very-secret-folder" in file.read_bytes()]

    async def work(store: TerminalStore) -> None:
        await store.save(secret)
        await store.save(BOB)
        assert holders()
        await store.forget(secret.id)
        assert holders() == []
        assert await store.open_ones() == [BOB]

    use(tmp_path, work)


def test_closed_ones_are_told_the_last_first(tmp_path: Path) -> None:
    later = dataclasses.replace(ALICE, id="c" * 32)

    async def work(store: TerminalStore) -> None:
        for terminal in (closed(ALICE, 5.0), closed(BOB, 6.0), closed(later, 7.0)):
            await store.save(terminal)
        assert [one.id for one in await store.closed(None, 10)] == [later.id, BOB.id, ALICE.id]
        assert [one.id for one in await store.closed(None, 2)] == [later.id, BOB.id]
        assert [one.id for one in await store.closed("alice", 10)] == [later.id, ALICE.id]

    use(tmp_path, work)


def test_the_migrations_make_the_tables_as_they_are(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    def layout(url: str) -> dict[str, object]:
        engine = create_engine(url)
        found = inspect(engine)
        with engine.connect() as connection:
            indexes = connection.exec_driver_sql(
                "SELECT name, lower(sql) FROM sqlite_master "
                "WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
            ).all()
        tables = {
            name: (
                [{**one, "type": str(one["type"])} for one in found.get_columns(name)],
                found.get_pk_constraint(name)["constrained_columns"],
                found.get_foreign_keys(name),
            )
            for name in ("terminals", "messages", "deliveries")
        }
        engine.dispose()
        return {"tables": tables, "indexes": [tuple(row) for row in indexes]}

    made, migrated = (f"sqlite:///{tmp_path / name}" for name in ("made.db", "migrated.db"))
    engine = create_engine(made)
    metadata.create_all(engine)
    engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(migrated)
    with engine.begin() as connection:
        config.attributes.update(connection=connection, metadata=metadata)
        command.upgrade(config, HEAD)
    engine.dispose()
    assert layout(made) == layout(migrated)
