"""Let conversations be named, continued and forked, and remember which were deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what a conversation has, and fill it in from the turns that are there."""
    op.execute("ALTER TABLE sessions ADD COLUMN name TEXT")
    op.execute("ALTER TABLE sessions ADD COLUMN head TEXT")
    op.execute("ALTER TABLE sessions ADD COLUMN terminal TEXT")
    op.execute(
        "ALTER TABLE sessions ADD COLUMN forked_from TEXT "
        "REFERENCES sessions (id) ON DELETE SET NULL"
    )
    op.create_index("sessions_updated", "sessions", ["updated_at"])
    op.create_index("sessions_name", "sessions", ["name", "ci"], unique=True)
    op.create_index(
        "sessions_terminal",
        "sessions",
        ["terminal", "ci", "updated_at"],
        sqlite_where=sa.text("terminal IS NOT NULL"),
    )
    op.create_index(
        "sessions_forked",
        "sessions",
        ["forked_from"],
        sqlite_where=sa.text("forked_from IS NOT NULL"),
    )
    op.create_table(
        "removed",
        sa.Column("session", sa.Text, primary_key=True),
        sa.Column("removed_at", sa.Double, nullable=False),
    )
    for statement in (*FILL, *INDEX_ANEW):
        op.execute(statement)
    _fill_titles()


# Whoever named a session twice meant one conversation: its turns follow each other as they were
# stored. No turn had a parent before this revision.
FILL = (
    """
    UPDATE turns SET parent = before.id FROM (
        SELECT number, lag(id) OVER (PARTITION BY session ORDER BY number) AS id FROM turns
    ) AS before
    WHERE turns.number = before.number AND before.id IS NOT NULL
    """,
    """
    UPDATE sessions SET head = (
        SELECT id FROM turns WHERE session = sessions.id ORDER BY number DESC LIMIT 1
    )
    """,
)


PICTOGRAPHS = "".join(map(chr, range(0x1F300, 0x1FB00)))

# A search for the beginning of many words is slow without an index of that length.
INDEX_ANEW = (
    "DROP TABLE turns_search",
    f"""
    CREATE VIRTUAL TABLE turns_search USING fts5(
        ci, prompt, answer, content='turns_searched', content_rowid='number', prefix='1 2 3',
        tokenize="unicode61 remove_diacritics 2 separators '{PICTOGRAPHS}'"
    )
    """,
    "INSERT INTO turns_search (turns_search) VALUES ('rebuild')",
)


def _fill_titles() -> None:
    from backends.cleaning import clean

    connection = op.get_bind()
    found = connection.exec_driver_sql(
        "SELECT session, substr(ltrim(prompt, char(9, 10, 11, 12, 13, 32)), 1, 2000) FROM turns "
        "WHERE number IN (SELECT min(number) FROM turns GROUP BY session)"
    )
    titles = []
    for session, prompt in found.all():
        lines = (" ".join(line.split()) for line in clean(prompt).splitlines())
        title = next(filter(None, lines), "")
        titles.append((title if len(title) <= 60 else f"{title[:59].rstrip()}…", session))
    if titles:
        connection.exec_driver_sql("UPDATE sessions SET title = ? WHERE id = ?", titles)
