"""A file of the first revision, from before there were conversations, opens with all it holds."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import NullPool, create_engine

from backends.client.client import Client
from backends.engram.service import Engram
from backends.engram.tables import metadata
from backends.errors import StorageError
from backends.paths import find_paths, private_folder
from backends.protocol.conversations import (
    History,
    ListSessions,
    RemoveSessions,
    ResumeSession,
    ShowSession,
)
from tests.backends.engram.memory import A, B, ask, rows, store, turn
from tests.backends.engram.test_tables import alembic_config
from tests.backends.services import StageContext


def add_turn(connection: sqlite3.Connection, name: str, session: str, prompt: str, at: int) -> None:
    connection.execute(
        "INSERT INTO turns (id, session, ci, status, prompt, answer, started_at, input_tokens) "
        "VALUES (?, ?, 'apollo', 'complete', ?, 'fine', ?, 7)",
        (name, session, prompt, at),
    )


@pytest.fixture
def old() -> Path:
    """The path of a file of revision 0001: two turns under one session, one under another."""
    path = find_paths().turns
    private_folder(path.parent)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as begun:
        config = alembic_config()
        config.attributes.update(connection=begun, metadata=metadata)
        command.upgrade(config, "0001")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for session, at in ((A, 20), (B, 30), ("empty", 40)):
            values = (session, "apollo", at, at)
            connection.execute("INSERT INTO sessions VALUES (?, ?, NULL, ?, ?)", values)
        add_turn(connection, "t1", A, "\n \x1b[1mHow many\tbees?\nsecret old", 10)
        add_turn(connection, "t2", B, "x" * 99, 30)
        add_turn(connection, "t3", A, "And now?", 20)
    return path


def test_its_turns_become_conversations(old: Path) -> None:
    async def work(client: Client) -> None:
        found = (await client.call(ListSessions())).sessions
        assert [(it.id, it.title, it.turns, it.head, it.input_tokens) for it in found] == [
            (B, "x" * 59 + "…", 1, "t2", 7),
            (A, "How many bees?", 2, "t3", 14),
        ]
        assert all((it.name, it.terminal, it.forked_from) == (None,) * 3 for it in found)
        resumed = await client.call(ResumeSession(ci="apollo", session=A))
        assert [it.id for it in resumed.turns] == ["t1", "t3"]
        await store(client, turn("t4", "t3", started_at=50.0), terminal="here")
        assert (await client.call(ShowSession(session=A))).session.head == "t4"
        assert len((await client.call(History(search="bees"))).turns) == 1
        assert (await client.call(ListSessions(search="secret old"))).sessions[0].id == A

    ask(work)
    assert rows(old, "SELECT version_num FROM alembic_version") == [("0002",)]
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]


def test_what_is_deleted_goes_from_the_copy_of_the_old_file_too(old: Path) -> None:
    backup = old.with_name(f"{old.name}.0001.backup")

    async def work(client: Client) -> None:
        assert b"secret old" in backup.read_bytes()
        await client.call(RemoveSessions(sessions=(A,)))
        assert not backup.exists()

    ask(work)
    assert all(b"secret old" not in path.read_bytes() for path in old.parent.iterdir())


def test_an_empty_file_of_the_first_revision_opens(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("DELETE FROM turns")
        connection.execute("DELETE FROM sessions")
    assert ask(lambda client: client.call(ListSessions())).sessions == ()


def test_a_newer_file_is_refused_and_left_alone() -> None:
    ask(lambda client: store(client, turn("t1")))
    path = find_paths().turns
    rows(path, "UPDATE alembic_version SET version_num = '0099'")
    before = path.read_bytes()
    service = Engram(StageContext())
    with pytest.raises(StorageError, match="newer version: its schema is '0099'") as raised:
        asyncio.run(service.start())
    assert "upgrade" in str(raised.value.hint)
    assert path.read_bytes() == before
