"""The memory: every turn is stored here."""
