"""The history of the tables of terminals and messages, as Alembic runs it."""
