"""The tables of Engram as its newest revision has them.

A change here needs a migration beside it, and `HEAD` names the last one.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    text,
)

MIGRATIONS = Path(__file__).parent / "migrations"

HEAD = "0002"
"""The newest revision in `MIGRATIONS`."""

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ci", Text, nullable=False),
    Column("title", Text),
    Column("started_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("name", Text),
    # No foreign key: it would make a circle, and no turn is deleted without its session.
    Column("head", Text),
    Column("terminal", Text),
    Column("forked_from", ForeignKey("sessions.id", ondelete="SET NULL")),
    Index("sessions_ci", "ci", "updated_at"),
    Index("sessions_updated", "updated_at"),
    Index("sessions_name", "name", "ci", unique=True),
    Index(
        "sessions_terminal",
        "terminal",
        "ci",
        "updated_at",
        sqlite_where=text("terminal IS NOT NULL"),
    ),
    Index("sessions_forked", "forked_from", sqlite_where=text("forked_from IS NOT NULL")),
)

# What was deleted, so that a turn which ends later does not bring its session back.
removed = Table(
    "removed",
    metadata,
    Column("session", Text, primary_key=True),
    Column("removed_at", Double, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    # The full-text index refers to this number, in the order in which turns were first stored.
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("parent", ForeignKey("turns.id", ondelete="SET NULL")),
    Column("ci", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("model", Text),
    Column("error", Text),
    Column("finish_reason", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Double),
    Column("time_to_first_token_s", Double),
    Column("elapsed_s", Double),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    # The long ones last: what comes before them is read without walking through them.
    Column("system", Text),
    Column("prompt", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Index("turns_started", "started_at"),
    Index("turns_ci", "ci", "started_at"),
    Index("turns_session", "session", "started_at"),
    Index("turns_parent", "parent", sqlite_where=text("parent IS NOT NULL")),
    Index("turns_running", "status", sqlite_where=text("status = 'running'")),
)

# The index over prompt and answer. It keeps no text of its own: it reads, and must be told when
# a row leaves it, exactly what the view shows (https://www.sqlite.org/fts5.html, section 4.4.3).
# A running answer is stored many times while it grows, so the view shows it as empty: it is
# indexed once, when it ends. The CI is in the index because joining it afterwards would walk
# through every turn that has a common word. The indexes of first letters (`prefix`) make a search
# for `a` as fast as any other. Pictographs are separators by name, because SQLite takes those that
# are younger than its Unicode tables for letters.
_PICTOGRAPHS = "".join(map(chr, range(0x1F300, 0x1FB00)))
SEARCH = (
    """
    CREATE VIEW turns_searched AS
    SELECT number, ci, prompt, CASE status WHEN 'running' THEN '' ELSE answer END AS answer
    FROM turns
    """,
    f"""
    CREATE VIRTUAL TABLE turns_search USING fts5(
        ci, prompt, answer, content='turns_searched', content_rowid='number', prefix='1 2 3',
        tokenize="unicode61 remove_diacritics 2 separators '{_PICTOGRAPHS}'"
    )
    """,
    """
    CREATE TRIGGER turns_search_insert AFTER INSERT ON turns BEGIN
        INSERT INTO turns_search (rowid, ci, prompt, answer) VALUES (
            new.number, new.ci, new.prompt,
            CASE new.status WHEN 'running' THEN '' ELSE new.answer END
        );
    END
    """,
    """
    CREATE TRIGGER turns_search_delete AFTER DELETE ON turns BEGIN
        INSERT INTO turns_search (turns_search, rowid, ci, prompt, answer) VALUES (
            'delete', old.number, old.ci, old.prompt,
            CASE old.status WHEN 'running' THEN '' ELSE old.answer END
        );
    END
    """,
    """
    CREATE TRIGGER turns_search_update AFTER UPDATE ON turns
    WHEN (
        old.ci, old.prompt, CASE old.status WHEN 'running' THEN '' ELSE old.answer END
    ) IS NOT (
        new.ci, new.prompt, CASE new.status WHEN 'running' THEN '' ELSE new.answer END
    )
    BEGIN
        INSERT INTO turns_search (turns_search, rowid, ci, prompt, answer) VALUES (
            'delete', old.number, old.ci, old.prompt,
            CASE old.status WHEN 'running' THEN '' ELSE old.answer END
        );
        INSERT INTO turns_search (rowid, ci, prompt, answer) VALUES (
            new.number, new.ci, new.prompt,
            CASE new.status WHEN 'running' THEN '' ELSE new.answer END
        );
    END
    """,
)


@event.listens_for(turns, "after_create")
def _create_search(_table: Table, connection: Connection, **_options: Any) -> None:
    for statement in SEARCH:
        connection.exec_driver_sql(statement)


def storable(value: Any) -> Any:
    """Return a value as a column takes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):  # JSON can carry half of a surrogate pair, UTF-8 cannot
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
