"""The tables that a new file gets, and those that the migrations make."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text

from backends.database import Database
from backends.engram.tables import HEAD, MIGRATIONS, SEARCH, metadata, turns
from backends.errors import StorageError
from backends.protocol.conversations import Turn


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def schema(connection: Connection) -> dict[str, Any]:
    """Describe every table, index, view and trigger, whatever the text that made it."""

    def rows(statement: str) -> list[Any]:
        return sorted(tuple(row) for row in connection.exec_driver_sql(statement))

    found: dict[str, Any] = {}
    for kind, name, sql in rows("SELECT type, name, coalesce(sql, '') FROM sqlite_master"):
        if kind == "table" and not sql.startswith("CREATE VIRTUAL"):
            found[name] = (
                rows(f"PRAGMA table_xinfo({name})"),
                rows(f"PRAGMA foreign_key_list({name})"),
                sorted(row[1:] for row in rows(f"PRAGMA index_list({name})")),  # in any order
            )
        elif kind == "index":
            condition = sql.partition(" WHERE ")[2]
            found[name] = (rows(f"PRAGMA index_xinfo({name})"), condition)
        else:
            found[name] = re.sub(r"\s+", " ", sql)
    found.pop("alembic_version", None)
    found.pop("sqlite_autoindex_alembic_version_1", None)
    return found


def test_a_new_file_has_the_tables_that_the_migrations_make(tmp_path: Path) -> None:
    found = []
    for name in ("created", "migrated"):
        engine = create_engine(f"sqlite:///{tmp_path / name}", poolclass=NullPool)
        with engine.begin() as connection:
            if name == "created":
                metadata.create_all(connection)
            else:
                config = alembic_config()
                config.attributes.update(connection=connection, metadata=metadata)
                command.upgrade(config, "head")
                version = connection.execute(text("SELECT version_num FROM alembic_version"))
                assert version.scalars().all() == [HEAD]
            found.append(schema(connection))
    created, migrated = found
    assert {"sessions", "turns", "turns_search", "turns_search_update"} <= created.keys()
    assert created == migrated


def test_the_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


def test_every_field_of_a_turn_has_its_column() -> None:
    for field in dataclasses.fields(Turn):
        may_be_missing = "None" in str(field.type)
        assert turns.c[field.name].nullable == may_be_missing, field.name


def test_a_sqlite_without_full_text_search_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What SQLite says of a module that it does not know is the same for every name.
    lacking = [statement.replace("USING fts5", "USING fts5_of_another") for statement in SEARCH]
    monkeypatch.setattr("backends.engram.tables.SEARCH", lacking)
    database = Database(tmp_path / "engram.db", metadata, MIGRATIONS, HEAD)
    with pytest.raises(StorageError, match="no such module: fts5_of_another") as raised:
        asyncio.run(database.open())
    assert "--python" in str(raised.value.hint)
