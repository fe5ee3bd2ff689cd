"""The tables of terminals and messages as their newest revision has them.

A change here needs a migration beside it, and `HEAD` names the last one.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

MIGRATIONS = Path(__file__).parent / "migrations"

HEAD = "0001"
"""The newest revision in `MIGRATIONS`."""

metadata = MetaData()

terminals = Table(
    "terminals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("roles", Text, nullable=False),  # JSON, as are command and worktree
    Column("command", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("worktree", Text),
    Column("columns", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("is_recorded", Boolean, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("closed_at", Double),
    Column("exit_status", Integer),
    Column("reason", Text),
    Column("token_hash", Text, nullable=False),
    Index("terminals_open", "name", unique=True, sqlite_where=text("closed_at IS NULL")),
    Index("terminals_closed", "closed_at", sqlite_where=text("closed_at IS NOT NULL")),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sender", Text, nullable=False),  # a mailbox
    Column("addressed", Text, nullable=False),  # JSON: `to` as it was given
    Column("sent_at", Double, nullable=False),
    Column("expires_at", Double),
    # No foreign key: what was answered may be deleted before its answer.
    Column("reply_to", Text),
    Column("size", Integer, nullable=False),  # bytes of the text, which need not be read for it
    Column("text", Text, nullable=False),
)

# A message in a mailbox: `number` counts from 1 there.
deliveries = Table(
    "deliveries",
    metadata,
    Column("mailbox", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("message", ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False),
    Column("expires_at", Double),
    Column("shown_at", Double),
    Column("ended_at", Double),
    Column("answer", Text),
    Index("deliveries_message", "message", "mailbox", unique=True),
    Index("deliveries_open", "mailbox", "state", sqlite_where=text("state IN ('queued', 'shown')")),
    Index(
        "deliveries_expiring",
        "expires_at",
        sqlite_where=text("state IN ('queued', 'shown') AND expires_at IS NOT NULL"),
    ),
)
