"""What is told where a terminal is meant that is closed."""

from __future__ import annotations

from backends.errors import NotFound


def closed(name: str) -> NotFound:
    """Return the error for a terminal that can only be read any more."""
    return NotFound(
        f"{name} is closed", f"`terma new {name}` makes a new one, `terma log {name}` shows its log"
    )
