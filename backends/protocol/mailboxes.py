"""The messages of terma about messages: what terminals and the person send each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from backends.protocol.messages import Ack, Request


class MessageState(Enum):
    """How a message stands with one recipient.

    `answered` and `expired` are final; what is acknowledged may still be answered.
    """

    QUEUED = "queued"
    SHOWN = "shown"
    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message in a mailbox. `number` counts those of the mailbox, in the order they came.

    `sender` and `recipient` are names of terminals as they are now, or `user`; `reply_to` is the
    message that this one answers; `answer` has the texts of the replies to it, parted by blank
    lines; where 1 MiB does not hold them, of the last one alone.
    """

    id: str
    sender: str
    recipient: str
    text: str
    state: MessageState = MessageState.QUEUED
    number: int = 0
    sent_at: float = 0.0
    shown_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    reply_to: str | None = None
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message that is safe on the disk, and whom it is for.

    `is_repeated`: one of this id was there already, so nothing was sent again.
    """

    id: str
    recipients: tuple[str, ...]
    is_repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class SendMessage(Request[Sent]):
    """Put a message into mailboxes; answered once it is safe on the disk.

    `to` has names, `@role`, `@all` (every terminal but one's own) or `user`; no mailbox gets it
    twice. `id` (up to 64 of `A-Za-z0-9_-`) makes it safe to send again. With `is_trial` nothing is
    sent, and the text does not count: it is found out whom it would reach.
    """

    METHOD = "message.send"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Sent

    to: tuple[str, ...]
    text: str
    id: str | None = None
    expires_s: float | None = None
    is_trial: bool = False


@dataclass(frozen=True, kw_only=True)
class Messages:
    """Messages of one mailbox, oldest first; `left_out` counts those over the limit."""

    mailbox: str
    messages: tuple[Message, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadInbox(Request[Messages]):
    """Read a mailbox: without a name, one's own.

    Those that are open: queued and shown; with `is_whole` all that are kept. One's own queued
    messages become shown, somebody else's do not.

    With `is_notice` it is for the one line before a prompt: the last queued message, the others
    are counted in `left_out`; nothing where no message has come since the last notice. It becomes
    shown where it is the only one.
    """

    METHOD = "message.inbox"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Messages

    name: str | None = None
    is_whole: bool = False
    limit: int = 100
    is_notice: bool = False


@dataclass(frozen=True, kw_only=True)
class WatchInbox(Request[Ack]):
    """Stream the open messages of a mailbox, and those that come; one's own become shown.

    While it is open from within a terminal, that terminal can answer: it is a CI.
    """

    METHOD = "message.watch"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack
    CHUNK = Message

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AcknowledgeMessages(Request[Ack]):
    """Take messages out of one's own mailbox: they have been read.

    With a prefix of an id that is unique there it works as well.
    """

    METHOD = "message.ack"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack

    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReplyMessage(Request[Sent]):
    """Answer a message of one's own mailbox; its sender gets the reply as a message.

    With `is_trial` nothing is sent, and the text does not count: the message is looked for.
    """

    METHOD = "message.reply"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Sent

    id: str
    text: str
    is_trial: bool = False


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """How a message stands with each of its recipients, by name."""

    id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True)
class FollowMessage(Request[Deliveries]):
    """Ask how a message stands; with `waits`, until everybody has answered or it has expired.

    While it waits, each recipient's message comes as a chunk when its state changes. Replies that
    came so stay open in the mailbox until `TakeAnswers`.
    """

    METHOD = "message.follow"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Deliveries
    CHUNK = Message

    id: str
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class TakeAnswers(Request[Ack]):
    """Take the replies to a message out of one's own mailbox: whoever waited for them has them.

    `of` are the recipients whose replies are meant, by name.
    """

    METHOD = "message.take"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack

    id: str
    of: tuple[str, ...]
