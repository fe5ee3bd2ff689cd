"""Store terminals, messages, and in whose mailboxes these are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "terminals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("worktree", sa.Text),
        sa.Column("columns", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("is_recorded", sa.Boolean, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("closed_at", sa.Double),
        sa.Column("exit_status", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.Column("token_hash", sa.Text, nullable=False),
    )
    op.create_index(
        "terminals_open",
        "terminals",
        ["name"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "terminals_closed",
        "terminals",
        ["closed_at"],
        sqlite_where=sa.text("closed_at IS NOT NULL"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("addressed", sa.Text, nullable=False),
        sa.Column("sent_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("reply_to", sa.Text),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("mailbox", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(
            "message", sa.Text, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("shown_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("answer", sa.Text),
    )
    op.create_index("deliveries_message", "deliveries", ["message", "mailbox"], unique=True)
    op.create_index(
        "deliveries_open",
        "deliveries",
        ["mailbox", "state"],
        sqlite_where=sa.text("state IN ('queued', 'shown')"),
    )
    op.create_index(
        "deliveries_expiring",
        "deliveries",
        ["expires_at"],
        sqlite_where=sa.text("state IN ('queued', 'shown') AND expires_at IS NOT NULL"),
    )
