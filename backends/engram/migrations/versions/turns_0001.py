"""Store sessions and turns, and index prompt and answer for the search."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("ci", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_index("sessions_ci", "sessions", ["ci", "updated_at"])
    op.create_table(
        "turns",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column(
            "session", sa.Text, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("parent", sa.Text, sa.ForeignKey("turns.id", ondelete="SET NULL")),
        sa.Column("ci", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("cost_usd", sa.Double),
        sa.Column("time_to_first_token_s", sa.Double),
        sa.Column("elapsed_s", sa.Double),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("system", sa.Text),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_index("turns_started", "turns", ["started_at"])
    op.create_index("turns_ci", "turns", ["ci", "started_at"])
    op.create_index("turns_session", "turns", ["session", "started_at"])
    op.create_index("turns_parent", "turns", ["parent"], sqlite_where=sa.text("parent IS NOT NULL"))
    op.create_index(
        "turns_running", "turns", ["status"], sqlite_where=sa.text("status = 'running'")
    )
    for statement in SEARCH:
        op.execute(statement)


PICTOGRAPHS = "".join(map(chr, range(0x1F300, 0x1FB00)))
SEARCH = (
    """
    CREATE VIEW turns_searched AS
    SELECT number, ci, prompt, CASE status WHEN 'running' THEN '' ELSE answer END AS answer
    FROM turns
    """,
    f"""
    CREATE VIRTUAL TABLE turns_search USING fts5(
        ci, prompt, answer, content='turns_searched', content_rowid='number', prefix='1',
        tokenize="unicode61 remove_diacritics 2 separators '{PICTOGRAPHS}'"
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
