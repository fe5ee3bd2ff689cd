"""The history of Engram's tables, as Alembic runs it."""
