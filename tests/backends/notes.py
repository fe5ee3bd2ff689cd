"""A small database for tests: notes under headings, before and after a migration."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Column, Connection, ForeignKey, Integer, MetaData, Table, Text

from backends.database import Database
from backends.engram.tables import MIGRATIONS
from backends.errors import StorageError

ROOT = Path(__file__).parents[2]

OLD = MetaData()
Table("headings", OLD, Column("name", Text, primary_key=True))
notes = Table(
    "notes",
    OLD,
    Column("id", Integer, primary_key=True),
    Column("heading", ForeignKey("headings.name", ondelete="CASCADE")),
    Column("text", Text, nullable=False),
)

NEW = MetaData()
Table("headings", NEW, Column("name", Text, primary_key=True), Column("colour", Text))
notes.to_metadata(NEW)

ADD_COLOUR = "op.add_column('headings', sa.Column('colour', sa.Text))"

T = TypeVar("T")


def write_migrations(folder: Path, upgrade: str = ADD_COLOUR) -> Path:
    """Write a folder of two revisions, 0001 and 0002; `upgrade` is the body of the second."""
    (folder / "versions").mkdir(parents=True)
    shutil.copy(MIGRATIONS / "env.py", folder)
    first = """
        op.create_table('headings', sa.Column('name', sa.Text, primary_key=True))
        op.create_table(
            'notes',
            sa.Column('id', sa.Integer, primary_key=True),
            sa.Column('heading', sa.ForeignKey('headings.name', ondelete='CASCADE')),
            sa.Column('text', sa.Text, nullable=False),
        )
    """
    for revision, before, body in (("0001", None, first), ("0002", "0001", upgrade)):
        lines = [
            "import sqlalchemy as sa",
            "from alembic import op",
            f"revision, down_revision = {revision!r}, {before!r}",
            "def upgrade():",
            textwrap.indent(textwrap.dedent(body), "    "),
        ]
        file = folder / "versions" / f"notes_{revision}.py"
        file.write_text("\n".join(lines), encoding="utf-8")
    return folder


def old_database(path: Path, **options: Any) -> Database:
    """Give the database as it was before the migration."""
    return Database(path, OLD, path.parent / "migrations", "0001", **options)


def new_database(path: Path, **options: Any) -> Database:
    """Give the database as it is after the migration, whose folder lies beside it."""
    return Database(path, NEW, path.parent / "migrations", "0002", **options)


def use(database: Database, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open a database, work with it and close it."""

    async def session() -> T:
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(session())


def failure(database: Database) -> StorageError:
    """Open a database that cannot be opened; return the reason."""
    with pytest.raises(StorageError) as raised:
        asyncio.run(database.open())
    return raised.value


async def add(database: Database, text: str) -> None:
    """Store a note."""
    await database.write(partial(insert, text=text))


async def look(database: Database) -> list[str]:
    """Read every note, in the order in which they were added."""
    query = notes.select().with_only_columns(notes.c.text).order_by(notes.c.id)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


def insert(connection: Connection, text: str) -> None:
    """Add a note within a transaction."""
    connection.execute(notes.insert().values(text=text))


def fill(path: Path, *texts: str) -> None:
    """Open a file of the old revision, or make one, and add some notes."""

    async def work(database: Database) -> None:
        for text in texts:
            await add(database, text)

    use(old_database(path), work)


def ask(path: Path, statement: str) -> list[Any]:
    """Ask the file itself, behind the database's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def stored(path: Path) -> list[str]:
    """Read every note from the file itself."""
    return [row[0] for row in ask(path, "SELECT text FROM notes ORDER BY id")]


OPEN_AND_ADD = """
import sys
from pathlib import Path
from tests.backends import notes

database = getattr(notes, sys.argv[1])(Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
notes.use(database, lambda database: notes.add(database, sys.argv[3]))
print("done", "alembic" in sys.modules, "sqlalchemy.orm" in sys.modules)
"""
"""For `start_together`: opens a file, adds a note and tells whether two packages were loaded."""


@contextlib.contextmanager
def processes(script: str, *arguments: Sequence[object]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run a script in a process for each list of arguments, at the root of the checkout."""
    with contextlib.ExitStack() as stack:
        children = []
        for line in arguments:
            child = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, line)],
                cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            stack.enter_context(child)
            stack.callback(child.kill)
            children.append(child)
        yield children


def output(script: str, *arguments: object) -> str:
    """Run a script to its end and return what it printed."""
    with processes(script, arguments) as (child,):
        text, _ = child.communicate(timeout=30)
        assert child.returncode == 0
        return text


def start_together(children: list[subprocess.Popen[str]]) -> list[str]:
    """Let processes that wait for a line go on at once; return what each prints until its end."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return [child.communicate(timeout=30)[0] for child in children]
