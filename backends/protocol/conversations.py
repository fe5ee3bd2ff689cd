"""The messages of engram: turns, and the conversations that they make.

Apart from the others because most clients never need them, and making a class takes time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from backends.protocol.messages import Ack, Request


class TurnStatus(Enum):
    """How a turn stands: `truncated` means that the answer stopped before its end."""

    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    TRUNCATED = "truncated"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One prompt and its answer, as far as it came; `parent` is the turn that it follows."""

    id: str
    session: str
    ci: str
    status: TurnStatus
    prompt: str
    parent: str | None = None
    answer: str = ""
    system: str | None = None
    model: str | None = None
    error: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    time_to_first_token_s: float | None = None
    elapsed_s: float | None = None
    started_at: float = 0.0
    ended_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class BeginTurn(Request[Ack]):
    """Store a turn before its prompt is sent; its conversation is created with the first one.

    It becomes the newest of its conversation; `terminal` is where that goes on now.
    """

    METHOD = "turn.begin"
    IS_LOCAL = True
    SERVICE = "engram"
    RESULT = Ack

    turn: Turn
    terminal: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateTurn(Request[Ack]):
    """Store a turn as it stands now; every field but `id` and `session` replaces what was stored.

    A turn of a conversation that was deleted is not stored any more.
    """

    METHOD = "turn.update"
    IS_LOCAL = True
    SERVICE = "engram"
    RESULT = Ack

    turn: Turn


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Turns, newest first; `left_out` counts those that would not fit into one message."""

    turns: tuple[Turn, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class History(Request[Turns]):
    """Find turns: the newest, or those that contain every word of `search`."""

    METHOD = "turn.history"
    SERVICE = "engram"
    RESULT = Turns

    search: str | None = None
    ci: str | None = None
    limit: int = 20


# -- conversations ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """A conversation with one CI.

    `head` is the turn that the next one follows; `turns` counts all branches. `forked_from` is
    the conversation that this one was copied from. Tokens and cost are sums of what is known;
    `cost_usd` is `None` where no turn's cost is known.
    """

    id: str
    ci: str
    name: str | None = None
    title: str = ""
    started_at: float = 0.0
    updated_at: float = 0.0
    turns: int = 0
    head: str | None = None
    terminal: str | None = None
    forked_from: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Where a conversation goes on.

    `turns` lead to `parent`, the turn that the next one follows, oldest first; as many of the
    newest of them as fit into one message, and `left_out` counts the older ones. `is_new` tells
    that there was nothing to continue; `has_moved` that others have gone on meanwhile from the
    turn that was named, so that the next one branches off.
    """

    session: str
    parent: str | None = None
    turns: tuple[Turn, ...] = ()
    left_out: int = 0
    is_new: bool = False
    has_moved: bool = False


@dataclass(frozen=True, kw_only=True)
class ResumeSession(Request[Resumed]):
    """Find the conversation that a prompt means; the fields are those of `Chat`."""

    METHOD = "session.resume"
    IS_LOCAL = True
    SERVICE = "engram"
    RESULT = Resumed

    ci: str
    session: str | None = None
    continues: bool = False
    after: str | None = None
    terminal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Conversations, the last used first; `left_out` counts those over the limit."""

    sessions: tuple[SessionInfo, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ListSessions(Request[Sessions]):
    """List conversations; `search` finds those with a turn that has all the words."""

    METHOD = "session.list"
    SERVICE = "engram"
    RESULT = Sessions

    ci: str | None = None
    search: str | None = None
    terminal: str | None = None
    limit: int = 50


@dataclass(frozen=True, kw_only=True)
class SessionTurns:
    """A conversation with its turns, oldest first, those of every branch.

    `left_out` counts the newest ones that would not fit into one message; `after` of the next
    request takes the id of the last one that came.
    """

    session: SessionInfo
    turns: tuple[Turn, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ShowSession(Request[SessionTurns]):
    """Show a conversation: an id, the beginning of one that no other has, or a name.

    `ci` is needed where several CIs have a conversation of that name.
    """

    METHOD = "session.show"
    SERVICE = "engram"
    RESULT = SessionTurns

    session: str
    ci: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeSession(Request[SessionInfo]):
    """Give a conversation another title or name, or go on from another of its turns."""

    METHOD = "session.change"
    SERVICE = "engram"
    RESULT = SessionInfo

    session: str
    ci: str | None = None
    title: str | None = None
    name: str | None = None
    head: str | None = None


@dataclass(frozen=True, kw_only=True)
class ForkSession(Request[SessionInfo]):
    """Copy a conversation up to one of its turns, by default the newest, into one of its own."""

    METHOD = "session.fork"
    SERVICE = "engram"
    RESULT = SessionInfo

    session: str
    ci: str | None = None
    turn: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Removed:
    """How much was deleted."""

    sessions: int
    turns: int


@dataclass(frozen=True, kw_only=True)
class RemoveSessions(Request[Removed]):
    """Delete conversations for good: those named, or all last used before a time.

    `ci` bounds both. Nothing is deleted where one that is named is not found.
    """

    METHOD = "session.remove"
    IS_LOCAL = True
    SERVICE = "engram"
    RESULT = Removed

    sessions: tuple[str, ...] = ()
    ci: str | None = None
    before: float | None = None
