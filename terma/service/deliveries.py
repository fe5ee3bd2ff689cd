"""What mailboxes hold, and the transactions that change it.

A message is stored once and delivered to each recipient's mailbox, where it has a number and a
state of its own:

    queued ──▶ shown ──▶ acknowledged ──▶ answered
       └─────────┴──▶ answered, or expired

An answer is more than an acknowledgement, so what was acknowledged can still be answered; all else
that has ended stays as it is. In here the sender and the recipient of a message are mailboxes: ids
of terminals, or `PERSON`.
"""

from __future__ import annotations

import base64
import difflib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from backends.errors import NotFound, UsageError
from backends.protocol.mailboxes import Message, MessageState
from backends.protocol.terminals import PERSON
from backends.runtime import canonical
from terma.service.tables import deliveries, messages, terminals

MAX_OPEN = 10_000
"""Messages that may be open in a mailbox at once."""

MAX_BYTES = 2 * 1024 * 1024
"""Bytes of text that are read at once; in JSON they may take six times as many."""

MAX_ANSWER = 1024 * 1024
"""Bytes of several answers that are kept beside what they answer."""

LEAST_PREFIX = 4
"""Characters of an id that are enough to name it, where no other begins with them."""

_BEGINNING = 200
_AT_ONCE = 500
_OPEN = (MessageState.QUEUED.value, MessageState.SHOWN.value)

_ANSWERABLE = (*_OPEN, MessageState.ACKNOWLEDGED.value)

# In the words of the partial indexes: SQLite does not see through a parameter.
_is_open = deliveries.c.state.in_([literal_column(f"'{state}'") for state in _OPEN])
_size = messages.c.size + func.coalesce(func.length(cast(deliveries.c.answer, LargeBinary)), 0)
_as_sent: ColumnElement[int] = literal_column("deliveries.rowid")
_joined = deliveries.join(messages, deliveries.c.message == messages.c.id)
_known = [
    messages.c.id,
    messages.c.sender,
    deliveries.c.mailbox.label("recipient"),
    deliveries.c.state,
    deliveries.c.number,
    messages.c.sent_at,
    deliveries.c.shown_at,
    deliveries.c.ended_at,
    deliveries.c.expires_at,
    messages.c.reply_to,
]
_whole = select(*_known, messages.c.text, deliveries.c.answer).select_from(_joined)
_brief = select(
    *_known,
    func.substr(messages.c.text, 1, _BEGINNING).label("text"),
    func.substr(deliveries.c.answer, 1, _BEGINNING).label("answer"),
).select_from(_joined)
_put_state = (
    update(deliveries)
    .where(deliveries.c.mailbox == bindparam("of"), deliveries.c.number == bindparam("at"))
    .values(
        state=bindparam("state"), shown_at=bindparam("shown_at"), ended_at=bindparam("ended_at")
    )
)


@dataclass(frozen=True)
class Change:
    """A message that is new (`before` is `None`) or in another state.

    Of its text and its answer it has the first 200 characters.
    """

    before: MessageState | None
    message: Message


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message before it is sent; `addressed` is whom it is for, as that was given."""

    sender: str
    text: str
    addressed: tuple[str, ...]
    sent_at: float
    id: str | None = None
    expires_at: float | None = None
    reply_to: str | None = None


@dataclass(frozen=True)
class Posted:
    """A message that was sent, now or before, and the mailboxes it is in."""

    id: str
    mailboxes: tuple[str, ...]
    changes: list[Change]
    is_repeated: bool = False


class MailboxFull(Exception):
    """The mailbox takes no more messages."""

    def __init__(self, mailbox: str) -> None:
        super().__init__(mailbox)
        self.mailbox = mailbox


class SenderGone(Exception):
    """The one who sent a message has no mailbox any more."""

    def __init__(self, id_: str, sender: str) -> None:
        super().__init__(id_, sender)
        self.id = id_
        self.sender = sender


# -- sending ---------------------------------------------------------------------------------


def post(letter: Letter, mailboxes: Sequence[str], connection: Connection) -> Posted:
    """Put a message into mailboxes, or find that it was sent before.

    Raises:
        UsageError: Another message has its id.
        MailboxFull: One of them takes no more; nobody gets it then.
    """
    if known := sent_before(letter, mailboxes, connection):
        return known
    id_ = letter.id or _new_id(connection)
    row = {
        "id": id_, "sender": letter.sender, "addressed": _addressed(letter),
        "sent_at": letter.sent_at,
        "expires_at": letter.expires_at, "reply_to": letter.reply_to, "text": letter.text,
        "size": len(letter.text.encode()),
    }  # fmt: skip
    connection.execute(insert(messages), row)
    recipients = tuple(dict.fromkeys(mailboxes))
    for mailbox in recipients:
        _deliver(id_, mailbox, letter.expires_at, connection)
    query = _brief.where(deliveries.c.message == id_).order_by(_as_sent)
    changes = [Change(None, message) for message in _fetch(query, connection)]
    return Posted(id_, recipients, changes)


def sent_before(letter: Letter, mailboxes: Sequence[str], connection: Connection) -> Posted | None:
    """Return the message of the same id, if it is the same: to the same addresses or mailboxes.

    Raises:
        UsageError: It is another message.
    """
    if letter.id is None:
        return None
    known = connection.execute(select(messages).where(messages.c.id == letter.id)).first()
    if known is None:
        return None
    found = tuple(message.recipient for message in standing(letter.id, connection))
    is_to_them = known.addressed == _addressed(letter) or set(mailboxes) == set(found)
    if not is_to_them or (known.sender, known.text) != (letter.sender, letter.text):
        hint = "leave `--id` out, or give another one"
        raise UsageError(f"another message has the id {letter.id!r} already", hint)
    return Posted(letter.id, found, [], is_repeated=True)


def _addressed(letter: Letter) -> str:
    return json.dumps(sorted({canonical(word) for word in letter.addressed}))


def _deliver(id_: str, mailbox: str, expires_at: float | None, connection: Connection) -> None:
    is_its = deliveries.c.mailbox == mailbox
    count = select(func.count()).select_from(deliveries).where(is_its, _is_open)
    if connection.execute(count).scalar_one() >= MAX_OPEN:
        raise MailboxFull(mailbox)
    last = connection.execute(select(func.max(deliveries.c.number)).where(is_its)).scalar()
    row = {
        "mailbox": mailbox, "number": (last or 0) + 1, "message": id_,
        "state": MessageState.QUEUED.value, "expires_at": expires_at,
    }  # fmt: skip
    connection.execute(insert(deliveries), row)


def _new_id(connection: Connection) -> str:
    while True:
        id_ = base64.b32encode(secrets.token_bytes(5)).decode().lower()
        if connection.execute(select(messages.c.id).where(messages.c.id == id_)).first() is None:
            return id_


def reply(mailbox: str, id_: str, text: str, now: float, connection: Connection) -> Posted:
    """Send the reply to a message of a mailbox, which is answered then.

    Raises:
        NotFound, UsageError: As `find` does.
        SenderGone: Nobody is there to get it.
        MailboxFull: The sender's mailbox takes no more.
    """
    id_ = find(mailbox, id_, connection)
    query = select(messages.c.sender).where(messages.c.id == id_)
    sender = connection.execute(query).scalar_one()
    if not is_open(sender, connection):
        raise SenderGone(id_, sender)
    letter = Letter(sender=mailbox, text=text, addressed=(), sent_at=now, reply_to=id_)
    posted = post(letter, [sender], connection)
    keep_answer(mailbox, id_, text, connection)
    query = _brief.where(*_is(mailbox, id_), deliveries.c.state.in_(_ANSWERABLE))
    changes = _move(query, MessageState.ANSWERED, now, connection)
    return replace(posted, changes=[*posted.changes, *changes])


def keep_answer(mailbox: str, id_: str, text: str, connection: Connection) -> None:
    """Keep a text beside the message that it answers, with those of before as far as they fit."""
    query = select(deliveries.c.answer).where(*_is(mailbox, id_))
    before = connection.execute(query).scalar()
    if before:
        joined = f"{before.rstrip()}\n\n{text}"
        text = joined if len(joined.encode()) <= MAX_ANSWER else text
    connection.execute(update(deliveries).where(*_is(mailbox, id_)).values(answer=text))


# -- reading ---------------------------------------------------------------------------------


def find(mailbox: str, prefix: str, connection: Connection) -> str:
    """Return the id of the one message of a mailbox whose id is, or begins with, `prefix`.

    Raises:
        NotFound: There is none.
        UsageError: There are several, or it is too short.
    """
    ids = select(deliveries.c.message).where(deliveries.c.mailbox == mailbox)
    if connection.execute(ids.where(deliveries.c.message == prefix)).first():
        return prefix
    hint = "`terma inbox --all` shows all that are kept"
    found: list[str] = []
    if len(prefix) >= LEAST_PREFIX:
        begins = (deliveries.c.message >= prefix, deliveries.c.message < prefix + "\x7f")
        query = ids.where(*begins).order_by(deliveries.c.message).limit(11)
        found = list(connection.execute(query).scalars())
    elif prefix:
        hint = f"give the first {LEAST_PREFIX} characters of an id, or more; {hint}"
    if len(found) > 1:
        listed = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
        raise UsageError(f"{prefix!r} could be {listed}", "give more of the id")
    if not found:
        known = connection.execute(ids.order_by(deliveries.c.number.desc()).limit(1000)).scalars()
        close = difflib.get_close_matches(prefix, list(known), n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise NotFound(f"there is no message {prefix!r} in this mailbox", guess + hint)
    return found[0]


def read(
    mailbox: str, is_whole: bool, limit: int, connection: Connection
) -> tuple[list[Message], int]:
    """Return messages of a mailbox in their order, and how many there was no room for.

    Where there are too many, those that were never shown go first, then the newest.
    """
    is_wanted = deliveries.c.mailbox == mailbox
    order = [deliveries.c.number.desc()]
    if not is_whole:
        is_wanted &= _is_open
        order.insert(0, (deliveries.c.state == MessageState.QUEUED.value).desc())
    query = select(deliveries.c.number, _size).select_from(_joined).where(is_wanted)
    numbers = _fitting(query.order_by(*order).limit(limit), connection)
    count = select(func.count()).select_from(deliveries).where(is_wanted)
    left_out = connection.execute(count).scalar_one() - len(numbers)
    return _numbered(mailbox, numbers, connection), left_out


def newest_queued(mailbox: str, connection: Connection) -> tuple[list[Message], int]:
    """Return the last message that was never shown, if there is one, and how many others are."""
    is_queued = deliveries.c.state == MessageState.QUEUED.value
    is_its = (deliveries.c.mailbox == mailbox, _is_open, is_queued)
    query = _brief.where(*is_its).order_by(deliveries.c.number.desc()).limit(1)
    count = select(func.count()).select_from(deliveries).where(*is_its)
    found = _fetch(query, connection)
    return found, connection.execute(count).scalar_one() - len(found)


def read_on(mailbox: str, number: int, connection: Connection) -> list[Message]:
    """Return the next open messages of a mailbox after a number, in their order."""
    is_next = (deliveries.c.mailbox == mailbox, _is_open, deliveries.c.number > number)
    query = select(deliveries.c.number, _size).select_from(_joined).where(*is_next)
    numbers = _fitting(query.order_by(deliveries.c.number).limit(_AT_ONCE), connection)
    return _numbered(mailbox, numbers, connection)


def _fitting(query: Select[Any], connection: Connection) -> list[int]:
    numbers: list[int] = []
    size = 0
    for number, more in connection.execute(query):
        size += more
        if numbers and size > MAX_BYTES:
            break
        numbers.append(number)
    return numbers


def _numbered(mailbox: str, numbers: Sequence[int], connection: Connection) -> list[Message]:
    is_one = (deliveries.c.mailbox == mailbox, deliveries.c.number.in_(numbers))
    return _fetch(_whole.where(*is_one).order_by(deliveries.c.number), connection)


def standing(id_: str, connection: Connection) -> list[Message]:
    """Return a message as it is in each mailbox; beyond `MAX_BYTES` without text and answer."""
    sizes = select(deliveries.c.mailbox, _size).select_from(_joined)
    query = sizes.where(deliveries.c.message == id_).order_by(_as_sent)
    found: list[Message] = []
    size = 0
    for mailbox, more in connection.execute(query).all():
        size += more
        chosen = _whole if not found or size <= MAX_BYTES else _brief
        found += _fetch(chosen.where(*_is(mailbox, id_)), connection)
        if chosen is _brief:
            found[-1] = replace(found[-1], text="", answer=None)
    return found


def is_open(mailbox: str, connection: Connection) -> bool:
    """Tell whether somebody may still read a mailbox: the person, or an open terminal."""
    is_its = (terminals.c.id == mailbox, terminals.c.closed_at.is_(None))
    found = mailbox == PERSON or connection.execute(select(terminals.c.id).where(*is_its)).first()
    return bool(found)


def names_of_closed(connection: Connection) -> dict[str, str]:
    """Return the names of closed terminals by their ids."""
    query = select(terminals.c.id, terminals.c.name).where(terminals.c.closed_at.is_not(None))
    return dict(connection.execute(query).all())


def count_open(connection: Connection) -> list[tuple[str, MessageState, int]]:
    """Return how many open messages there are by mailbox and state."""
    groups = (deliveries.c.mailbox, deliveries.c.state)
    query = select(*groups, func.count()).where(_is_open).group_by(*groups)
    return [(mailbox, MessageState(state), n) for mailbox, state, n in connection.execute(query)]


# -- states ----------------------------------------------------------------------------------


def show(mailbox: str, numbers: Iterable[int], now: float, connection: Connection) -> list[Change]:
    """Mark queued messages as shown."""
    is_one = (deliveries.c.mailbox == mailbox, deliveries.c.number.in_(list(numbers)))
    is_queued = deliveries.c.state == MessageState.QUEUED.value
    return _move(_brief.where(*is_one, is_queued), MessageState.SHOWN, now, connection)


def acknowledge(
    mailbox: str, ids: Sequence[str], now: float, connection: Connection
) -> list[Change]:
    """Mark open messages as acknowledged; ids as `find` takes them, and all or none."""
    changes = []
    for id_ in ids:
        query = _brief.where(*_is(mailbox, find(mailbox, id_, connection)), _is_open)
        changes += _move(query, MessageState.ACKNOWLEDGED, now, connection)
    return changes


def take_answers(
    mailbox: str, id_: str, senders: Sequence[str], now: float, connection: Connection
) -> list[Change]:
    """Mark the open replies of some to a message as acknowledged: who waited for them has them."""
    is_reply = (
        deliveries.c.mailbox == mailbox,
        messages.c.reply_to == id_,
        messages.c.sender.in_(senders),
    )
    return _move(_brief.where(*is_reply, _is_open), MessageState.ACKNOWLEDGED, now, connection)


def expire(now: float, connection: Connection) -> tuple[list[Change], float | None]:
    """End up to 500 messages whose time is over; return when the next one's is."""
    is_due = (_is_open, deliveries.c.expires_at <= now)
    query = _brief.where(*is_due).order_by(deliveries.c.expires_at).limit(_AT_ONCE)
    changes = _move(query, MessageState.EXPIRED, now, connection)
    following = select(func.min(deliveries.c.expires_at))
    is_next = (_is_open, deliveries.c.expires_at.is_not(None))
    return changes, connection.execute(following.where(*is_next)).scalar()


def expire_all(mailbox: str, now: float, connection: Connection) -> list[Change]:
    """End up to 500 open messages of a mailbox that nobody will read."""
    query = _brief.where(deliveries.c.mailbox == mailbox, _is_open).limit(_AT_ONCE)
    return _move(query, MessageState.EXPIRED, now, connection)


def _move(
    query: Select[Any], state: MessageState, now: float, connection: Connection
) -> list[Change]:
    """Give what a query finds another state."""
    changes, rows = [], []
    for before in _fetch(query, connection):
        shown_at = before.shown_at
        if state is not MessageState.EXPIRED and shown_at is None:
            shown_at = now
        ended_at = None if state is MessageState.SHOWN else now
        after = replace(before, state=state, shown_at=shown_at, ended_at=ended_at)
        changes.append(Change(before.state, after))
        key = {"of": before.recipient, "at": before.number, "state": state.value}
        rows.append(key | {"shown_at": shown_at, "ended_at": ended_at})
    if rows:
        connection.execute(_put_state, rows)
    return changes


def clean(before: float, connection: Connection) -> None:
    """Delete what has ended before a time, and messages that are in no mailbox then."""
    has_ended = (deliveries.c.ended_at < before, ~_is_open)
    connection.execute(delete(deliveries).where(*has_ended))
    kept = select(deliveries.c.message)
    connection.execute(delete(messages).where(messages.c.id.not_in(kept)))


def forget(mailbox: str, connection: Connection) -> None:
    """Delete a mailbox, and the messages that are in no other one."""
    its = select(deliveries.c.message).where(deliveries.c.mailbox == mailbox)
    elsewhere = select(deliveries.c.message).where(deliveries.c.mailbox != mailbox)
    is_elsewhere = elsewhere.where(deliveries.c.message == messages.c.id).exists()
    connection.execute(delete(messages).where(messages.c.id.in_(its), ~is_elsewhere))
    connection.execute(delete(deliveries).where(deliveries.c.mailbox == mailbox))


def _is(mailbox: str, id_: str) -> tuple[ColumnElement[bool], ...]:
    return deliveries.c.mailbox == mailbox, deliveries.c.message == id_


def _fetch(query: Select[Any], connection: Connection) -> list[Message]:
    rows = connection.execute(query).mappings()
    return [Message(**{**row, "state": MessageState(row["state"])}) for row in rows]
