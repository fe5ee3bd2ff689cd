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
from backends.protocol.mailboxes import (
    AcknowledgeMessages,
    FollowMessage,
    ReadInbox,
    ReplyMessage,
    SendMessage,
    TakeAnswers,
    WatchInbox,
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
from backends.protocol.screens import ReadLines, ReadLog, ShowScreen, WatchScreen
from backends.protocol.terminals import (
    AttachTerminal,
    ChangeRoles,
    CloseTerminal,
    ListTerminals,
    OpenTerminal,
    RenameTerminal,
    ResizeTerminal,
    RestoreTerminals,
    SignalTerminal,
    WhoAmI,
    WriteTerminal,
)

REQUESTS: dict[str, type[Request[Any]]] = {
    request.METHOD: request
    for request in (
        Hello, Info, Chat, ListAll, Subscribe, Publish, BeginTurn, UpdateTurn, History,
        ResumeSession, ListSessions, ShowSession, ChangeSession, ForkSession, RemoveSessions,
        Measure, OpenTerminal, ListTerminals, AttachTerminal, WriteTerminal, ResizeTerminal,
        SignalTerminal, RenameTerminal, ChangeRoles, CloseTerminal, RestoreTerminals, ShowScreen,
        WatchScreen, ReadLog, ReadLines, SendMessage, ReadInbox, WatchInbox, AcknowledgeMessages,
        ReplyMessage, FollowMessage, TakeAnswers, WhoAmI,
    )
}  # fmt: skip
"""Every request by its method."""
