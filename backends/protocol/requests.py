"""Every request by its method: what a service that is asked has to know."""

from __future__ import annotations

from typing import Any

from backends.protocol.conversations import (
    BeginTurn,
    ChangeSession,
    ForkSession,
    History,
    ListSessions,
    RemoveSessions,
    ResumeSession,
    ShowSession,
    UpdateTurn,
)
from backends.protocol.messages import (
    Chat,
    Hello,
    Info,
    ListAll,
    Measure,
    Publish,
    Request,
    Subscribe,
)

REQUESTS: dict[str, type[Request[Any]]] = {
    request.METHOD: request
    for request in (
        Hello, Info, Chat, ListAll, Subscribe, Publish, BeginTurn, UpdateTurn, History,
        ResumeSession, ListSessions, ShowSession, ChangeSession, ForkSession, RemoveSessions,
        Measure,
    )
}  # fmt: skip
"""Every request by its method."""
